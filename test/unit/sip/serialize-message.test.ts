import assert from "node:assert/strict";
import { test } from "node:test";
import type { SipResponse } from "../../../protocol/sip/message.ts";
import { octetText } from "../../../protocol/sip/message.ts";
import { parseMessage } from "../../../protocol/sip/parse-message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import { rows, sampleRequest } from "./sample.ts";

const ok: SipResponse = {
  kind: "response",
  status: 200,
  reason: "OK",
  headers: rows("Call-ID: a"),
  body: Buffer.from("xyz"),
};
const text = (message: Parameters<typeof serializeMessage>[0]) =>
  serializeMessage(message).toString("latin1");

test("Content-Length states the octets: added, corrected, left alone", () => {
  assert.equal(text(ok), "SIP/2.0 200 OK\r\nCall-ID: a\r\nContent-Length: 3\r\n\r\nxyz");
  const wrong = { ...ok, headers: rows("l: 9", "X: y") };
  assert.equal(text(wrong), "SIP/2.0 200 OK\r\nX: y\r\nContent-Length: 3\r\n\r\nxyz");
  const right = { ...ok, headers: rows("l: 0003", "X: y") };
  assert.equal(text(right), "SIP/2.0 200 OK\r\nl: 0003\r\nX: y\r\n\r\nxyz");
  const twice = { ...ok, headers: rows("l: 3", "l: 3") };
  assert.equal(text(twice), "SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nxyz");
});

test("text that would break its line is our fault and never sent", () => {
  const broken = [
    { ...ok, reason: "OK\r\nX: y" },
    { ...ok, status: 99 },
    { ...ok, status: 200.5 },
    { ...ok, headers: rows("X: a\r\n b") },
    { ...ok, headers: [{ name: "X Y", value: "a" }] },
    { ...ok, headers: [{ name: "X", value: "a", wire: "X: a\r\nY: b" }] },
    { ...ok, headers: rows("X: \u0444") },
    sampleRequest("BYE", { uri: "sip:a b" }),
    sampleRequest("BY E"),
  ];
  for (const message of broken) assert.throws(() => serializeMessage(message), TypeError);
});

test("text beyond ASCII goes out as UTF-8 through octetText", () => {
  const message = { ...ok, headers: rows(`Subject: ${octetText("\u0444")}`) };
  const wire = serializeMessage(message);
  assert.ok(wire.includes(Buffer.from("Subject: \u0444\r\n", "utf8")));
  assert.deepEqual(serializeMessage(parseMessage(wire)), wire);
});
