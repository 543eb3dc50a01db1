/**
 * G.711: speech at 8000 samples a second in one octet each (ITU-T G.711, tables 1 and 2). Pure.
 * Samples are 16-bit linear: the 14 bits of µ-law and the 13 of A-law stand at the top, as every
 * sound card has them. Both laws are a sign, 8 segments of doubling step, and 16 steps each.
 */

const SIGN = 0x80;
/** µ-law octets go inverted; A-law inverts every second bit. */
const MU_INVERSION = 0xff;
const A_INVERSION = 0x55;
/** Half a step of the first µ-law segment on each side of zero, in 16-bit units. */
const MU_BIAS = 0x84;

const MU_DECODED = Int16Array.from({ length: 256 }, (_, octet) => decodeMu(octet));
const A_DECODED = Int16Array.from({ length: 256 }, (_, octet) => decodeA(octet));
const MU_ENCODED = Uint8Array.from({ length: 65_536 }, (_, at) => encodeMu(at - 32_768));
const A_ENCODED = Uint8Array.from({ length: 65_536 }, (_, at) => encodeA(at - 32_768));

/** µ-law (PCMU) octets to 16-bit samples. */
export const decodeMuLaw = (octets: Uint8Array): Int16Array =>
  Int16Array.from(octets, (octet) => MU_DECODED[octet] ?? 0);

/** 16-bit samples to µ-law (PCMU) octets. */
export const encodeMuLaw = (samples: Int16Array): Buffer =>
  Buffer.from(Uint8Array.from(samples, (sample) => MU_ENCODED[sample + 32_768] ?? 0));

/** A-law (PCMA) octets to 16-bit samples. */
export const decodeALaw = (octets: Uint8Array): Int16Array =>
  Int16Array.from(octets, (octet) => A_DECODED[octet] ?? 0);

/** 16-bit samples to A-law (PCMA) octets. */
export const encodeALaw = (samples: Int16Array): Buffer =>
  Buffer.from(Uint8Array.from(samples, (sample) => A_ENCODED[sample + 32_768] ?? 0));

/** Silence as each law sends it. */
export const MU_LAW_SILENCE = 0xff;
export const A_LAW_SILENCE = 0xd5;

function decodeMu(octet: number): number {
  const code = octet ^ MU_INVERSION;
  const magnitude = ((((code & 0x0f) << 3) + MU_BIAS) << ((code >> 4) & 7)) - MU_BIAS;
  return (code & SIGN) === 0 ? magnitude : -magnitude;
}

function encodeMu(sample: number): number {
  const sign = sample < 0 ? SIGN : 0;
  // The decision values of table 2 lie on 14-bit steps: the two lowest bits do not count.
  const magnitude = Math.min(Math.abs((sample >> 2) << 2), 32_635) + MU_BIAS;
  const segment = 31 - Math.clz32(magnitude) - 7;
  return (sign | (segment << 4) | ((magnitude >> (segment + 3)) & 0x0f)) ^ MU_INVERSION;
}

/** A-law codes positive values with the sign bit set. Segments 0 and 1 share one step. */
function decodeA(octet: number): number {
  const code = octet ^ A_INVERSION;
  const segment = (code >> 4) & 7;
  const step = ((code & 0x0f) << 4) + 8;
  const magnitude = segment === 0 ? step : (step + 0x100) << (segment - 1);
  return (code & SIGN) === 0 ? -magnitude : magnitude;
}

function encodeA(sample: number): number {
  const sign = sample < 0 ? 0 : SIGN;
  // One's complement, so that -1 falls into the first negative interval, as table 1 has it.
  const magnitude = sample < 0 ? ~sample : sample;
  const segment = Math.max(31 - Math.clz32(magnitude) - 7, 0);
  const step = (magnitude >> (segment === 0 ? 4 : segment + 3)) & 0x0f;
  return (sign | (segment << 4) | step) ^ A_INVERSION;
}
