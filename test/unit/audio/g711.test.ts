import assert from "node:assert/strict";
import { test } from "node:test";
import {
  A_LAW_SILENCE,
  decodeALaw,
  decodeMuLaw,
  encodeALaw,
  encodeMuLaw,
  MU_LAW_SILENCE,
} from "../../../protocol/audio/g711.ts";

const OCTETS = Uint8Array.from({ length: 256 }, (_, octet) => octet);
const SAMPLES = Int16Array.from({ length: 65_536 }, (_, at) => at - 32_768);
/** The second zero of µ-law, which no encoder sends. */
const NEGATIVE_ZERO = 0x7f;

const LAWS = [
  { name: "µ-law", encode: encodeMuLaw, decode: decodeMuLaw, stepMin: 8, bias: 136, top: 32_124 },
  { name: "A-law", encode: encodeALaw, decode: decodeALaw, stepMin: 16, bias: 1, top: 32_256 },
] as const;

/** Output values of G.711, column 7 of tables 1 and 2, at the top of each 16-bit sample. */
const PUBLISHED: readonly [string, (octets: Uint8Array) => Int16Array, [number, number][]][] = [
  [
    "µ-law",
    decodeMuLaw,
    [
      [0x80, 8031 * 4],
      [0x8f, 4191 * 4],
      [0x9f, 2079 * 4],
      [0xaf, 1023 * 4],
      [0xbf, 495 * 4],
      [0xcf, 231 * 4],
      [0xdf, 99 * 4],
      [0xef, 33 * 4],
      [0xfe, 2 * 4],
      [0xff, 0],
      [0x7f, 0],
      [0x7e, -2 * 4],
      [0x00, -8031 * 4],
    ],
  ],
  [
    "A-law",
    decodeALaw,
    [
      [0x80 ^ 0x7f ^ 0x55, 4032 * 8],
      [0x80 ^ 0x70 ^ 0x55, 2112 * 8],
      [0x80 ^ 0x60 ^ 0x55, 1056 * 8],
      [0x80 ^ 0x50 ^ 0x55, 528 * 8],
      [0x80 ^ 0x40 ^ 0x55, 264 * 8],
      [0x80 ^ 0x30 ^ 0x55, 132 * 8],
      [0x80 ^ 0x20 ^ 0x55, 66 * 8],
      [0xd5, 8],
      [0x55, -8],
      [0x7f ^ 0x55, -4032 * 8],
    ],
  ],
];

for (const [name, decode, rows] of PUBLISHED)
  test(`${name}: output values of ITU-T G.711`, () => {
    for (const [octet, value] of rows) assert.equal(decode(Uint8Array.of(octet))[0], value);
  });

for (const { name, encode, decode, stepMin, bias, top } of LAWS) {
  test(`${name}: every octet that is sent decodes and encodes to itself`, () => {
    const sent = OCTETS.filter((octet) => name === "A-law" || octet !== NEGATIVE_ZERO);
    assert.deepEqual([...encode(decode(sent))], [...sent]);
  });

  test(`${name}: each sample comes back within half its step`, () => {
    const heard = decode(encode(SAMPLES));
    for (const [at, sample] of SAMPLES.entries()) {
      const size = Math.abs(sample);
      const step = Math.max(stepMin, 2 ** Math.floor(Math.log2(size + bias) - 4));
      const error = Math.abs((heard[at] ?? Number.NaN) - sample);
      const clipped = Math.max(0, size - top);
      assert.ok(error <= step / 2 + 4 + clipped, `${sample}: ${error}`);
    }
  });

  test(`${name}: louder in is never softer out`, () => {
    const heard = decode(encode(SAMPLES));
    assert.ok(heard.every((value, at) => at === 0 || value >= (heard[at - 1] ?? 0)));
  });
}

test("silence", () => {
  assert.equal(encodeMuLaw(Int16Array.of(0))[0], MU_LAW_SILENCE);
  assert.equal(encodeALaw(Int16Array.of(0))[0], A_LAW_SILENCE);
});
