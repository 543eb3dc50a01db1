/**
 * The headers that a sealed body repeats under its signature, and their comparison with the
 * message that brought it (RFC 3261 §23.4). Pure. It is what ties a body to one call: without it
 * a body once signed could be sent again in another's name.
 */
import { isProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { parseSipDate } from "../../protocol/sip/date.ts";
import { canonicalName, headerRows, type SipMessage } from "../../protocol/sip/message.ts";

export type SignedHeader = readonly [name: string, value: string];

/** Headers that every signed body must repeat. */
const REQUIRED = ["From", "To", "Call-ID", "CSeq", "Date"] as const;
const SIGNED = [...REQUIRED, "Contact"] as const;
/** How far a Date may lie from our own clock (RFC 3261 §23.4.2). */
export const MAX_DATE_SKEW_MS = 3_600_000;

/** The rows of `message` that its sender signs. */
export function signedHeaders(message: SipMessage): readonly SignedHeader[] {
  return SIGNED.flatMap((name) =>
    headerRows(message, name).map(({ value }): SignedHeader => [name, value]),
  );
}

export type HeadersVerdict = "equal" | "differ" | "stale";

/**
 * Compares signed rows with the message's own. All that must be signed is there once, every row
 * signed stands in the message with the same text, and Date lies within an hour of `now`.
 */
export function compareSignedHeaders(
  signed: readonly SignedHeader[],
  message: SipMessage,
  now: Millis,
): HeadersVerdict {
  const names = signed.map(([name]) => canonicalName(name));
  const complete = REQUIRED.every(
    (name) => names.filter((signedName) => signedName === canonicalName(name)).length === 1,
  );
  if (!complete || !names.every((name) => sameRows(name, signed, message))) return "differ";
  const [, date = ""] = signed.find(([name]) => canonicalName(name) === "date") ?? [];
  return isWithinAnHour(date, now) ? "equal" : "stale";
}

function sameRows(name: string, signed: readonly SignedHeader[], message: SipMessage): boolean {
  const values = signed.filter(([each]) => canonicalName(each) === name).map(([, value]) => value);
  const rows = headerRows(message, name).map(({ value }) => value);
  return values.length === rows.length && values.every((value, at) => value.trim() === rows[at]);
}

function isWithinAnHour(date: string, now: Millis): boolean {
  try {
    return Math.abs(parseSipDate(date) - now) < MAX_DATE_SKEW_MS;
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return false;
  }
}
