import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compareSignedHeaders,
  MAX_DATE_SKEW_MS,
  type SignedHeader,
  signedHeaders,
} from "../../../device/core/signed-headers.ts";
import { type SipRequest, withHeader } from "../../../protocol/sip/message.ts";

const DATE = "Fri, 20 Jun 2003 13:02:03 GMT";
const NOW = Date.parse(DATE);
const INVITE: SipRequest = {
  kind: "request",
  method: "INVITE",
  uri: "sip:bob@biloxi.example.com",
  headers: [
    { name: "v", value: "SIP/2.0/TLS client.atlanta.example.com;branch=z9hG4bK74bf9" },
    { name: "f", value: "<sip:alice@atlanta.example.com>;tag=9fxced76sl" },
    { name: "To", value: "<sip:bob@biloxi.example.com>" },
    { name: "i", value: "3848276298220188511@atlanta.example.com" },
    { name: "CSeq", value: "1 INVITE" },
    { name: "Contact", value: "<sip:alice@192.0.2.101:5061;transport=tls>" },
    { name: "Date", value: DATE },
  ],
  body: Buffer.alloc(0),
};

test("what is signed is who, to whom, which call, which request, when, and where to reach us", () => {
  assert.deepEqual(
    signedHeaders(INVITE).map(([name]) => name),
    ["From", "To", "Call-ID", "CSeq", "Date", "Contact"],
  );
});

test("a message is equal to its own signed headers, compact names or not", () => {
  assert.equal(compareSignedHeaders(signedHeaders(INVITE), INVITE, NOW), "equal");
});

for (const name of ["From", "To", "Call-ID", "CSeq", "Date", "Contact"]) {
  test(`a changed ${name} is seen`, () => {
    const changed = withHeader(INVITE, name, "<sip:mallory@example.com>;tag=x");
    assert.equal(compareSignedHeaders(signedHeaders(INVITE), changed, NOW), "differ");
  });
  test(`a second ${name} is seen`, () => {
    const row = { name, value: "<sip:mallory@example.com>;tag=x" };
    const doubled = { ...INVITE, headers: [...INVITE.headers, row] };
    assert.equal(compareSignedHeaders(signedHeaders(INVITE), doubled, NOW), "differ");
  });
}

for (const missing of ["From", "To", "Call-ID", "CSeq", "Date"])
  test(`${missing} must be signed`, () => {
    const signed = signedHeaders(INVITE).filter(([name]) => name !== missing);
    assert.equal(compareSignedHeaders(signed, INVITE, NOW), "differ");
  });

test("Contact need not be signed", () => {
  const signed = signedHeaders(INVITE).filter(([name]) => name !== "Contact");
  assert.equal(compareSignedHeaders(signed, INVITE, NOW), "equal");
});

test("a signed header that the message lacks is seen", () => {
  const signed: readonly SignedHeader[] = [...signedHeaders(INVITE), ["Subject", "lunch"]];
  assert.equal(compareSignedHeaders(signed, INVITE, NOW), "differ");
});

for (const [skewMs, verdict] of [
  [MAX_DATE_SKEW_MS - 1, "equal"],
  [1 - MAX_DATE_SKEW_MS, "equal"],
  [MAX_DATE_SKEW_MS, "stale"],
  [-MAX_DATE_SKEW_MS, "stale"],
] as const)
  test(`a Date ${skewMs} ms off is ${verdict}`, () => {
    assert.equal(compareSignedHeaders(signedHeaders(INVITE), INVITE, NOW + skewMs), verdict);
  });

test("a Date that is none is stale", () => {
  const undated = withHeader(INVITE, "Date", "yesterday");
  assert.equal(compareSignedHeaders(signedHeaders(undated), undated, NOW), "stale");
});
