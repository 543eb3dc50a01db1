import assert from "node:assert/strict";
import { test } from "node:test";
import { createResponse, reasonPhrase } from "../../../protocol/sip/create-response.ts";
import {
  appendHeader,
  headerRows,
  headerValue,
  withHeader,
} from "../../../protocol/sip/message.ts";
import { sampleRequest } from "./sample.ts";

const request = appendHeader(
  appendHeader(sampleRequest("INVITE"), "Via", "SIP/2.0/TCP b"),
  "Timestamp",
  "54",
);

test("Via, From, To, Call-ID and CSeq are the request's own", () => {
  const response = createResponse(request, 486, { toTag: "t1", headers: [["Retry-After", "5"]] });
  assert.equal(response.reason, "Busy Here");
  for (const name of ["Via", "From", "Call-ID", "CSeq"])
    assert.deepEqual(headerRows(response, name), headerRows(request, name));
  assert.equal(headerValue(response, "To"), "Bob <sip:bob@biloxi.example.com>;tag=t1");
  assert.equal(headerValue(response, "Retry-After"), "5");
  assert.equal(headerValue(response, "Timestamp"), undefined);
  assert.equal(headerValue(response, "Max-Forwards"), undefined);
});

test("100 has the request's Timestamp and no To tag", () => {
  const response = createResponse(request, 100, { toTag: "t1" });
  assert.equal(headerValue(response, "To"), headerValue(request, "To"));
  assert.equal(headerValue(response, "Timestamp"), "54");
});

test("a To tag stays; an unreadable To is left alone", () => {
  for (const to of ["<sip:b@c>;tag=old", '"open <sip:b@c>']) {
    const response = createResponse(withHeader(request, "t", to), 200, { toTag: "new" });
    assert.equal(headerValue(response, "To"), to);
  }
});

test("body, reason, unknown numbers", () => {
  const response = createResponse(request, 299, { reason: "Fine", body: Buffer.from("x") });
  assert.equal(response.body.toString(), "x");
  assert.equal(response.reason, "Fine");
  assert.equal(reasonPhrase(299), "Unknown");
  assert.equal(reasonPhrase(496), "Proxy Undecipherable");
});
