/**
 * What reading and writing SIP messages costs: a call's everyday INVITE, and messages of growing
 * size, whose cost an octet must not grow.
 */
import { messageFault } from "../protocol/sip/check-message.ts";
import { MAX_HEAD_BYTES, MAX_HEADER_ROWS, parseMessage } from "../protocol/sip/parse-message.ts";
import { REMEMBERED_TEXTS } from "../protocol/sip/remember.ts";
import { serializeMessage } from "../protocol/sip/serialize-message.ts";
import { rounded } from "./interleave.ts";

const SDP = [
  "v=0",
  "o=alice 2890844526 2890844526 IN IP4 192.0.2.101",
  "s=-",
  "c=IN IP4 192.0.2.101",
  "t=0 0",
  "m=audio 49172 RTP/SAVP 0 8",
  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
  "a=rtpmap:0 PCMU/8000",
  "",
].join("\r\n");

/** The shape of RFC 3665 §3.8 F1, with ten header rows; every call has its own texts. */
const inviteOf = (call: number): string =>
  [
    "INVITE sip:bob@biloxi.example.com SIP/2.0",
    `Via: SIP/2.0/UDP client.atlanta.example.com:5060;branch=z9hG4bK74b${call};rport`,
    "Max-Forwards: 70",
    `From: "Alice" <sip:alice${call}@atlanta.example.com>;tag=9fxced76sl${call}`,
    `To: Bob <sip:bob${call}@biloxi.example.com>`,
    `Call-ID: 3848276298220188511${call}@atlanta.example.com`,
    "CSeq: 1 INVITE",
    `Contact: <sip:alice${call}@client.atlanta.example.com;transport=udp>`,
    "User-Agent: bench",
    "Content-Type: application/sdp",
    `Content-Length: ${SDP.length}`,
    "",
    SDP,
  ].join("\r\n");

const START =
  "OPTIONS sip:a@b SIP/2.0\r\nv: SIP/2.0/TCP a;branch=z9hG4bKx\r\nf: <sip:a@b>;tag=x\r\n" +
  "t: <sip:a@b>\r\ni: x\r\nCSeq: 1 OPTIONS\r\n";
const ROWS_AT_START = 6;

/** Messages filled to a size in each way a head or body can grow. */
const FILLED: Readonly<Record<string, (bytes: number) => string>> = {
  rows: (bytes) => {
    const rows = MAX_HEADER_ROWS - ROWS_AT_START;
    return `${START}${`X: ${"x".repeat(bytes / rows - 5)}\r\n`.repeat(rows)}\r\n`;
  },
  "one row": (bytes) => `${START}X: ${"x".repeat(bytes)}\r\n\r\n`,
  folds: (bytes) => `${START}X: x\r\n${" x\r\n".repeat(bytes / 4)}\r\n`,
  list: (bytes) => `${START}Route: <sip:a;lr>${", <sip:a;lr>".repeat(bytes / 12)}\r\n\r\n`,
  body: (bytes) => `${START}l: ${bytes * 2}\r\n\r\n${"x".repeat(bytes * 2)}`,
};
const SIZES = [MAX_HEAD_BYTES / 8, MAX_HEAD_BYTES / 4, MAX_HEAD_BYTES / 2, MAX_HEAD_BYTES - 256];

/** More calls than remembered texts: each message is news, as it is to a proxy. */
const CALLS = 4 * REMEMBERED_TEXTS;

export async function benchSipParse(): Promise<object> {
  const wires = Array.from({ length: CALLS }, (_, call) => Buffer.from(inviteOf(call), "latin1"));
  const messages = wires.map((wire) => parseMessage(wire));
  const figures = {
    bytes: wires[0]?.length,
    parseMicros: microsEach(wires, (wire) => parseMessage(wire)),
    checkMicros: microsEach(messages, (message) => messageFault(message)),
    serializeMicros: microsEach(messages, (message) => serializeMessage(message)),
  };
  process.stdout.write(
    `an INVITE of ${figures.bytes} octets: parsed in ${figures.parseMicros} µs, `,
  );
  process.stdout.write(
    `checked in ${figures.checkMicros}, written in ${figures.serializeMicros}\n`,
  );
  const growth = Object.entries(FILLED).map(([filling, fill]) => growthOf(filling, fill));
  return { ...figures, worstGrowth: Math.max(...growth), linear: Math.max(...growth) < 3 };
}

/** Prints time by size; how much dearer an octet is in the largest message than in the smallest. */
function growthOf(filling: string, fill: (bytes: number) => string): number {
  const nanos = SIZES.map((size) => {
    const wire = Buffer.from(fill(size), "latin1");
    const took = micros(() => messageFault(parseMessage(wire)), 100);
    const each = rounded((took * 1000) / wire.length);
    process.stdout.write(
      `${filling.padEnd(8)}${String(wire.length).padStart(7)} octets${String(took).padStart(9)} µs${String(each).padStart(8)} ns an octet\n`,
    );
    return each;
  });
  return rounded((nanos.at(-1) ?? Number.NaN) / (nanos[0] ?? Number.NaN));
}

const microsEach = <T>(of: readonly T[], once: (item: T) => unknown): number =>
  rounded(micros(() => of.map(once), 5) / of.length);

const ROUNDS = 15;

/** Microseconds a call in the best of the rounds: what other programs take is not counted. */
function micros(once: () => unknown, calls: number): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round += 1) {
    const from = process.hrtime.bigint();
    for (let call = 0; call < calls; call += 1) once();
    best = Math.min(best, Number(process.hrtime.bigint() - from) / 1000 / calls);
  }
  return rounded(best);
}
