/** Reason, Replaces and Refer-To. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isProtocolError } from "../../../protocol/errors.ts";
import { COMPLETED_ELSEWHERE, serializeReason } from "../../../protocol/sip/reason.ts";
import { parseReplaces, referTarget, requestReplaces } from "../../../protocol/sip/replaces.ts";
import { rows, sampleRequest } from "./sample.ts";

const syntax = (error: unknown) => isProtocolError(error, "ERR_SIP_SYNTAX");
const request = (...lines: string[]) => sampleRequest("INVITE", { headers: rows(...lines) });

test("Reason: the example of RFC 3326 §3.1", () => {
  assert.equal(
    serializeReason(COMPLETED_ELSEWHERE),
    'SIP ;cause=200 ;text="Call completed elsewhere"',
  );
  assert.equal(serializeReason({ protocol: "Q.850" }), "Q.850");
  assert.equal(
    serializeReason({ protocol: "SIP", text: 'a "b" \\' }),
    'SIP ;text="a \\"b\\" \\\\"',
  );
});

test("Replaces: the examples of RFC 3891 §6.1", () => {
  assert.deepEqual(parseReplaces("98732@sip.example.com ;from-tag=r33th4x0r ;to-tag=ff87ff"), {
    callId: "98732@sip.example.com",
    toTag: "ff87ff",
    fromTag: "r33th4x0r",
    earlyOnly: false,
  });
  assert.equal(
    parseReplaces("12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only").earlyOnly,
    true,
  );
  const bad = [
    "",
    "a",
    "a;to-tag=1",
    "a;from-tag=1",
    "a b;to-tag=1;from-tag=2",
    ";to-tag=1;from-tag=2",
    "a;to-tag=1;to-tag=1;from-tag=2",
    "a;to-tag=1;from-tag=2;FROM-TAG=2",
    "a;to-tag;from-tag=2",
  ];
  for (const value of bad) assert.throws(() => parseReplaces(value), syntax, value);
});

test("an INVITE replaces one dialog or none", () => {
  const row = "Replaces: a;to-tag=1;from-tag=2";
  assert.equal(requestReplaces(request()), undefined);
  assert.equal(requestReplaces(request(row))?.callId, "a");
  assert.throws(() => requestReplaces(request(row, row)), syntax);
});

test("Refer-To: a target, and the dialog that the new call is to replace", () => {
  const read = (value: string) => referTarget(request(`r: ${value}`));
  assert.deepEqual(read("<sip:dave@denver.example.org>"), { uri: "sip:dave@denver.example.org" });
  assert.deepEqual(read("tel:+15550100"), { uri: "tel:+15550100" });
  assert.deepEqual(
    read(
      "<sip:dave@denver.example.org;gr=1?Subject=x&RePlaces=12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994>",
    ),
    {
      uri: "sip:dave@denver.example.org;gr=1",
      replaces: {
        callId: "12345@192.168.118.3",
        toTag: "12345",
        fromTag: "5FFE-3994",
        earlyOnly: false,
      },
    },
  );
  assert.deepEqual(read("<sip:a@b?Subject=x>"), { uri: "sip:a@b" });
  for (const bad of [
    "<sip:a@b?Replaces=x>",
    "<sip:a@b?Replaces>",
    "<sip:a@b?Replaces=a%0D%0Ab%3Bto-tag%3D1%3Bfrom-tag%3D2>",
  ])
    assert.throws(() => read(bad), syntax, bad);
  assert.equal(referTarget(request()), undefined);
  assert.throws(() => referTarget(request("Refer-To: <sip:a@b>", "r: <sip:a@b>")), syntax);
});
