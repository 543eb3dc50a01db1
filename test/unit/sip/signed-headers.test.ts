import assert from "node:assert/strict";
import { test } from "node:test";
import { type SipRequest, withHeader } from "../../../protocol/sip/message.ts";
import {
  MAX_DATE_SKEW_MS,
  type SignedHeader,
  signedHeaders,
  signedHeadersFault,
} from "../../../protocol/sip/signed-headers.ts";

const NOW = Date.UTC(2003, 5, 20, 13, 2, 3);
const ROWS = [
  ["From", '"Alice" <sip:alice@atlanta.example.com>;tag=9fxced76sl'],
  ["To", "<sip:bob@biloxi.example.com>"],
  ["Call-ID", "3848276298220188511@atlanta.example.com"],
  ["CSeq", "1 INVITE"],
  ["Date", "Fri, 20 Jun 2003 13:02:03 GMT"],
] as const;

const invite = (rows: readonly SignedHeader[] = ROWS): SipRequest => ({
  kind: "request",
  method: "INVITE",
  uri: "sip:bob@biloxi.example.com",
  headers: rows.map(([name, value]) => ({ name, value })),
  body: Buffer.alloc(0),
});

const changed = (name: string, value: string | undefined): readonly SignedHeader[] =>
  ROWS.flatMap(([key, old]) =>
    key === name ? (value === undefined ? [] : [[key, value]]) : [[key, old]],
  );

test("a fragment that says what the headers say is believed", () => {
  assert.equal(signedHeadersFault(invite(), ROWS, NOW), undefined);
});

test("display names, spacing and compact forms may differ", () => {
  const signed = [
    ["f", "sip:alice@ATLANTA.example.com;tag=9fxced76sl"],
    ["t", "Bob <sip:bob@biloxi.example.com>"],
    ["i", ROWS[2][1]],
    ["CSeq", "1  INVITE"],
    ["Date", ROWS[4][1]],
    ["Subject", "a  b"],
  ] as const;
  assert.equal(signedHeadersFault(invite([...ROWS, ["Subject", "a b"]]), signed, NOW), undefined);
});

const DIFFERENT: readonly [name: string, value: string | undefined][] = [
  ["From", "<sip:mallory@atlanta.example.com>;tag=9fxced76sl"],
  ["From", "<sip:alice@atlanta.example.com>;tag=other"],
  ["From", "not an address <"],
  ["From", undefined],
  ["To", "<sip:carol@biloxi.example.com>"],
  ["To", "<sip:bob@biloxi.example.com>;tag=early"],
  ["To", undefined],
  ["Call-ID", "another@atlanta.example.com"],
  ["Call-ID", undefined],
  ["CSeq", "2 INVITE"],
  ["CSeq", "1 MESSAGE"],
  ["CSeq", "one"],
  ["CSeq", undefined],
  ["Date", "Fri, 20 Jun 2003 13:02:04 GMT"],
  ["Date", undefined],
];

for (const [name, value] of DIFFERENT)
  test(`a fragment with ${value === undefined ? "no" : "another"} ${name} is refused: ${value}`, () => {
    assert.equal(signedHeadersFault(invite(), changed(name, value), NOW), "differ");
  });

test("a field that stands twice in the fragment is refused", () => {
  const twice = [...ROWS, ["From", ROWS[0][1]] as const];
  assert.equal(signedHeadersFault(invite(), twice, NOW), "differ");
});

test("a signed field that the message lacks is refused, Date aside", () => {
  const signed = [...ROWS, ["Subject", "lunch"] as const];
  assert.equal(signedHeadersFault(invite(), signed, NOW), "differ");
  assert.equal(signedHeadersFault(invite(ROWS.slice(0, 4)), ROWS, NOW), undefined);
});

test("what proxies change is not compared", () => {
  const signed = [...ROWS, ["Max-Forwards", "70"] as const, ["Route", "<sip:ss1;lr>"] as const];
  assert.equal(
    signedHeadersFault(invite([...ROWS, ["Max-Forwards", "69"]]), signed, NOW),
    undefined,
  );
});

test("a Date an hour off, either way, or unreadable is refused", () => {
  for (const skew of [-MAX_DATE_SKEW_MS, MAX_DATE_SKEW_MS])
    assert.equal(signedHeadersFault(invite(), ROWS, NOW + skew), "stale");
  for (const skew of [1 - MAX_DATE_SKEW_MS, MAX_DATE_SKEW_MS - 1])
    assert.equal(signedHeadersFault(invite(), ROWS, NOW + skew), undefined);
  const rows = changed("Date", "yesterday");
  assert.equal(signedHeadersFault(invite(rows), rows, NOW), "stale");
});

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
    { name: "Date", value: ROWS[4][1] },
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
  assert.equal(signedHeadersFault(INVITE, signedHeaders(INVITE), NOW), undefined);
});

for (const name of ["From", "To", "Call-ID", "CSeq", "Date", "Contact"]) {
  test(`a changed ${name} is seen`, () => {
    const changed = withHeader(INVITE, name, "<sip:mallory@example.com>;tag=x");
    assert.equal(signedHeadersFault(changed, signedHeaders(INVITE), NOW), "differ");
  });
  test(`a second ${name} is seen`, () => {
    const row = { name, value: "<sip:mallory@example.com>;tag=x" };
    const doubled = { ...INVITE, headers: [...INVITE.headers, row] };
    assert.equal(signedHeadersFault(doubled, signedHeaders(INVITE), NOW), "differ");
  });
}
