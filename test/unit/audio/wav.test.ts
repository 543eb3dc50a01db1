import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeTelephoneWav,
  decodeWav,
  encodeWav,
  WAV_BYTES_MAX,
} from "../../../protocol/audio/wav.ts";
import { isProtocolError } from "../../../protocol/errors.ts";

/** Made as a literal is, so that deepEqual compares the prototype too. */
const LITERAL = { noNullPrototype: true } as const;

const MONO = encodeWav({ sampleRateHz: 8000, channels: [Int16Array.of(1, -2, 32_767, -32_768)] });
const sound = fc
  .tuple(fc.integer({ min: 1, max: 192_000 }), fc.nat(50), fc.boolean())
  .chain(([sampleRateHz, length, stereo]) =>
    fc.record(
      {
        sampleRateHz: fc.constant(sampleRateHz),
        channels: fc.array(fc.int16Array({ minLength: length, maxLength: length }), {
          minLength: stereo ? 2 : 1,
          maxLength: stereo ? 2 : 1,
        }),
      },
      LITERAL,
    ),
  );

const changed = (at: number, value: number): Buffer => {
  const file = Buffer.from(MONO);
  file.writeUInt16LE(value, at);
  return file;
};

test("what is encoded decodes to the same", () => {
  fc.assert(fc.property(sound, (made) => assert.deepEqual(decodeWav(encodeWav(made)), made)));
});

test("channels are interleaved, left first", () => {
  const file = encodeWav({
    sampleRateHz: 8000,
    channels: [Int16Array.of(1, 3), Int16Array.of(2, 4)],
  });
  assert.equal(file.subarray(44).toString("hex"), "0100020003000400");
});

test("other chunks are passed over, padded to even length", () => {
  const extra = Buffer.from("LIST\x03\0\0\0abc\0", "latin1");
  const file = Buffer.concat([MONO.subarray(0, 36), extra, MONO.subarray(36)]);
  assert.deepEqual(decodeTelephoneWav(file), Int16Array.of(1, -2, 32_767, -32_768));
});

test("the committed voices can be played", () => {
  for (const name of ["alice", "bob"]) {
    const file = readFileSync(new URL(`../../../lab/voices/${name}.wav`, import.meta.url));
    const seconds = decodeTelephoneWav(file).length / 8000;
    assert.ok(seconds > 3 && seconds < 5, name);
  }
});

const faults: readonly [string, Buffer, RegExp][] = [
  ["nothing", Buffer.alloc(0), /RIFF/],
  ["another format", Buffer.from("RIFX0000WAVE"), /RIFF/],
  ["no chunks", MONO.subarray(0, 12), /no format chunk/],
  [
    "a format chunk cut short",
    Buffer.from("RIFF0000WAVEfmt \x02\0\0\0\x01\0", "latin1"),
    /no format/,
  ],
  ["no sound", MONO.subarray(0, 36), /no data chunk/],
  ["a file cut off", MONO.subarray(0, -1), /cut off/],
  ["another coding", changed(20, 7), /coding 7/],
  ["8 bits a sample", changed(34, 8), /8 bits/],
  ["no channel", changed(22, 0), /0 channels/],
  ["three channels", changed(22, 3), /3 channels/],
  ["rate 0", changed(24, 0), /rate 0/],
  ["half a sample", changed(40, 7), /last sample/],
  ["a file too large", Buffer.alloc(WAV_BYTES_MAX + 1), /too large/],
];

for (const [what, file, message] of faults)
  test(`refused, saying why: ${what}`, () => {
    assert.throws(
      () => decodeWav(file),
      (error) => isProtocolError(error, "ERR_WAV") && message.test(error.message),
    );
  });

test("a telephone plays one channel at 8000 Hz only", () => {
  assert.throws(() => decodeTelephoneWav(changed(24, 16_000)), /16000 Hz/);
  const stereo = encodeWav({
    sampleRateHz: 8000,
    channels: [new Int16Array(2), new Int16Array(2)],
  });
  assert.throws(() => decodeTelephoneWav(stereo), /stereo/);
});

test("a sound that is none cannot be written", () => {
  const write = (...channels: Int16Array[]) => encodeWav({ sampleRateHz: 8000, channels });
  assert.throws(() => write(), RangeError);
  assert.throws(() => write(new Int16Array(1), new Int16Array(1), new Int16Array(1)), RangeError);
  assert.throws(() => write(new Int16Array(1), new Int16Array(2)), RangeError);
});

test("the decoder is total: a sound or a ProtocolError", () => {
  const near = fc
    .tuple(sound, fc.nat(60), fc.nat(255), fc.nat(300))
    .map(([made, at, octet, bytes]) => {
      const file = encodeWav(made);
      file[at % file.length] = octet;
      return file.subarray(0, bytes);
    });
  fc.assert(
    fc.property(near, (file) => {
      try {
        return decodeWav(file).channels.length > 0;
      } catch (error) {
        return isProtocolError(error, "ERR_WAV");
      }
    }),
  );
});
