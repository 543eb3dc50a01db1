import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_BODY_BYTES, MAX_HEAD_BYTES } from "../../../protocol/sip/parse-message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import { StreamFramer, type StreamItem } from "../../../protocol/sip/stream-framer.ts";
import { sampleRequest } from "./sample.ts";

const message = (body: string) => sampleRequest("MESSAGE", { body: Buffer.from(body, "latin1") });
const octets = (body: string) => serializeMessage(message(body));
const VIA = "Via: SIP/2.0/TCP a;branch=z9hG4bK1\r\n";

function frame(input: Buffer, cuts: readonly number[] = []): StreamItem[] {
  const framer = new StreamFramer();
  const edges = [0, ...[...cuts].sort((a, b) => a - b), input.length];
  return edges.slice(1).flatMap((end, index) => framer.push(input.subarray(edges[index], end)));
}

const kinds = (items: readonly StreamItem[]) =>
  items.map((item) => (item.kind === "malformed" ? `${item.error.code} ${item.fatal}` : item.kind));

test("messages come by Content-Length octets, bodies untouched", () => {
  const bodies = ["", "\0\r\n\r\nSIP/2.0 200 OK\r\n\r\n", "x".repeat(5000)];
  const items = frame(Buffer.concat(bodies.map(octets)));
  assert.deepEqual(
    items.map((item) => item.kind === "request" && item.body.toString("latin1")),
    bodies,
  );
});

test("a body at the limit passes; a larger one is refused before it arrives", () => {
  assert.deepEqual(kinds(frame(octets("x".repeat(MAX_BODY_BYTES)))), ["request"]);
  const promise = `MESSAGE sip:a SIP/2.0\r\n${VIA}l: ${MAX_BODY_BYTES + 1}\r\n\r\n`;
  const [item] = frame(Buffer.from(promise));
  assert.ok(item?.kind === "malformed" && item.fatal);
  assert.equal(item.answer?.status, 513);
});

test("an endless head is refused at its limit", () => {
  const framer = new StreamFramer();
  const start = Buffer.from("MESSAGE sip:a SIP/2.0\r\nX: ");
  assert.deepEqual(framer.push(start), []);
  assert.deepEqual(kinds(framer.push(Buffer.alloc(MAX_HEAD_BYTES, 0x78))), ["ERR_SIP_LIMIT true"]);
  assert.deepEqual(framer.push(octets("")), []);
  assert.equal(framer.midMessage, false);
});

test("each second CRLF between messages is a keep-alive", () => {
  const ping = Buffer.from("\r\n\r\n");
  const input = Buffer.concat([
    ping,
    octets(""),
    ping,
    ping,
    Buffer.from("\r\n"),
    octets("a"),
    ping,
  ]);
  assert.deepEqual(kinds(frame(input)), [
    "keepalive",
    "request",
    "keepalive",
    "keepalive",
    "request",
    "keepalive",
  ]);
});

test("a bad start line costs its message only, and is answered", () => {
  const bad = `INVITE sip:a; lr SIP/2.0\r\n${VIA}Call-ID: c\r\nl: 2\r\n\r\nxx`;
  const version = `OPTIONS sip:a SIP/7.0\r\n${VIA}l: 0\r\n\r\n`;
  const items = frame(Buffer.concat([Buffer.from(bad + version), octets("")]));
  assert.deepEqual(kinds(items), ["ERR_SIP_SYNTAX false", "ERR_SIP_VERSION false", "request"]);
  assert.deepEqual(
    items.map((item) => item.kind === "malformed" && item.answer?.status),
    [400, 505, false],
  );
});

test("nothing is answered to a response, to an ACK, or without Via", () => {
  for (const head of [
    `SIP/2.0 999 x\r\n${VIA}`,
    `ACK sip:a; b SIP/2.0\r\n${VIA}`,
    "X sip:a; b SIP/2.0\r\n",
  ]) {
    const [item] = frame(Buffer.from(`${head}l: 0\r\n\r\n`));
    assert.ok(item?.kind === "malformed" && item.answer === undefined);
  }
});

test("where the end of a message is unknown the stream is lost", () => {
  const heads = [VIA, `${VIA}l: -1\r\n`, `${VIA}l: 1\r\nl: 1\r\n`, "no colon\r\n"];
  for (const head of heads) {
    const items = frame(Buffer.from(`OPTIONS sip:a SIP/2.0\r\n${head}\r\nrest`));
    assert.deepEqual(kinds(items), ["ERR_SIP_SYNTAX true"]);
  }
});

test("it says when it waits for the rest of a message", () => {
  const framer = new StreamFramer();
  assert.equal(framer.midMessage, false);
  framer.push(octets("abc").subarray(0, -1));
  assert.equal(framer.midMessage, true);
  framer.push(Buffer.from("c"));
  assert.equal(framer.midMessage, false);
});

test("the items do not depend on how the octets are cut", () => {
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }).map(octets),
    fc
      .constantFrom("\r\n", "\r\n\r\n", "\r", "l: 4\r\n", "X sip:a; SIP/2.0\r\nl: 1\r\n\r\nz")
      .map(Buffer.from),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 8 }),
      fc.infiniteStream(fc.nat()),
      (pieces, random) => {
        const input = Buffer.concat(pieces);
        const cuts = [...random.take(6)].map((cut) => cut % (input.length + 1));
        const whole = frame(input);
        assert.deepEqual(frame(input, cuts), whole);
        assert.deepEqual(frame(input, [...input.keys()]), whole);
      },
    ),
    { numRuns: 60 },
  );
});
