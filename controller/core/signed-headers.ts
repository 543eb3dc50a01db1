/**
 * A signed `message/sipfrag` against the message that carried it: what ties a body to one request
 * of one call, so that it cannot be cut out and used elsewhere (RFC 3261 §23.4, RFC 3893). Pure.
 */

import type { Millis } from "../../protocol/machine.ts";
import { parseCSeq } from "../../protocol/sip/cseq.ts";
import { parseSipDate } from "../../protocol/sip/date.ts";
import { findParam } from "../../protocol/sip/grammar.ts";
import {
  canonicalName,
  headerRows,
  headerValue,
  type SipMessage,
} from "../../protocol/sip/message.ts";
import { parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import { type BodyVerdict, parsed } from "./verdict.ts";

/** Name and value of each row, as they stand in the signed fragment. */
export type SipFragment = readonly (readonly [name: string, value: string])[];

/** How far a signed Date may be off, either way (RFC 3261 §23.4.2: an hour or more alerts). */
export const MAX_DATE_SKEW_MS = 3_600_000;

const REQUIRED = ["from", "to", "call-id", "cseq", "date"] as const;

/** What a proxy may change or add on the way (RFC 3261 §23.4.1.1). */
const CHANGEABLE: ReadonlySet<string> = new Set([
  "via",
  "record-route",
  "route",
  "max-forwards",
  "proxy-authorization",
  "content-length",
]);

/** What does not fit, if anything: the fragment must name the call, and agree in all it names. */
export function signedHeadersFault(
  message: SipMessage,
  fragment: SipFragment,
  now: Millis,
): BodyVerdict | undefined {
  const rows = fragment.map(([name, value]) => ({
    name: canonicalName(name),
    value: value.trim(),
  }));
  const once = (wanted: string) => rows.filter(({ name }) => name === wanted).length === 1;
  if (!REQUIRED.every(once)) return "headers-differ";
  if (!rows.every(({ name, value }) => CHANGEABLE.has(name) || agrees(message, name, value)))
    return "headers-differ";
  const date = parsed(() => parseSipDate(rows.find(({ name }) => name === "date")?.value ?? ""));
  return date.ok && Math.abs(date.value - now) < MAX_DATE_SKEW_MS ? undefined : "date";
}

function agrees(message: SipMessage, name: string, signed: string): boolean {
  const received = headerValue(message, name);
  if (received === undefined) return name === "date";
  switch (name) {
    case "from":
    case "to":
      return sameText(partyOf(signed), partyOf(received));
    case "cseq":
      return sameText(cseqOf(signed), cseqOf(received));
    default:
      return headerRows(message, name).some(({ value }) => spaced(value) === spaced(signed));
  }
}

const sameText = (left: string | undefined, right: string | undefined) =>
  left !== undefined && left === right;

/** Address of record and tag; the display name may be rewritten on the way. */
function partyOf(text: string): string | undefined {
  const party = parsed(() => {
    const { uri, params } = parseNameAddr(text);
    return `${addressOfRecord(uri)} ${findParam(params, "tag")?.value ?? ""}`;
  });
  return party.ok ? party.value : undefined;
}

function cseqOf(text: string): string | undefined {
  const cseq = parsed(() => parseCSeq(text));
  return cseq.ok ? `${cseq.value.number} ${cseq.value.method}` : undefined;
}

const spaced = (text: string) => text.trim().replace(/\s+/g, " ");
