/**
 * Checks a whole ledger and names its first broken entry (docs/recording-format.md §4). Without a
 * head that was kept elsewhere, a cut tail cannot be seen: the end is then "not provable". Pure.
 */

import type { KeyObject } from "node:crypto";
import { isProtocolError } from "../errors.ts";
import {
  EMPTY_LEDGER,
  isSignedByOne,
  type LedgerEntry,
  type LedgerHead,
  type LedgerLine,
  lineSha256,
  parseLedgerLine,
} from "./ledger-entry.ts";

/**
 * What is wrong with an entry:
 * - `changed`: its octets are not those that were signed, or it was rewritten by a holder of the key;
 * - `inserted`: the entry after it knows nothing of it, or it stood elsewhere;
 * - `removed`: entries are missing before it;
 * - `truncated`: the ledger ends before the head it was compared to;
 * - `torn`: the last line has no line feed, as a crash leaves it.
 */
export type LedgerFault = "changed" | "inserted" | "removed" | "truncated" | "torn";

export type LedgerCheck =
  | {
      readonly kind: "good";
      readonly entries: readonly LedgerEntry[];
      readonly head: LedgerHead;
      /** True if a given head was reached: nothing is missing at the end up to there. */
      readonly isEndProven: boolean;
    }
  | {
      readonly kind: "broken";
      /** The entries before the fault: these stand. */
      readonly entries: readonly LedgerEntry[];
      /** Line of the fault, from 1. */
      readonly line: number;
      readonly fault: LedgerFault;
    };

const LINE_FEED = 10;

/**
 * Checks chain, order and signatures.
 * @param keys Ed25519 keys, public or private; each entry names the one that signed it. Undefined:
 *   only the chain is checked, which whoever can write the file can make anew.
 * @param expectedHead A head seen earlier, kept where this ledger's keeper cannot reach.
 */
export function verifyLedger(
  octets: Uint8Array,
  keys: readonly KeyObject[] | undefined,
  expectedHead?: LedgerHead,
): LedgerCheck {
  const lines = splitLines(octets);
  const entries: LedgerEntry[] = [];
  let head = EMPTY_LEDGER;
  for (const [index, line] of lines.whole.entries()) {
    const fault = faultOf(line, lines.whole[index + 1], head, keys);
    if (fault !== undefined) return { kind: "broken", entries, line: index + 1, fault };
    entries.push(parseLedgerLine(line).entry);
    head = { sequence: head.sequence + 1, sha256: lineSha256(line) };
    if (expectedHead?.sequence === head.sequence && expectedHead.sha256 !== head.sha256)
      return { kind: "broken", entries: entries.slice(0, -1), line: index + 1, fault: "changed" };
  }
  const after = { kind: "broken", entries, line: lines.whole.length + 1 } as const;
  if (lines.torn.length > 0) return { ...after, fault: "torn" };
  if (expectedHead !== undefined && expectedHead.sequence > head.sequence)
    return { ...after, fault: "truncated" };
  return { kind: "good", entries, head, isEndProven: expectedHead !== undefined };
}

/** The octets up to the last line feed, as lines, and what follows it. */
export function splitLines(octets: Uint8Array): { whole: readonly Buffer[]; torn: Buffer } {
  const file = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
  const whole: Buffer[] = [];
  let at = 0;
  for (let end = file.indexOf(LINE_FEED); end !== -1; end = file.indexOf(LINE_FEED, at)) {
    whole.push(file.subarray(at, end));
    at = end + 1;
  }
  return { whole, torn: file.subarray(at) };
}

function faultOf(
  line: Buffer,
  next: Buffer | undefined,
  head: LedgerHead,
  keys: readonly KeyObject[] | undefined,
): LedgerFault | undefined {
  const parsed = parsedOrUndefined(line);
  const isSound = parsed !== undefined && (keys === undefined || isSignedByOne(parsed, keys));
  if (!isSound) return isPassedOver(next, head) ? "inserted" : "changed";
  const { sequence, previous } = parsed.entry;
  if (sequence <= head.sequence) return "inserted";
  if (sequence > head.sequence + 1) return "removed";
  return previous === head.sha256 ? undefined : "changed";
}

/** True if the line after goes on from the head, as if the line between were not there. */
function isPassedOver(next: Buffer | undefined, head: LedgerHead): boolean {
  const parsed = next === undefined ? undefined : parsedOrUndefined(next);
  return parsed?.entry.sequence === head.sequence + 1 && parsed.entry.previous === head.sha256;
}

function parsedOrUndefined(line: Buffer): LedgerLine | undefined {
  try {
    return parseLedgerLine(line);
  } catch (error) {
    if (isProtocolError(error, "ERR_LEDGER")) return undefined;
    throw error;
  }
}
