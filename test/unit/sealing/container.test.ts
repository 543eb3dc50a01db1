import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import sodium from "libsodium-wrappers";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import {
  CHUNK_HEAD_BYTES,
  encodeSegmentHeader,
  MAX_ARCHIVE_KEYS,
  MAX_CHUNK_BYTES,
  MAX_SEGMENTS,
  scanContainer,
} from "../../../protocol/sealing/container-format.ts";
import { openContainer, openFirstBlock } from "../../../protocol/sealing/container-reader.ts";
import { ContainerWriter, firstSegment } from "../../../protocol/sealing/container-writer.ts";
import { rawKeyPair, rawPublicKey } from "../../../protocol/sealing/sodium.ts";

await sodium.ready;
const RECORDING = "0b2f6c0e-5d1c-4d8f-9a3e-1f2a3b4c5d6e";
const archive = rawKeyPair(generateKeyPairSync("x25519").privateKey);
const second = rawKeyPair(generateKeyPairSync("x25519").privateKey);
const stranger = rawKeyPair(generateKeyPairSync("x25519").privateKey);
const sha256 = (octets: Buffer) => createHash("sha256").update(octets).digest();
const hasCode = (code: ProtocolErrorCode) => (error: unknown) => isProtocolError(error, code);

interface Parts {
  readonly header: Buffer;
  readonly chunks: readonly Buffer[];
}

function write(blocks: readonly string[], keys = [archive.publicKey]): Parts {
  const writer = new ContainerWriter(firstSegment(RECORDING), keys, sodium);
  const chunks = blocks.map((text) => writer.seal("pcapng", Buffer.from(text)));
  chunks.push(writer.sealLast("completeness", Buffer.from("{}")));
  return { header: writer.header, chunks };
}

const fileOf = ({ header, chunks }: Parts) => Buffer.concat([header, ...chunks]);
const open = (file: Buffer) => openContainer(file, archive, sodium);
const texts = (file: Buffer) =>
  open(file).segments.map(({ blocks }) => blocks.map(({ octets }) => octets.toString()));

/** A file that its recorder left without an end, and the segment that a later one appended. */
function interrupted(): { file: Buffer; second: Buffer } {
  const writer = new ContainerWriter(firstSegment(RECORDING), [archive.publicKey], sodium);
  const file = Buffer.concat([writer.header, writer.seal("pcapng", Buffer.from("one"))]);
  writer.abandon();
  const place = { recording: RECORDING, number: 1, previousSha256: sha256(file) };
  const next = new ContainerWriter(place, [archive.publicKey], sodium);
  const tail = next.sealLast("completeness", Buffer.from("interrupted"));
  return { file, second: Buffer.concat([next.header, tail]) };
}

describe("sealed recording", () => {
  it("opens to its blocks in order", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 }), { maxLength: 6 }), (blocks) =>
        assert.deepEqual(texts(fileOf(write(blocks))), [[...blocks, "{}"]]),
      ),
      { numRuns: 30 },
    );
  });

  it("names its recording and tells its types", () => {
    const opened = open(fileOf(write(["x"])));
    assert.equal(opened.recording, RECORDING);
    const types = opened.segments[0]?.blocks.map(({ type }) => type);
    assert.deepEqual(types, ["pcapng", "completeness"]);
  });

  it("opens with any of the archive's keys and with no other", () => {
    const file = fileOf(write(["x"], [archive.publicKey, second.publicKey]));
    for (const key of [archive, second])
      assert.equal(openContainer(file, key, sodium).recording, RECORDING);
    assert.throws(() => openContainer(file, stranger, sodium), hasCode("ERR_RECORDING_KEY"));
  });

  it("holds nothing in clear", () =>
    assert.equal(fileOf(write(["sip:alice@atlanta.example.com"])).includes("alice"), false));

  it("does not open after a flipped bit, wherever it lies", () => {
    const file = fileOf(write(["one", "two"]));
    fc.assert(
      fc.property(fc.nat(file.length * 8 - 1), (bit) => {
        const altered = Buffer.from(file);
        altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        assert.throws(() => open(altered), isProtocolError);
      }),
      { numRuns: 300 },
    );
  });

  it("shows every truncation", () => {
    const file = fileOf(write(["one", "two"]));
    for (let end = 0; end < file.length; end++)
      assert.throws(() => open(file.subarray(0, end)), hasCode("ERR_RECORDING_TRUNCATED"));
  });

  it("shows chunks swapped, doubled, dropped and taken from another recording", () => {
    const { header, chunks } = write(["one", "two"]);
    const [one = header, two = header, last = header] = chunks;
    const [foreign = header] = write(["one"]).chunks;
    for (const order of [
      [two, one, last],
      [one, one, two, last],
      [two, last],
      [one, last],
      [foreign, two, last],
    ])
      assert.throws(
        () => open(Buffer.concat([header, ...order])),
        hasCode("ERR_RECORDING_ALTERED"),
      );
  });

  it("shows octets appended", () => {
    const file = fileOf(write(["one"]));
    assert.throws(() => open(Buffer.concat([file, Buffer.of(1)])), isProtocolError);
    assert.throws(() => open(Buffer.concat([file, file])), isProtocolError);
  });

  it("tells the last chunk from the others even if its clear kind is changed", () => {
    const { header, chunks } = write(["one"]);
    const [one = header] = chunks;
    const forged = Buffer.from(one);
    forged[0] = 2;
    assert.throws(() => open(Buffer.concat([header, forged])), hasCode("ERR_RECORDING_ALTERED"));
  });

  it("cuts long blocks into chunks of the greatest length", () => {
    const writer = new ContainerWriter(firstSegment(RECORDING), [archive.publicKey], sodium);
    const block = Buffer.alloc(MAX_CHUNK_BYTES, 7);
    const long = writer.seal("pcapng", block);
    const file = Buffer.concat([writer.header, long, writer.sealLast("metadata", Buffer.of(1))]);
    const [segment] = openContainer(file, archive, sodium).segments;
    assert.deepEqual(
      segment?.blocks.map(({ octets }) => octets.length),
      [MAX_CHUNK_BYTES - 1, 1, 1],
    );
    const over = new ContainerWriter(firstSegment(RECORDING), [archive.publicKey], sodium);
    assert.throws(() => over.sealLast("completeness", block), RangeError);
    over.abandon();
  });

  it("writes nothing after its end, and no empty block", () => {
    const writer = new ContainerWriter(firstSegment(RECORDING), [archive.publicKey], sodium);
    assert.throws(() => writer.seal("pcapng", Buffer.alloc(0)), RangeError);
    writer.sealLast("completeness", Buffer.from("{}"));
    writer.abandon();
    assert.throws(() => writer.seal("pcapng", Buffer.of(1)), RangeError);
    assert.throws(() => writer.sealLast("pcapng", Buffer.of(1)), RangeError);
  });

  it("bounds the archive keys", () => {
    const seal = (count: number) => {
      const keys = Array.from({ length: count }, () => archive.publicKey);
      return new ContainerWriter(firstSegment(RECORDING), keys, sodium).header;
    };
    assert.equal(scanContainer(seal(MAX_ARCHIVE_KEYS)).segments[0]?.header.slots.length, 16);
    assert.throws(() => seal(0), RangeError);
    assert.throws(() => seal(MAX_ARCHIVE_KEYS + 1), RangeError);
  });

  it("is refused in another version, and with a key count out of range", () => {
    const file = fileOf(write([]));
    for (const [offset, value] of [
      [8, 2],
      [60, 0],
      [60, 17],
    ] as const) {
      const other = Buffer.from(file);
      other.writeUInt16BE(value, offset);
      assert.throws(() => open(other), hasCode("ERR_RECORDING_SYNTAX"));
    }
  });
});

describe("interrupted recording", () => {
  it("goes on in a second segment that binds the first", () => {
    const { file, second } = interrupted();
    const opened = open(Buffer.concat([file, second]));
    assert.deepEqual(
      opened.segments.map(({ isEnded }) => isEnded),
      [false, true],
    );
    assert.deepEqual(texts(Buffer.concat([file, second])), [["one"], ["interrupted"]]);
  });

  it("is truncated without that segment", () =>
    assert.throws(() => open(interrupted().file), hasCode("ERR_RECORDING_TRUNCATED")));

  it("does not take a segment that continues other octets, or that repeats a number", () => {
    const { file } = interrupted();
    assert.throws(
      () => open(Buffer.concat([file, interrupted().second])),
      hasCode("ERR_RECORDING_ALTERED"),
    );
    const place = { recording: RECORDING, number: 0, previousSha256: sha256(file) };
    const writer = new ContainerWriter(place, [archive.publicKey], sodium);
    const again = Buffer.concat([writer.header, writer.sealLast("completeness", Buffer.of(1))]);
    assert.throws(() => open(Buffer.concat([file, again])), hasCode("ERR_RECORDING_SYNTAX"));
  });

  it("does not take another recording's segment", () => {
    const { file } = interrupted();
    const recording = RECORDING.replace("0b", "0c");
    const place = { recording, number: 1, previousSha256: sha256(file) };
    const writer = new ContainerWriter(place, [archive.publicKey], sodium);
    const other = Buffer.concat([writer.header, writer.sealLast("completeness", Buffer.of(1))]);
    assert.throws(() => open(Buffer.concat([file, other])), hasCode("ERR_RECORDING_ALTERED"));
  });

  it("bounds the segments", () => {
    const { file } = interrupted();
    let octets = file;
    const { slots, streamHeader } = scanContainer(file).segments[0]?.header ?? assert.fail();
    for (let number = 1; number < MAX_SEGMENTS; number++) {
      const header = {
        number,
        recording: RECORDING,
        previousSha256: Buffer.alloc(32),
        slots,
        streamHeader,
      };
      octets = Buffer.concat([octets, encodeSegmentHeader(header)]);
    }
    assert.equal(scanContainer(octets).segments.length, MAX_SEGMENTS);
    assert.throws(
      () => scanContainer(Buffer.concat([octets, octets])),
      hasCode("ERR_RECORDING_SYNTAX"),
    );
  });
});

describe("scan without a key", () => {
  it("finds the end of the last whole chunk in every half-written file", () => {
    const parts = write(["one", "two"]);
    const file = fileOf(parts);
    const ends = [parts.header.length];
    for (const chunk of parts.chunks) ends.push((ends.at(-1) ?? 0) + chunk.length);
    for (let length = 0; length <= file.length; length++) {
      const scan = scanContainer(file.subarray(0, length));
      const whole = ends.filter((end) => end <= length).at(-1) ?? 0;
      assert.equal(scan.wholeBytes, whole);
      assert.equal(scan.wholeBytes + scan.tornBytes, length);
    }
  });

  it("refuses octets that are neither chunk nor segment, and lengths out of range", () => {
    const { header } = write([]);
    assert.throws(() => scanContainer(Buffer.concat([header, Buffer.of(9)])), /no chunk/);
    for (const bytes of [17, MAX_CHUNK_BYTES + 18]) {
      const head = Buffer.alloc(CHUNK_HEAD_BYTES, 1);
      head.writeUInt32BE(bytes, 1);
      assert.throws(() => scanContainer(Buffer.concat([header, head])), /length/);
    }
    assert.throws(
      () => scanContainer(Buffer.from("RIFF....WAVE")),
      hasCode("ERR_RECORDING_SYNTAX"),
    );
  });

  it("is total", () => {
    const file = fileOf(write(["one"]));
    fc.assert(
      fc.property(fc.nat(file.length), fc.uint8Array({ maxLength: 80 }), (at, octets) => {
        try {
          scanContainer(Buffer.concat([file.subarray(0, at), octets]));
        } catch (error) {
          assert.ok(isProtocolError(error));
        }
      }),
    );
  });
});

describe("first block", () => {
  it("opens while the rest is still being written", () => {
    const { header, chunks } = write(["first", "second"]);
    const [one = header] = chunks;
    const { block, recording } = openFirstBlock(Buffer.concat([header, one]), archive, sodium);
    assert.equal(recording, RECORDING);
    assert.equal(block.octets.toString(), "first");
  });

  it("is truncated when there is none, or not even a header", () => {
    const { header } = write([]);
    for (const file of [header, header.subarray(0, 20)])
      assert.throws(
        () => openFirstBlock(file, archive, sodium),
        hasCode("ERR_RECORDING_TRUNCATED"),
      );
  });
});

describe("raw keys", () => {
  it("are the 32 octets of X25519, and of nothing else", () => {
    const pair = generateKeyPairSync("x25519");
    assert.deepEqual(rawPublicKey(pair.publicKey), rawKeyPair(pair.privateKey).publicKey);
    assert.equal(rawKeyPair(pair.privateKey).privateKey.length, 32);
    assert.throws(() => rawKeyPair(pair.publicKey), TypeError);
    assert.throws(() => rawPublicKey(generateKeyPairSync("ed25519").publicKey), TypeError);
  });
});
