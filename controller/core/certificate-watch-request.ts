/**
 * What a SUBSCRIBE for the event package `certificate` asks, or why it is refused (RFC 6072 §6,
 * RFC 6665 §4.2.1, §8.2.1). Pure.
 */
import { findParam, parseParams, trimLws } from "../../protocol/sip/grammar.ts";
import {
  firstValue,
  headerValue,
  headerValues,
  type SipRequest,
} from "../../protocol/sip/message.ts";
import { messageTag, parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { isSipScheme } from "../../protocol/sip/uri.ts";
import { mediaType } from "./body-kind.ts";
import { type Rejection, rejection } from "./sender.ts";
import { parsed } from "./verdict.ts";

/** How long a subscription may last. */
export interface WatchDuration {
  readonly defaultExpiresS: number;
  readonly minExpiresS: number;
  readonly maxExpiresS: number;
}

export interface WatchRequest {
  /** `id` of Event, which NOTIFY repeats. */
  readonly eventId: string | undefined;
  /** Granted; 0 asks for one NOTIFY, or ends what there is. */
  readonly expiresS: number;
}

export type WatchReading =
  | { readonly kind: "asked"; readonly asked: WatchRequest }
  | { readonly kind: "refused"; readonly rejection: Rejection };

/** What is remembered to be repeated in each NOTIFY. */
export const MAX_EVENT_ID_CHARACTERS = 128;
const PACKAGE = "certificate";
const CERTIFICATE_TYPES: ReadonlySet<string> = new Set([
  "application/pkix-cert",
  "application/*",
  "*/*",
]);

/** Goes with 489, and with whatever says what may be subscribed to here. */
export const ALLOW_EVENTS = ["Allow-Events", PACKAGE] as const;

/** True for a SUBSCRIBE that asks for somebody's certificate. */
export const isCertificateSubscribe = (request: SipRequest): boolean =>
  request.method === "SUBSCRIBE" && eventOf(request)?.name === PACKAGE;

/** Reads a SUBSCRIBE, of a dialog or the first of one. */
export function readWatchRequest(request: SipRequest, duration: WatchDuration): WatchReading {
  const event = eventOf(request);
  if (event?.name !== PACKAGE) return refused(489, [ALLOW_EVENTS]);
  const required = headerValues(request, "Require");
  if (required.length > 0) return refused(420, [["Unsupported", required.join(", ")]]);
  if (messageTag(request, "From") === undefined || !hasSipContact(request)) return refused(400);
  if (!acceptsCertificates(request)) return refused(406, [["Accept", "application/pkix-cert"]]);
  const expires = headerValue(request, "Expires") ?? String(duration.defaultExpiresS);
  const isIdTooLong = (event.id?.length ?? 0) > MAX_EVENT_ID_CHARACTERS;
  if (!/^\d{1,10}$/.test(expires) || isIdTooLong) return refused(400);
  const expiresS = Math.min(Number(expires), duration.maxExpiresS);
  if (expiresS > 0 && expiresS < duration.minExpiresS)
    return refused(423, [["Min-Expires", String(duration.minExpiresS)]]);
  return { kind: "asked", asked: { eventId: event.id, expiresS } };
}

/** Package names are compared octet by octet (RFC 6665 §8.2.1). */
function eventOf(request: SipRequest): { name: string; id: string | undefined } | undefined {
  const value = headerValue(request, "Event") ?? "";
  const [name = ""] = value.split(";", 1);
  const params = parsed(() => parseParams(value.slice(name.length)));
  return params.ok ? { name: trimLws(name), id: findParam(params.value, "id")?.value } : undefined;
}

function hasSipContact(request: SipRequest): boolean {
  const value = firstValue(request, "Contact");
  const contact = value === undefined ? undefined : parsed(() => parseNameAddr(value));
  return contact?.ok === true && isSipScheme(contact.value.uri);
}

/** Without Accept, certificates are what is wanted (RFC 6072 §6.4). */
function acceptsCertificates(request: SipRequest): boolean {
  if (headerValue(request, "Accept") === undefined) return true;
  return headerValues(request, "Accept").some((range) => CERTIFICATE_TYPES.has(mediaType(range)));
}

const refused = (status: number, headers?: Rejection["headers"]): WatchReading => ({
  kind: "refused",
  rejection: rejection(status, headers),
});
