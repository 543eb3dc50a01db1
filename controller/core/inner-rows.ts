/**
 * The headers that stand within a sealed or signed body beside those that brought it (RFC 3261
 * §23.4.1). Pure. What is inside was meant by whoever sealed it; what is outside may have been
 * changed on the way, and must not say anything else.
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import type { Millis } from "../../protocol/machine.ts";
import { parseSipDate } from "../../protocol/sip/date.ts";
import { findParam, type Param } from "../../protocol/sip/grammar.ts";
import { canonicalName } from "../../protocol/sip/header-name.ts";
import {
  appendHeader,
  type HeaderRow,
  headerRows,
  headerValue,
  headerValues,
  type SipRequest,
} from "../../protocol/sip/message.ts";
import { parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { signedHeadersFault } from "../../protocol/sip/signed-headers.ts";
import { parsed } from "./verdict.ts";

/** `differ`: incomplete, or not what the message says. `stale`: made too long ago, or not yet. */
export type InnerRowsFault = "differ" | "stale";

/** What ties a body to its request, once each. */
const BINDING = new Set(["from", "to", "call-id", "cseq", "date"]);

/**
 * What does not fit of From, To, Call-ID, CSeq and Date, if anything. A Date counts in whole
 * seconds, as it is written.
 */
export function innerRowsFault(
  request: SipRequest,
  rows: SipfragRows,
  { now, skewMs }: { readonly now: Millis; readonly skewMs: Millis },
): InnerRowsFault | undefined {
  const binding = rows.filter(([name]) => BINDING.has(canonicalName(name)));
  const fault = signedHeadersFault(request, binding, now);
  if (fault !== undefined) return fault;
  const date = parsed(() => parseSipDate(headerValue(messageOf(binding), "Date") ?? ""));
  const second = Math.floor(now / 1000) * 1000;
  return date.ok && Math.abs(date.value - second) <= skewMs ? undefined : "stale";
}

/** A REGISTER with what only its body said; `hidden`: its location was told in there alone. */
export interface CompletedRegister {
  readonly request: SipRequest;
  readonly hidden: boolean;
}

/**
 * The REGISTER that a phone meant: the received one, with Contact and Expires of the body where
 * they stand only there. Undefined where both tell of a location and not of the same.
 */
export function completeRegister(
  received: SipRequest,
  rows: SipfragRows,
): CompletedRegister | undefined {
  const inner = messageOf(rows);
  if (headerRows(inner, "Expires").length > 1) return undefined;
  const [innerExpires, outerExpires] = [expiresOf(inner), expiresOf(received)];
  if (innerExpires !== undefined && outerExpires !== undefined && innerExpires !== outerExpires)
    return undefined;
  const expires = outerExpires ?? innerExpires;
  const request =
    expires === outerExpires || expires === undefined
      ? received
      : appendHeader(received, "Expires", expires);
  const told = headerValues(inner, "Contact");
  const shown = headerValues(received, "Contact");
  if (shown.length === 0) return { request: withContacts(request, told), hidden: told.length > 0 };
  const isSame =
    told.length === 0 || isSameContacts({ told, innerExpires }, { shown, outerExpires: expires });
  return isSame ? { request, hidden: false } : undefined;
}

/** Rows as a message has them. */
export const messageOf = (rows: SipfragRows): { readonly headers: readonly HeaderRow[] } => ({
  headers: rows.map(([name, value]) => ({ name, value })),
});

const withContacts = (request: SipRequest, contacts: readonly string[]): SipRequest =>
  contacts.reduce((made, contact) => appendHeader(made, "Contact", contact), request);

const expiresOf = (message: Pick<SipRequest, "headers">): string | undefined =>
  headerRows(message, "Expires")[0]?.value.trim();

function isSameContacts(
  { told, innerExpires }: { told: readonly string[]; innerExpires: string | undefined },
  { shown, outerExpires }: { shown: readonly string[]; outerExpires: string | undefined },
): boolean {
  if (told.length !== shown.length) return false;
  return told.every((value, at) => {
    const other = shown[at] ?? "";
    if (value === "*" || other === "*") return value === other;
    const pair = parsed(() => [parseNameAddr(value), parseNameAddr(other)] as const);
    if (!pair.ok || pair.value[0].uri !== pair.value[1].uri) return false;
    const [inner, outer] = [pair.value[0].params, pair.value[1].params];
    const wanted = findParam(inner, "expires")?.value ?? innerExpires;
    const granted = findParam(outer, "expires")?.value ?? outerExpires;
    return (wanted === undefined || wanted === granted) && inner.every((each) => has(outer, each));
  });
}

/** A phone may tell more outside than inside, and not otherwise. */
const has = (params: readonly Param[], { name, value }: Param): boolean =>
  name.toLowerCase() === "expires" || findParam(params, name)?.value === value;
