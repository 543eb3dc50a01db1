/**
 * Why a called phone refuses an offer, and with what: the one place where a fault found in a body
 * becomes a SIP status. Pure. RFC 3261 §23.2 (493), draft-ietf-sip-e2m-sec-06 §4.1 (495).
 */
import { isCbcCipher } from "../../protocol/cms/algorithms.ts";
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { ProtocolErrorCode } from "../../protocol/errors.ts";

export interface Refusal {
  readonly status: number;
  readonly reason: string;
  /** Rows the response carries besides the usual ones. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** Where in the work on a sealed body a fault was found. */
export type SealedStage = "open" | "verify" | "description";

export const REFUSALS = {
  badSignature: refusal(403, "Forbidden", ["Warning", '399 device "Signature not accepted"']),
  headersDiffer: refusal(403, "Forbidden", ["Warning", '399 device "Signed headers differ"']),
  signatureRequired: refusal(495, "Signature Required"),
  undecipherable: refusal(493, "Undecipherable"),
  notSealed: refusal(488, "Not Acceptable Here", ["Warning", '399 device "Sealed offer required"']),
  noOffer: refusal(488, "Not Acceptable Here", ["Warning", '399 device "Offer required"']),
  badDescription: refusal(488, "Not Acceptable Here", [
    "Warning",
    '305 device "Session description not acceptable"',
  ]),
  unknownType: refusal(415, "Unsupported Media Type", [
    "Accept",
    "application/pkcs7-mime, application/sdp",
  ]),
  keyNotReusable: refusal(488, "Not Acceptable Here", [
    "Warning",
    '399 device "First key cannot be used again"',
  ]),
  busy: refusal(486, "Busy Here"),
  declined: refusal(603, "Decline"),
  cancelled: refusal(487, "Request Terminated"),
} as const satisfies Record<string, Refusal>;

/** What a fault of `code` at `stage` is answered with. Every failure to open looks alike. */
export function refusalOf(stage: SealedStage, code: ProtocolErrorCode): Refusal {
  if (stage === "open") return REFUSALS.undecipherable;
  if (stage === "description") return REFUSALS.badDescription;
  return code === "ERR_SIGNATURE_MISSING" ? REFUSALS.signatureRequired : REFUSALS.badSignature;
}

/**
 * The stage at which a fault in the signature counts as found. CBC proves nothing of what it
 * decrypts to: whoever tampers with the octets must not learn from our answer whether they opened.
 */
export const verifyStage = ({ cipher }: FirstKey): SealedStage =>
  isCbcCipher(cipher) ? "open" : "verify";

function refusal(status: number, reason: string, ...headers: Refusal["headers"]): Refusal {
  return { status, reason, headers };
}
