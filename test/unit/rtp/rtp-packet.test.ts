import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import { isRtcp } from "../../../protocol/rtp/is-rtcp.ts";
import {
  decodeRtp,
  encodeRtp,
  type RtpPacket,
  rtpHeaderBytes,
} from "../../../protocol/rtp/rtp-packet.ts";

/** Made as a literal is, so that deepEqual compares the prototype too. */
const LITERAL = { noNullPrototype: true } as const;

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const octets = (max: number) => fc.uint8Array({ maxLength: max }).map((o) => Buffer.from(o));
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });

const packets: fc.Arbitrary<RtpPacket> = fc.record(
  {
    marker: fc.boolean(),
    payloadType: fc.integer({ min: 0, max: 127 }),
    sequenceNumber: fc.integer({ min: 0, max: 65_535 }),
    timestamp: uint32,
    ssrc: uint32,
    csrcs: fc.array(uint32, { maxLength: 15 }),
    extension: fc.record(
      {
        profile: fc.integer({ min: 0, max: 65_535 }),
        content: octets(40).map((o) => o.subarray(0, o.length - (o.length % 4))),
      },
      LITERAL,
    ),
    payload: octets(300),
    paddingBytes: fc.integer({ min: 1, max: 255 }),
  },
  {
    ...LITERAL,
    requiredKeys: [
      "marker",
      "payloadType",
      "sequenceNumber",
      "timestamp",
      "ssrc",
      "csrcs",
      "payload",
    ],
  },
);

test("a packet with everything, field by field", () => {
  const packet = hex("b1 e0 1234 decafbad cafebabe 00000007 bede 0001 01020304 aabb 000002");
  packet[packet.length - 1] = 3;
  assert.equal(rtpHeaderBytes(packet), 24);
  assert.deepEqual(decodeRtp(packet), {
    marker: true,
    payloadType: 96,
    sequenceNumber: 0x1234,
    timestamp: 0xdecafbad,
    ssrc: 0xcafebabe,
    csrcs: [7],
    extension: { profile: 0xbede, content: hex("01020304") },
    payload: hex("aabb"),
    paddingBytes: 3,
  });
});

test("what is encoded decodes to the same", () => {
  fc.assert(
    fc.property(packets, (packet) => {
      const encoded = encodeRtp(packet);
      assert.deepEqual(decodeRtp(encoded), packet);
      assert.ok(encodeRtp(decodeRtp(encoded)).equals(encoded));
    }),
  );
});

const HEADER = "80 00 0001 00000000 00000001";
const broken: readonly [string, string][] = [
  ["nothing", ""],
  ["eleven octets", HEADER.slice(0, -2)],
  ["version 1", HEADER.replace("80", "40")],
  ["CSRCs cut off", HEADER.replace("80", "81")],
  ["an extension cut off before its length", `${HEADER.replace("80", "90")} bede`],
  ["an extension shorter than its length", `${HEADER.replace("80", "90")} bede0001`],
  ["padding of 0", `${HEADER.replace("80", "a0")} 00`],
  ["padding beyond the payload", `${HEADER.replace("80", "a0")} 0002`.replace("0002", "03")],
];

for (const [what, text] of broken)
  test(`refused: ${what}`, () => {
    assert.throws(
      () => decodeRtp(hex(text)),
      (error) => isProtocolError(error, "ERR_RTP_SYNTAX"),
    );
  });

test("the decoder is total: a packet or a ProtocolError", () => {
  const near = fc
    .tuple(packets, fc.nat(60), fc.nat(255), fc.nat(400))
    .map(([packet, at, octet, bytes]) => {
      const encoded = encodeRtp(packet);
      encoded[at % encoded.length] = octet;
      return encoded.subarray(0, bytes);
    });
  fc.assert(
    fc.property(fc.oneof(octets(60), near), (packet) => {
      try {
        return decodeRtp(packet).payload.length <= packet.length;
      } catch (error) {
        return isProtocolError(error, "ERR_RTP_SYNTAX");
      }
    }),
    { numRuns: 500 },
  );
});

const valid = decodeRtp(hex(HEADER));
const unfit: readonly [string, Partial<RtpPacket>][] = [
  ["16 CSRCs", { csrcs: Array<number>(16).fill(1) }],
  ["payload type 128", { payloadType: 128 }],
  ["sequence number 65536", { sequenceNumber: 65_536 }],
  ["an extension of 3 octets", { extension: { profile: 0, content: Buffer.alloc(3) } }],
  ["an extension too long", { extension: { profile: 0, content: Buffer.alloc(4 * 65_536) } }],
  ["256 octets of padding", { paddingBytes: 256 }],
];

for (const [what, change] of unfit)
  test(`cannot be encoded: ${what}`, () => {
    assert.throws(() => encodeRtp({ ...valid, ...change }), RangeError);
  });

test("RTP and RTCP on one port are told apart by the second octet (RFC 5761 §4)", () => {
  for (let second = 0; second < 256; second += 1) {
    const packet = Buffer.concat([Buffer.of(0x80, second), Buffer.alloc(10)]);
    assert.equal(isRtcp(packet), second >= 192 && second <= 223, String(second));
  }
  assert.equal(isRtcp(hex("80c80001000000")), false, "seven octets");
  assert.equal(isRtcp(hex("00c8000100000000")), false, "STUN's version bits");
});
