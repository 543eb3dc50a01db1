import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readDatagram } from "../../../protocol/sip/datagram.ts";
import { headerValue } from "../../../protocol/sip/message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import { reply, sampleRequest } from "./sample.ts";

const VIA = "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n";
const options = (rest: string, start = "OPTIONS sip:a SIP/2.0"): Buffer =>
  Buffer.from(`${start}\r\n${VIA}${rest}`, "latin1");

test("RFC 3261 18.3: Content-Length cuts, its absence takes the rest", () => {
  for (const [rest, body] of [
    ["l: 2\r\n\r\nabcd", "ab"],
    ["\r\nab\0cd", "ab\0cd"],
    ["l: 0\r\n\r\n", ""],
    ["\r\n", ""],
  ] as const) {
    const item = readDatagram(options(rest));
    assert.ok(item.kind === "request", rest);
    assert.equal(item.body.toString("latin1"), body);
  }
});

test("what a request that cannot be read is told", () => {
  const answered: readonly (readonly [octets: Buffer, status: number | undefined])[] = [
    [options("l: 5\r\n\r\nabcd"), 400],
    [options("l: x\r\n\r\n"), 400],
    [options("l: 1\r\nContent-Length: 1\r\n\r\na"), 400],
    [options("l: 999999\r\n\r\n"), 513],
    [options("l: 0\r\n\r\n", "OPTIONS sip:a SIP/3.0"), 505],
    [options("l: 5\r\n\r\nabcd", "ACK sip:a SIP/2.0"), undefined],
    [options("l: 5\r\n\r\nabcd", "SIP/2.0 200 OK"), undefined],
    [options("l: 0\r\n"), undefined],
    [Buffer.from("OPTIONS sip:a SIP/2.0\r\nl: 5\r\n\r\n"), undefined],
    [Buffer.from("a\rb\r\n\r\n"), undefined],
    [Buffer.from("INVITE"), undefined],
  ];
  for (const [octets, status] of answered) {
    const item = readDatagram(octets);
    assert.ok(item.kind === "malformed" && !item.fatal, String(octets));
    assert.equal(item.answer?.status, status, String(octets));
  }
});

test("an answer to what cannot be read is hardly longer than it", () => {
  const octets = options(`${VIA.repeat(50)}l: 5\r\n\r\nabcd`);
  const item = readDatagram(octets);
  assert.ok(item.kind === "malformed" && item.answer !== undefined);
  assert.ok(serializeMessage(item.answer).length <= octets.length + 64);
});

test("keep-alives of phones are no messages", () => {
  for (const ping of ["\r\n\r\n", "\r\n", "\0", "\0\0\0\0", ""])
    assert.deepEqual(readDatagram(Buffer.from(ping)), { kind: "keepalive" }, JSON.stringify(ping));
  assert.equal(readDatagram(Buffer.from("\r\n\r\n\r\n")).kind, "malformed");
});

test("every datagram is a message, a ping or malformed; what was written is read back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (octets) => {
      const { kind } = readDatagram(octets);
      assert.ok(["request", "response", "keepalive", "malformed"].includes(kind));
      const request = sampleRequest("MESSAGE", { body: Buffer.from(octets) });
      const read = readDatagram(serializeMessage(request));
      assert.ok(read.kind === "request" && read.body.equals(octets));
      const response = readDatagram(serializeMessage(reply(request, 200)));
      assert.ok(response.kind === "response");
      assert.equal(headerValue(response, "CSeq"), "1 MESSAGE");
    }),
  );
});
