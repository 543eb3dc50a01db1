import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeNflog, encodeNflog } from "../../../protocol/capture/nflog.ts";
import { isProtocolError } from "../../../protocol/errors.ts";

const refused = (error: unknown) => isProtocolError(error, "ERR_CAPTURE_SYNTAX");
const payload = Buffer.from("0123456789", "latin1");
const whole = encodeNflog({
  family: 4,
  group: 5,
  payload,
  captureMicros: 1_790_000_000_123_456,
  prefix: "kh",
});

test("the kernel's layout: head, little-endian TLVs padded to four, big-endian time", () => {
  const octets = Buffer.concat([
    Buffer.from("02000005", "hex"),
    Buffer.from("08000100080002 00".replace(" ", ""), "hex"), // packet head: passed over
    Buffer.from("0600 0a00 6b00 0000".replaceAll(" ", ""), "hex"), // prefix "k"
    Buffer.from("1400 0300 000000006ab14f00 0000000000000007".replaceAll(" ", ""), "hex"),
    Buffer.from("0700 0900 450102 00".replaceAll(" ", ""), "hex"),
  ]);
  assert.deepEqual(decodeNflog(octets), {
    family: 4,
    group: 5,
    payload: Buffer.from("450102", "hex"),
    captureMicros: 0x6ab14f00 * 1_000_000 + 7,
    prefix: "k",
  });
});

test("what is encoded is decoded, with and without time and prefix", () => {
  const message = fc.record(
    {
      family: fc.constantFrom(4 as const, 6 as const),
      group: fc.nat(65_535),
      payload: fc.uint8Array({ maxLength: 2048 }).map((o) => Buffer.from(o)),
      captureMicros: fc.nat(Number.MAX_SAFE_INTEGER),
      prefix: fc.string({ maxLength: 60 }).map((s) => s.replaceAll(/[^ -~]/g, "")),
    },
    { requiredKeys: ["family", "group", "payload"] },
  );
  fc.assert(fc.property(message, (m) => assert.deepEqual(decodeNflog(encodeNflog(m)), { ...m })));
});

test("of two attributes of a type the first counts", () => {
  const second = encodeNflog({ family: 4, group: 5, payload: Buffer.from("other") }).subarray(4);
  assert.deepEqual(decodeNflog(Buffer.concat([whole, second])).payload, payload);
});

test("any octets are a message or refused, and cutting never invents a packet", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      try {
        decodeNflog(octets);
      } catch (error) {
        if (!refused(error)) throw error;
      }
    }),
  );
  for (let length = 0; length < whole.length - 2; length += 1)
    assert.throws(() => decodeNflog(whole.subarray(0, length)), refused, `cut at ${length}`);
});

test("families, timestamps and lengths that cannot be are refused", () => {
  const edit = (at: number, value: number) => {
    const copy = Buffer.from(whole);
    copy[at] = value;
    return copy;
  };
  assert.throws(() => decodeNflog(edit(0, 7)), refused, "family");
  assert.throws(() => decodeNflog(edit(4, 3)), refused, "TLV shorter than its head");
  assert.throws(() => decodeNflog(edit(5, 0xff)), refused, "TLV longer than the message");
  assert.throws(() => decodeNflog(edit(16, 0xff)), refused, "a time beyond all dates");
  const odd = Buffer.from("020000050800030000000001", "hex");
  assert.throws(() => decodeNflog(Buffer.concat([odd, whole.subarray(4)])), refused, "short time");
});
