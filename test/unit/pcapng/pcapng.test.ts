import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import { decodePcapng, MAX_BLOCK_BYTES } from "../../../protocol/pcapng/decode-pcapng.ts";
import {
  encodePacket,
  encodeSection,
  MAX_COMMENT_BYTES,
  type PcapngPacket,
} from "../../../protocol/pcapng/encode-pcapng.ts";

const section = encodeSection("keyhole", [
  { name: "media", description: "authenticated" },
  { name: "kept apart", description: "not authenticated" },
]);
const isSyntax = (error: unknown) => isProtocolError(error, "ERR_PCAPNG_SYNTAX");
const read = (octets: Uint8Array) => [...decodePcapng(octets)];
const packetsOf = (octets: Uint8Array) =>
  read(octets).flatMap((block) => (block.kind === "packet" ? [block.packet] : []));

const packets = fc.array(
  fc
    .record({
      interfaceId: fc.integer({ min: 0, max: 1 }),
      micros: fc.maxSafeNat(),
      octets: fc.uint8Array({ maxLength: 90 }).map((octets) => Buffer.from(octets)),
      comment: fc.option(fc.string({ maxLength: 20, unit: "grapheme-ascii" }), { nil: undefined }),
    })
    .map(
      ({ comment, ...rest }): PcapngPacket => (comment === undefined ? rest : { ...rest, comment }),
    ),
);

describe("pcapng", () => {
  it("round trips", () => {
    fc.assert(
      fc.property(packets, (sent) =>
        assert.deepEqual(packetsOf(Buffer.concat([section, ...sent.map(encodePacket)])), sent),
      ),
    );
  });

  it("gives each block its own octets: written again, they are the file", () => {
    const packet = { interfaceId: 1, micros: 5, octets: Buffer.from("abc"), comment: "why" };
    const file = Buffer.concat([section, encodePacket(packet)]);
    assert.deepEqual(Buffer.concat(read(file).map(({ raw }) => raw)), file);
    assert.deepEqual(
      read(file).map(({ kind }) => kind),
      ["section", "interface", "interface", "packet"],
    );
  });

  it("may hold several sections, each with its own interfaces", () => {
    const packet = { interfaceId: 0, micros: 5, octets: Buffer.from("abc") };
    const file = Buffer.concat([section, encodePacket(packet)]);
    assert.equal(packetsOf(Buffer.concat([file, file])).length, 2);
    const bare = encodeSection("keyhole", []);
    assert.throws(() => read(Buffer.concat([file, bare, encodePacket(packet)])), isSyntax);
  });

  it("passes over blocks of other kinds", () => {
    const other = Buffer.alloc(12);
    other.writeUInt32LE(5, 0);
    other.writeUInt32LE(12, 4);
    other.writeUInt32LE(12, 8);
    assert.equal(read(Buffer.concat([section, other])).at(-1)?.kind, "other");
  });

  it("shows every true prefix that ends inside a block", () => {
    const file = encodeSection("k", []);
    for (let end = 1; end < file.length; end++)
      assert.throws(() => read(file.subarray(0, end)), isSyntax);
  });

  const changed = (offset: number, change: (file: Buffer, at: number) => unknown) => {
    const file = Buffer.from(section);
    change(file, offset);
    return file;
  };
  const interfaceAt = section.readUInt32LE(4);
  const bad: readonly [string, Buffer][] = [
    ["another byte order", changed(8, (file, at) => file.writeUInt32BE(0x1a2b3c4d, at))],
    ["no section", section.subarray(interfaceAt)],
    ["another link type", changed(interfaceAt + 8, (file, at) => file.writeUInt16LE(1, at))],
    ["a length not a multiple of 4", changed(4, (file, at) => file.writeUInt32LE(29, at))],
    ["two lengths", changed(interfaceAt - 4, (file, at) => file.writeUInt32LE(0, at))],
    ["a long block", changed(4, (file, at) => file.writeUInt32LE(MAX_BLOCK_BYTES + 4, at))],
    [
      "nanoseconds",
      changed(section.indexOf(Buffer.from([9, 0, 1, 0, 6])) + 4, (file, at) =>
        file.writeUInt8(9, at),
      ),
    ],
  ];
  for (const [what, file] of bad)
    it(`refuses ${what}`, () => assert.throws(() => read(file), isSyntax));

  it("is total", () => {
    const file = Buffer.concat([
      section,
      encodePacket({ interfaceId: 0, micros: 5, octets: Buffer.from("abc"), comment: "why" }),
    ]);
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(255), (at, octet) => {
        const altered = Buffer.from(file);
        altered[at] = octet;
        try {
          read(altered);
        } catch (error) {
          assert.ok(isSyntax(error));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("bounds a comment", () => {
    const packet = { interfaceId: 0, micros: 0, octets: Buffer.alloc(1) };
    encodePacket({ ...packet, comment: "c".repeat(MAX_COMMENT_BYTES) });
    assert.throws(
      () => encodePacket({ ...packet, comment: "c".repeat(MAX_COMMENT_BYTES + 1) }),
      RangeError,
    );
  });
});
