/**
 * Makes inputs out of inputs: what a careless or hostile peer might send. The same seed makes the
 * same inputs.
 */

/** A number below `limit`. */
export type Chance = (limit: number) => number;

/** xorshift32: small, fast and good enough to be surprising. */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % limit;
  };
}

/** Pieces of grammar, and the spots where parsers differ. */
const SCRAPS = [
  ...'<>"\\;,=@:?&%/*[]() \t\0\x7f\xff',
  "\r\n",
  "\r\n ",
  "\r",
  "\n",
  "\r\n\r\n",
  "SIP/2.0",
  "SIP/2.0/UDP ",
  "sip:",
  "sips:",
  "tel:+1",
  "z9hG4bK",
  ";branch=",
  ";tag=",
  ";lr",
  ";received=",
  ";rport",
  "[::1]",
  "[2001:db8:::192.0.2.1]",
  ":99999",
  "%00",
  "%",
  "4294967296",
  "-1",
  "00000000000000000000",
  "Content-Length: 0\r\n",
  "l: 99\r\n",
  "Via: ",
  "Route: <sip:proxy.example.com;lr>\r\n",
  "Require: x\r\n",
  "INVITE",
  "ACK",
  "CANCEL",
  "REGISTER",
  "Digest ",
  'realm="example.com",',
  "nc=00000001,",
  "UTF-8''a",
  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:",
  "m=audio 0 RTP/SAVP 0\r\n",
  "c=IN IP6 ::\r\n",
].map((text) => Buffer.from(text, "latin1"));

const MAX_INPUT_BYTES = 40_000;
const MAX_CHANGES = 6;
const MAX_REPEATS = 4_000;

type Change = (input: Buffer, chance: Chance, pool: readonly Buffer[]) => Buffer;

const pick = <T>(items: readonly T[], chance: Chance): T | undefined => items[chance(items.length)];

/** Everything before `at`, something else, everything from `to` on. */
const splice = (input: Buffer, at: number, to: number, put: Uint8Array): Buffer =>
  Buffer.concat([input.subarray(0, at), put, input.subarray(Math.max(at, to))]);

function range(input: Buffer, chance: Chance): readonly [at: number, to: number] {
  const at = chance(input.length + 1);
  return [at, Math.min(input.length, at + 1 + chance(chance(4) === 0 ? 200 : 12))];
}

/** Where the lines of the head begin. */
function lineStarts(input: Buffer): number[] {
  const starts = [0];
  for (let at = input.indexOf("\r\n"); at >= 0; at = input.indexOf("\r\n", at + 2))
    starts.push(at + 2);
  return starts;
}

const CHANGES: readonly Change[] = [
  (input, chance) => {
    const [at] = range(input, chance);
    return splice(input, at, at + 1, Buffer.from([chance(256)]));
  },
  (input, chance) => {
    const [at, to] = range(input, chance);
    return splice(input, at, to, Buffer.alloc(0));
  },
  (input, chance) => {
    const [at] = range(input, chance);
    return splice(input, at, at, pick(SCRAPS, chance) ?? Buffer.alloc(0));
  },
  (input, chance) => {
    const [at, to] = range(input, chance);
    return splice(input, at, to, pick(SCRAPS, chance) ?? Buffer.alloc(0));
  },
  // A piece of it many times: what costs more than linear time shows here.
  (input, chance) => {
    const [at, to] = range(input, chance);
    const times = 1 + chance(chance(8) === 0 ? MAX_REPEATS : 8);
    const piece = input.subarray(at, to);
    const room = Math.max(0, MAX_INPUT_BYTES - input.length);
    const count = Math.min(times, Math.floor(room / Math.max(1, piece.length)));
    return splice(input, at, at, Buffer.concat(Array.from({ length: count }, () => piece)));
  },
  // A line of another input.
  (input, chance, pool) => {
    const other = pick(pool, chance) ?? input;
    const starts = lineStarts(other);
    const at = pick(starts, chance) ?? 0;
    const end = other.indexOf("\r\n", at);
    const line = end < 0 ? other.subarray(at) : other.subarray(at, end + 2);
    const to = pick(lineStarts(input), chance) ?? 0;
    return splice(input, to, to, line);
  },
  // The head of one and the tail of another.
  (input, chance, pool) => {
    const other = pick(pool, chance) ?? input;
    const [at] = range(input, chance);
    return splice(input, at, input.length, other.subarray(chance(other.length + 1)));
  },
  // A line gone.
  (input, chance) => {
    const at = pick(lineStarts(input), chance) ?? 0;
    const end = input.indexOf("\r\n", at);
    return end < 0 ? input : splice(input, at, end + 2, Buffer.alloc(0));
  },
];

/** An input of the pool, changed once or several times; never beyond 40,000 octets. */
export function mutate(pool: readonly Buffer[], chance: Chance): Buffer {
  let input = pick(pool, chance) ?? Buffer.alloc(0);
  for (let left = 1 + chance(MAX_CHANGES); left > 0; left -= 1)
    input = pick(CHANGES, chance)?.(input, chance, pool) ?? input;
  return input.subarray(0, MAX_INPUT_BYTES);
}
