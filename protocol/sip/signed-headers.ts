/**
 * The headers that a sealed body repeats under its signature, and their comparison with the message
 * that brought it (RFC 3261 §23.4, RFC 3893). Pure. It is what ties a body to one request of one
 * call: without it a body once signed could be cut out and used elsewhere.
 */
import { isProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import { parseCSeq } from "./cseq.ts";
import { parseSipDate } from "./date.ts";
import { findParam } from "./grammar.ts";
import { canonicalName } from "./header-name.ts";
import { headerRows, type SipMessage } from "./message.ts";
import { parseNameAddr } from "./name-addr.ts";
import { addressOfRecord } from "./uri.ts";

/** A row as it stands in the signed `message/sipfrag`. */
export type SignedHeader = readonly [name: string, value: string];

/** How far a signed Date may lie from our own clock, either way (RFC 3261 §23.4.2). */
export const MAX_DATE_SKEW_MS = 3_600_000;

/** Headers that every signed body must repeat, once each. */
const REQUIRED = ["From", "To", "Call-ID", "CSeq", "Date"] as const;
const SIGNED = [...REQUIRED, "Contact"] as const;

/** What a proxy may change or add on the way (RFC 3261 §23.4.1.1). */
const CHANGEABLE: ReadonlySet<string> = new Set([
  "via",
  "record-route",
  "route",
  "max-forwards",
  "proxy-authorization",
  "content-length",
]);

/** The rows of `message` that its sender signs. */
export function signedHeaders(message: SipMessage): readonly SignedHeader[] {
  return SIGNED.flatMap((name) =>
    headerRows(message, name).map(({ value }): SignedHeader => [name, value]),
  );
}

/** `differ`: incomplete, or not what the message says. `stale`: no Date, or an hour or more off. */
export type SignedHeadersFault = "differ" | "stale";

/**
 * What does not fit, if anything. Names, spacing and display names may be written otherwise; each
 * header that is signed must stand in the message as often as in the fragment. A message may lack
 * Date: the signed one counts.
 */
export function signedHeadersFault(
  message: SipMessage,
  signed: readonly SignedHeader[],
  now: Millis,
): SignedHeadersFault | undefined {
  const valuesOf = (wanted: string): readonly string[] =>
    signed.filter(([name]) => canonicalName(name) === wanted).map(([, value]) => value.trim());
  if (!REQUIRED.every((name) => valuesOf(canonicalName(name)).length === 1)) return "differ";
  const names = new Set(signed.map(([name]) => canonicalName(name)));
  for (const name of names)
    if (!CHANGEABLE.has(name) && !agree(name, valuesOf(name), message)) return "differ";
  const date = comparable("date", valuesOf("date")[0] ?? "");
  return date !== undefined && Math.abs(Number(date) - now) < MAX_DATE_SKEW_MS
    ? undefined
    : "stale";
}

function agree(name: string, signed: readonly string[], message: SipMessage): boolean {
  const received = headerRows(message, name).map(({ value }) => value);
  if (name === "date") return received.every((value) => value === signed[0]);
  return (
    received.length === signed.length &&
    received.every((value, at) => {
      const own = comparable(name, value);
      return own !== undefined && own === comparable(name, signed[at] ?? "");
    })
  );
}

/** The part of a value that counts, in one spelling; undefined if it cannot be read. */
function comparable(name: string, value: string): string | undefined {
  try {
    switch (name) {
      case "from":
      case "to": {
        const { uri, params } = parseNameAddr(value);
        return `${addressOfRecord(uri)} ${findParam(params, "tag")?.value ?? ""}`;
      }
      case "cseq": {
        const { number, method } = parseCSeq(value);
        return `${number} ${method}`;
      }
      case "date":
        return String(parseSipDate(value));
      default:
        return value.trim().replace(/\s+/g, " ");
    }
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return undefined;
  }
}
