/**
 * Why a body, a call or a hole was not granted: one word for log and alarm, and what a SIP peer is
 * told of it (RFC 3261 §20.43, §21.4; draft-ietf-sip-e2m-sec-06 §4.1 for 496 and warn-code 380).
 * Pure. The log tells the faults of a body apart, the answer does not.
 */
import { isProtocolError, type ProtocolErrorCode } from "../../protocol/errors.ts";
import { WARN_MISCELLANEOUS, WARN_REQUIRED_TO_VIEW } from "../../protocol/sip/warning.ts";

/** What is wrong with media that somebody wants let through. */
export type MediaVerdict =
  | "media-count"
  | "media-type"
  | "media-protocol"
  | "media-address"
  | "media-port"
  | "media-crypto"
  | "media-mismatch";

/** What is wrong with a sealed body, or with who sent it. */
export type BodyVerdict =
  | "not-a-recipient"
  | "body-absent"
  | "body-unopened"
  | "body-syntax"
  | "signature-missing"
  | "signature"
  | "certificate"
  | "signer"
  | "headers-differ"
  | "date"
  | "replayed"
  | "sdp"
  | "sealing-required"
  | "offer-in-clear";

/** Why the gateway did not open. */
export type GatewayVerdict = "gateway-gone" | "gateway-slow" | "gateway-refused" | "not-recorded";

/** What is wrong with an answer, which no proxy can refuse. */
export type AnswerVerdict = "answer-in-clear" | "answer-absent";

/** What a request can be refused for. */
export type RequestVerdict =
  | MediaVerdict
  | BodyVerdict
  | GatewayVerdict
  | "body-slow"
  | "overloaded";

export type Verdict = RequestVerdict | AnswerVerdict;

/** A request's refusal as the caller is to see it; 496 also carries our certificate. */
export interface Refusal {
  readonly status: number;
  readonly reason: string;
  /** warn-code and warn-text; the agent name is the proxy's own. */
  readonly warning?: { readonly code: number; readonly text: string };
  readonly retryAfterS?: number;
}

/** Seconds after which a caller may try again when the gateway did not serve. */
export const RETRY_AFTER_S = 5;

const MEDIA_TYPE_NOT_AVAILABLE = 304;
const INCOMPATIBLE_MEDIA_FORMAT = 305;

/** A call that its caller gave up before it went on. */
export const CANCELLED: Refusal = { status: 487, reason: "Request Terminated" };

/** An offer while another one of the dialog is open (RFC 3261 §14.2, RFC 3311 §5.2). */
export const GLARE: Refusal = { status: 491, reason: "Request Pending" };

/** A request for a dialog that is not, or not any more (RFC 3261 §12.2.2). */
export const NO_DIALOG: Refusal = { status: 481, reason: "Call/Transaction Does Not Exist" };

/** How a request that got this verdict is answered. */
export function refusalOf(verdict: RequestVerdict): Refusal {
  return ANSWERS[verdict];
}

/** The verdict on a body by the fault that its parser or its cryptography found. */
export function verdictOfFault(code: ProtocolErrorCode): BodyVerdict {
  switch (code) {
    case "ERR_CMS_NO_RECIPIENT":
      return "not-a-recipient";
    case "ERR_SIGNATURE_MISSING":
      return "signature-missing";
    case "ERR_SIGNATURE":
      return "signature";
    case "ERR_CERTIFICATE":
      return "certificate";
    case "ERR_MIME_SYNTAX":
    case "ERR_MIME_LIMIT":
    case "ERR_BODY":
      return "body-syntax";
    default:
      return "body-unopened";
  }
}

/** What `parse` returned, or that it threw a ProtocolError; anything else is thrown on. */
export function parsed<T>(
  parse: () => T,
): { readonly ok: true; readonly value: T } | { readonly ok: false } {
  try {
    return { ok: true, value: parse() };
  } catch (error) {
    if (isProtocolError(error)) return { ok: false };
    throw error;
  }
}

const warned = (status: number, reason: string, text: string, code = WARN_MISCELLANEOUS) => ({
  status,
  reason,
  warning: { code, text },
});
const media = (text: string, code?: number) => warned(488, "Not Acceptable Here", text, code);
const forbidden = (text: string) => warned(403, "Forbidden", text);
const later = (text: string) => ({
  ...warned(500, "Server Internal Error", text),
  retryAfterS: RETRY_AFTER_S,
});

/**
 * One answer for all that goes wrong before a signature has verified: whoever could tell a padding
 * fault from a missing signature could read a CBC body block by block.
 */
const UNBELIEVED = media("Body is not accepted");

const ANSWERS: Readonly<Record<RequestVerdict, Refusal>> = {
  "media-count": media("Too many streams"),
  "media-type": media("Medium is not let through", MEDIA_TYPE_NOT_AVAILABLE),
  "media-protocol": media("Transport protocol is not let through", INCOMPATIBLE_MEDIA_FORMAT),
  "media-address": media("Media address is not allowed"),
  "media-port": media("Media port is not allowed"),
  "media-crypto": media("No usable a=crypto", INCOMPATIBLE_MEDIA_FORMAT),
  "media-mismatch": media("Answer does not fit the offer", INCOMPATIBLE_MEDIA_FORMAT),
  "not-a-recipient": {
    status: 496,
    reason: "Proxy Undecipherable",
    warning: {
      code: WARN_REQUIRED_TO_VIEW,
      text: "Required to View Content-Type 'application/sdp'",
    },
  },
  "body-absent": forbidden("Labelled body is absent"),
  "body-unopened": UNBELIEVED,
  "body-syntax": UNBELIEVED,
  "signature-missing": UNBELIEVED,
  signature: UNBELIEVED,
  certificate: UNBELIEVED,
  signer: forbidden("Signer is not the sender"),
  "headers-differ": forbidden("Headers differ from the signed ones"),
  date: forbidden("Date is too far off"),
  replayed: forbidden("Body was used before"),
  sdp: media("Session description is malformed"),
  "sealing-required": media("Session description must be sealed"),
  "offer-in-clear": media("Sealed media is changed by sealed bodies alone"),
  "gateway-gone": later("Gateway does not answer"),
  "gateway-slow": later("Gateway did not open in time"),
  "gateway-refused": later("Gateway did not open"),
  "not-recorded": later("Recorder did not take the call"),
  "body-slow": later("Body could not be opened in time"),
  overloaded: later("Too many calls"),
};
