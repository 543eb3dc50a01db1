/**
 * The ledger of recordings: one signed JSON object a line, each bound to the line before it
 * (docs/recording-format.md §4). Pure.
 *
 *     {"sequence":2,"time":"…","previous":"…","key":"…","act":{…},"signature":"…"}
 *     `----------------- signed octets ---------------'
 *
 * `previous` is the SHA-256 of the line before, its line feed left out; 64 zeros for the first.
 * The Ed25519 signature is over CONTEXT and all octets before `,"signature":`; the line is taken
 * as it stands, so nothing has to be put into a canonical form.
 */

import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { z } from "zod";
import { ProtocolError } from "../errors.ts";

/** Octets of one line. */
export const MAX_LEDGER_LINE_BYTES = 4096;

const CONTEXT = Buffer.from("keyhole ledger entry 1\0", "ascii");
const SIGNATURE_HEAD = ',"signature":"';
const SIGNATURE_CHARS = 88; // base64 of 64 octets
const TAIL_CHARS = SIGNATURE_HEAD.length + SIGNATURE_CHARS + 2;
const ZERO_SHA256 = "0".repeat(64);

const sha256 = z.string().regex(/^[\da-f]{64}$/);
const act = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("recording.opened"), recording: z.uuid() }),
  /** A recorder that had been interrupted goes on with it, in a new segment. */
  z.strictObject({ kind: z.literal("recording.resumed"), recording: z.uuid() }),
  z.strictObject({
    kind: z.literal("recording.closed"),
    recording: z.uuid(),
    /** Of the sealed file, as closed. */
    bytes: z.int().min(0),
    sha256,
    durationMs: z.int().min(0),
    verdict: z.enum(["complete", "complete-with-gaps", "not-recorded"]),
    /** Why it was closed. */
    reason: z.string().max(512),
  }),
]);
const entry = z.strictObject({
  sequence: z.int().min(1),
  time: z.iso.datetime(),
  previous: sha256,
  /** `ledgerKeyId` of the key that signed. */
  key: z.string().regex(/^[\da-f]{32}$/),
  act,
});

/** What is told of a recording. */
export type LedgerAct = Readonly<z.infer<typeof act>>;
export type LedgerEntry = Readonly<z.infer<typeof entry>>;
export type VerdictKind = Extract<LedgerAct, { kind: "recording.closed" }>["verdict"];

/** The end of a ledger: what its next entry is bound to. */
export interface LedgerHead {
  /** Of the last entry; 0 if there is none. */
  readonly sequence: number;
  /** Of the last line, lower-case hex. */
  readonly sha256: string;
}

export const EMPTY_LEDGER: LedgerHead = { sequence: 0, sha256: ZERO_SHA256 };

/** One entry as it was read, with the octets that its signature covers. */
export interface LedgerLine {
  readonly entry: LedgerEntry;
  readonly signed: Buffer;
  readonly signature: Buffer;
}

/** Names a signing key: the first 16 octets of SHA-256 of its 32, lower-case hex. */
export function ledgerKeyId(key: KeyObject): string {
  const { x } = key.export({ format: "jwk" });
  if (key.asymmetricKeyType !== "ed25519" || typeof x !== "string")
    throw new TypeError("a ledger is signed with an Ed25519 key");
  const digest = createHash("sha256").update(Buffer.from(x, "base64url")).digest("hex");
  return digest.slice(0, 32);
}

/**
 * The next line, without a line feed, and the head after it.
 * @param time RFC 3339, UTC.
 */
export function signEntry(
  head: LedgerHead,
  time: string,
  act: LedgerAct,
  key: KeyObject,
): { readonly line: Buffer; readonly head: LedgerHead } {
  const sequence = head.sequence + 1;
  const fields = entry.parse({ sequence, time, previous: head.sha256, key: ledgerKeyId(key), act });
  const signed = JSON.stringify(fields).slice(0, -1);
  const signature = sign(null, toBeSigned(Buffer.from(signed, "utf8")), key);
  const line = Buffer.from(`${signed}${SIGNATURE_HEAD}${signature.toString("base64")}"}`, "utf8");
  return { line, head: { sequence, sha256: lineSha256(line) } };
}

/** @throws ProtocolError `ERR_LEDGER` for anything but an entry as `signEntry` writes it. */
export function parseLedgerLine(line: Buffer): LedgerLine {
  if (line.length > MAX_LEDGER_LINE_BYTES || line.length <= TAIL_CHARS) throw noEntry();
  const signed = line.subarray(0, -TAIL_CHARS);
  const tail = line.subarray(-TAIL_CHARS).toString("latin1");
  const base64 = tail.slice(SIGNATURE_HEAD.length, -2);
  const signature = Buffer.from(base64, "base64");
  if (tail !== `${SIGNATURE_HEAD}${signature.toString("base64")}"}`) throw noEntry();
  let value: unknown;
  try {
    value = JSON.parse(`${new TextDecoder("utf-8", { fatal: true }).decode(signed)}}`);
  } catch {
    throw noEntry();
  }
  const result = entry.safeParse(value);
  if (!result.success) throw noEntry();
  return { entry: result.data, signed, signature };
}

/** True if one of the keys that has the entry's key id signed it. */
export function isSignedByOne(
  { entry, signed, signature }: LedgerLine,
  keys: readonly KeyObject[],
): boolean {
  const message = toBeSigned(signed);
  return keys.some(
    (key) => ledgerKeyId(key) === entry.key && verify(null, message, publicHalf(key), signature),
  );
}

/** SHA-256 of a line without its line feed, lower-case hex. */
export function lineSha256(line: Uint8Array): string {
  return createHash("sha256").update(line).digest("hex");
}

const toBeSigned = (signed: Uint8Array) => Buffer.concat([CONTEXT, signed]);

const publicHalf = (key: KeyObject) => (key.type === "private" ? createPublicKey(key) : key);

const noEntry = () => new ProtocolError("ERR_LEDGER", "not a ledger entry");
