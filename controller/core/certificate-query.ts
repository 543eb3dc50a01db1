/**
 * What a certificate query is, and what its answer says (RFC 3261 §11, §23.3; RFC 3420). Pure.
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import type { Millis } from "../../protocol/machine.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import { headerValue, headerValues, type SipRequest } from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import { mediaType } from "./body-kind.ts";
import type { AskerOutcome } from "./certificate-port.ts";
import { refusedRows, warned } from "./certificate-refusals.ts";
import type { ServedCertificate } from "./certificates-in-service.ts";
import { contactValue } from "./contact-binding.ts";
import { aorOfUri } from "./gatekeeper.ts";
import { innerRowsFault } from "./inner-rows.ts";
import type { Rejection } from "./sender.ts";

/** True for an OPTIONS that wants a certificate: it says so, as no phone does that looks for a phone. */
export const isCertificateQuery = (request: SipRequest): boolean =>
  request.method === "OPTIONS" &&
  headerValues(request, "Accept").some((value) => mediaType(value) === "application/pkix-cert");

export const isSigned = (request: SipRequest): boolean =>
  mediaType(headerValue(request, "Content-Type") ?? "") === "multipart/signed";

/** Why an asker is not believed, if he is not: the signer must be who asks, and have asked just this. */
export function askerFault(
  request: SipRequest,
  { uris, startLine, rows }: AskerOutcome & { readonly kind: "asker" },
  clock: { readonly now: Millis; readonly skewMs: Millis },
): Rejection | undefined {
  const asker = aorOfUri(messageAddress(request, "From").uri);
  if (asker === undefined || !uris.map(aorOfUri).includes(asker))
    return warned(403, "Signer is not the asker");
  const fault =
    startLine.trim() === `${request.method} ${request.uri} SIP/2.0`
      ? innerRowsFault(request, rows, clock)
      : "differ";
  return fault === undefined ? undefined : refusedRows(fault, clock.now);
}

/**
 * Rows of the signed answer: one Expires for each certificate, in their order, and, for who may
 * know, where their phones are. What a phone told us sealed is told to nobody.
 */
export function queryAnswerRows(
  request: SipRequest,
  served: readonly ServedCertificate[],
  { at, toTag, isLocationTold }: { at: Millis; toTag: string; isLocationTold: boolean },
): SipfragRows {
  const row = (name: string) => [name, headerValue(request, name) ?? ""] as const;
  const shown = isLocationTold ? served.filter(({ binding }) => binding.hidden !== true) : [];
  return [
    ["To", `${headerValue(request, "To") ?? ""};tag=${toTag}`],
    row("Call-ID"),
    row("CSeq"),
    ["Date", serializeSipDate(at)],
    ...served.map(({ until }) => ["Expires", String(secondsLeft(until, at))] as const),
    ...shown.map(({ binding }) => ["Contact", contactValue(binding, at)] as const),
  ];
}

const secondsLeft = (until: Millis, at: Millis): number =>
  Math.max(1, Math.floor((until - at) / 1000));
