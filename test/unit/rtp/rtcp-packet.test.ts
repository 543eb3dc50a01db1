import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import type { ReportBlock } from "../../../protocol/rtp/report-block.ts";
import { decodeRtcp, encodeRtcp, type RtcpPacket } from "../../../protocol/rtp/rtcp-packet.ts";
import { CNAME } from "../../../protocol/rtp/source-lists.ts";

/** Made as a literal is, so that deepEqual compares the prototype too. */
const LITERAL = { noNullPrototype: true } as const;

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const text = fc.string({ unit: "grapheme", maxLength: 60 });

const reports: fc.Arbitrary<ReportBlock[]> = fc.array(
  fc.record(
    {
      ssrc: uint32,
      fractionLost: fc.integer({ min: 0, max: 255 }),
      packetsLost: fc.integer({ min: -0x80_0000, max: 0x7f_ffff }),
      highestSequenceNumber: uint32,
      jitter: uint32,
      lastSenderReport: uint32,
      delaySinceLastSenderReport: uint32,
    },
    LITERAL,
  ),
  { maxLength: 31 },
);

const senderReport: fc.Arbitrary<RtcpPacket> = fc.record(
  {
    kind: fc.constant("sender-report"),
    ssrc: uint32,
    ntpTimestamp: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    rtpTimestamp: uint32,
    packetCount: uint32,
    octetCount: uint32,
    reports,
  },
  LITERAL,
);
const receiverReport: fc.Arbitrary<RtcpPacket> = fc.record(
  {
    kind: fc.constant("receiver-report"),
    ssrc: uint32,
    reports,
  },
  LITERAL,
);
const items = fc.array(fc.record({ type: fc.integer({ min: 1, max: 8 }), text }, LITERAL), {
  maxLength: 4,
});
const sourceDescription: fc.Arbitrary<RtcpPacket> = fc.record(
  {
    kind: fc.constant("source-description"),
    chunks: fc.array(fc.record({ ssrc: uint32, items }, LITERAL), { maxLength: 5 }),
  },
  LITERAL,
);
const goodbye: fc.Arbitrary<RtcpPacket> = fc.record(
  { kind: fc.constant("goodbye"), ssrcs: fc.array(uint32, { maxLength: 31 }), reason: text },
  { ...LITERAL, requiredKeys: ["kind", "ssrcs"] },
);
const other: fc.Arbitrary<RtcpPacket> = fc.record(
  {
    kind: fc.constant("other"),
    packetType: fc.integer({ min: 204, max: 207 }),
    count: fc.integer({ min: 0, max: 31 }),
    body: fc
      .uint8Array({ maxLength: 40 })
      .map((o) => Buffer.alloc(4 * Math.floor(o.length / 4), o[0])),
  },
  LITERAL,
);
const compound = fc.array(
  fc.oneof(senderReport, receiverReport, sourceDescription, goodbye, other),
  { minLength: 1, maxLength: 4 },
);

test("a compound packet, field by field", () => {
  const packet = hex(
    "81c8000c 00000001 e5f1a2b380000000 00000140 00000002 00000190" +
      "00000002 40 fffffe 00010005 00000007 a2b38000 00010000" +
      "81ca0003 00000001 0103 612e62 000000" +
      "81cb0002 00000001 03 656e64",
  );
  const decoded = decodeRtcp(packet);
  assert.deepEqual(decoded, [
    {
      kind: "sender-report",
      ssrc: 1,
      ntpTimestamp: 0xe5f1a2b380000000n,
      rtpTimestamp: 320,
      packetCount: 2,
      octetCount: 400,
      reports: [
        {
          ssrc: 2,
          fractionLost: 64,
          packetsLost: -2,
          highestSequenceNumber: 65_541,
          jitter: 7,
          lastSenderReport: 0xa2b38000,
          delaySinceLastSenderReport: 65_536,
        },
      ],
    },
    { kind: "source-description", chunks: [{ ssrc: 1, items: [{ type: CNAME, text: "a.b" }] }] },
    { kind: "goodbye", ssrcs: [1], reason: "end" },
  ]);
  assert.ok(encodeRtcp(decoded).equals(packet));
});

test("what is encoded decodes to the same", () => {
  fc.assert(
    fc.property(compound, (packets) => {
      assert.deepEqual(decodeRtcp(encodeRtcp(packets)), packets);
    }),
  );
});

test("padding on the last packet is taken off", () => {
  const [packet] = decodeRtcp(hex("a1cb0002 00000001 00000004"));
  assert.deepEqual(packet, { kind: "goodbye", ssrcs: [1] });
});

const broken: readonly [string, string][] = [
  ["nothing", ""],
  ["a header cut off", "80c9"],
  ["version 1", "40c90001 00000001"],
  ["a length beyond the datagram", "80c90002 00000001"],
  ["a second packet of version 0", "80c90001 00000001 00000000"],
  ["a report that is not there", "81c90001 00000001"],
  ["a sender report cut short", "80c80001 00000001"],
  ["a chunk without its end", "81ca0002 00000001 01026162"],
  ["a text beyond its chunk", "81ca0002 00000001 01ff6162"],
  ["octets behind the chunks", "81ca0003 00000001 00000000 00000000"],
  ["a goodbye for more sources than named", "82cb0001 00000001"],
  ["a goodbye with a text cut off", "81cb0002 00000001 04616263"],
  ["padding of 0", "a0c90002 00000001 00000000"],
  ["padding of 3", "a0c90002 00000001 00000003"],
  ["padding beyond the body", "a0c90001 00000008"],
  ["padding before the last packet", "a1cb0002 00000001 00000004 80c90001 00000001"],
];

for (const [what, octets] of broken)
  test(`refused: ${what}`, () => {
    const isSyntax = (error: unknown) => isProtocolError(error, "ERR_RTCP_SYNTAX");
    assert.throws(() => decodeRtcp(hex(octets)), isSyntax);
  });

test("the decoder is total: packets or a ProtocolError", () => {
  const near = fc.tuple(compound, fc.nat(), fc.nat(255)).map(([packets, at, octet]) => {
    const encoded = encodeRtcp(packets);
    encoded[at % encoded.length] = octet;
    return encoded;
  });
  fc.assert(
    fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 64 })), (octets) => {
      try {
        return decodeRtcp(octets).length > 0;
      } catch (error) {
        return isProtocolError(error, "ERR_RTCP_SYNTAX");
      }
    }),
    { numRuns: 500 },
  );
});

const unfit: readonly [string, RtcpPacket][] = [
  ["32 sources", { kind: "goodbye", ssrcs: Array<number>(32).fill(1) }],
  ["a text of 256 octets", { kind: "goodbye", ssrcs: [1], reason: "x".repeat(256) }],
  ["half a word", { kind: "other", packetType: 204, count: 0, body: Buffer.alloc(2) }],
];

for (const [what, packet] of unfit)
  test(`cannot be encoded: ${what}`, () => {
    assert.throws(() => encodeRtcp([packet]), RangeError);
  });
