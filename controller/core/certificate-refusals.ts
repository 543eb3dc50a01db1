/**
 * Why a sealed REGISTER or a certificate query was refused, and how that is answered
 * (RFC 3261 §21.4.1, §21.4.4, §21.4.27, §21.5.1). Pure. Each changes nothing.
 */
import type { ProtocolErrorCode } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import { WARN_MISCELLANEOUS } from "../../protocol/sip/warning.ts";
import type { InnerRowsFault } from "./inner-rows.ts";
import type { ClaimFault } from "./key-claim.ts";
import { type Rejection, rejection } from "./sender.ts";
import { RETRY_AFTER_S } from "./verdict.ts";

/** Undecipherable: the answer carries the certificate to seal for (RFC 3261 §21.4.27). */
export const UNDECIPHERABLE: Rejection = rejection(493);

export type RegistrationFault =
  | ClaimFault
  | "replayed"
  | "credentials-uncovered"
  | "no-authority"
  | "possession"
  | "certificate";

const TEXTS: Readonly<Record<RegistrationFault, string>> = {
  "claim-name": "Certificate is asked for another name",
  "claim-key-type": "Key type is not allowed",
  "claim-owner": "Key belongs to another user",
  "claim-revoked": "Key is revoked",
  "claim-expired": "Certificate is out of date",
  replayed: "Body was used before",
  "credentials-uncovered": "Credentials do not cover the body",
  "no-authority": "No certificates are given here",
  possession: "Key is not proven",
  certificate: "Certificate is not accepted",
};

export function refusedFor(fault: RegistrationFault): Rejection {
  return warned(fault === "no-authority" ? 488 : 403, TEXTS[fault]);
}

/** A refusal in words. */
export const warned = (status: number, text: string): Rejection => ({
  ...rejection(status),
  warning: { code: WARN_MISCELLANEOUS, text },
});

/** Of a clock that is off, the answer tells the time (§23.4.2). */
export function refusedRows(fault: InnerRowsFault, now: Millis): Rejection {
  return fault === "differ"
    ? warned(403, "Headers differ from those in the body")
    : {
        ...warned(403, "Date is too far off"),
        headers: [["Date", serializeSipDate(now)]],
      };
}

/** Ours to blame, or too much at once: it may be asked again. */
export const tryLater = (text: string, retryAfterS = RETRY_AFTER_S): Rejection => ({
  ...warned(500, text),
  retryAfterS,
});

/**
 * How a body that the desk refused is answered. What cannot be opened and what makes no sense when
 * it is open look alike: a sealed body is believed by nobody yet, and a difference would be an
 * oracle.
 */
export function refusedBody(code: ProtocolErrorCode | undefined): Rejection {
  switch (code) {
    case undefined:
      return tryLater("Body could not be opened now");
    case "ERR_CERTIFICATE_REQUEST":
    case "ERR_SIGNATURE":
    case "ERR_SIGNATURE_MISSING":
      return refusedFor("possession");
    case "ERR_CERTIFICATE":
      return refusedFor("certificate");
    default:
      return UNDECIPHERABLE;
  }
}
