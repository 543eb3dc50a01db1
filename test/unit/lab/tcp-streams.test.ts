import assert from "node:assert/strict";
import { test } from "node:test";
import { readTcpStreams, timeOf } from "../../../lab/tcp-streams.ts";

const HEADER = Buffer.from("d4c3b2a1020004000000000000000000ffff000001000000", "hex");

/** A captured TCP segment from 10.0.0.1:1000 to 10.0.0.2:2000. */
function segment(sequence: number, text: string, second: number): Buffer {
  const ip = Buffer.alloc(40);
  ip.writeUInt8(0x45, 0);
  ip.writeUInt16BE(40 + text.length, 2);
  ip.writeUInt8(6, 9);
  ip.set([10, 0, 0, 1, 10, 0, 0, 2], 12);
  ip.writeUInt16BE(1000, 20);
  ip.writeUInt16BE(2000, 22);
  ip.writeUInt32BE(sequence, 24);
  ip.writeUInt8(0x50, 32);
  const padding = Buffer.alloc(6, 0xee); // Ethernet fills short frames up
  const frame = Buffer.concat([Buffer.alloc(14), ip, Buffer.from(text), padding]);
  const head = Buffer.alloc(16);
  head.writeUInt32LE(second, 0);
  head.writeUInt32LE(500_000, 4);
  head.writeUInt32LE(frame.length, 8);
  return Buffer.concat([head, frame]);
}

const capture = (...segments: Buffer[]): Buffer => Buffer.concat([HEADER, ...segments]);

const cases = [
  { name: "in order", segments: [segment(1, "one ", 1), segment(5, "two", 2)], text: "one two" },
  { name: "late", segments: [segment(5, "two", 2), segment(1, "one ", 3)], text: "one two" },
  {
    name: "sent twice",
    segments: [segment(1, "one ", 1), segment(1, "one ", 2), segment(5, "two", 3)],
    text: "one two",
  },
  {
    name: "overlapping",
    segments: [segment(1, "one ", 1), segment(3, "e two", 2)],
    text: "one two",
  },
  {
    name: "round the end of the sequence numbers",
    segments: [segment(0xfffffffe, "one ", 1), segment(2, "two", 2)],
    text: "one two",
  },
  { name: "empty", segments: [segment(1, "", 1), segment(1, "one", 2)], text: "one" },
];

for (const { name, segments, text } of cases)
  test(`segments ${name} make one stream`, () => {
    const [stream, ...others] = readTcpStreams(capture(...segments));
    assert.deepEqual(others, []);
    assert.equal(stream?.octets.toString(), text);
    assert.equal(stream?.from, "10.0.0.1:1000");
    assert.equal(stream?.to, "10.0.0.2:2000");
  });

test("every octet has the time of the segment that brought it", () => {
  const [stream] = readTcpStreams(capture(segment(1, "one ", 7), segment(5, "two", 9)));
  assert(stream !== undefined);
  assert.equal(timeOf(stream, 3), 7500);
  assert.equal(timeOf(stream, 4), 9500);
});

test("a packet cut short by the end of the file is left out", () => {
  const [stream] = readTcpStreams(
    Buffer.concat([capture(segment(1, "one", 1)), segment(4, "two", 2).subarray(0, 30)]),
  );
  assert.equal(stream?.octets.toString(), "one");
});

test("something else than a pcap file is refused", () => {
  assert.throws(() => readTcpStreams(Buffer.alloc(100)), RangeError);
});
