/**
 * What an INVITE offers, looked at from outside and then from inside (RFC 3261 §8.2, §13.3.1). Pure.
 */
import { isProtocolError } from "../../protocol/errors.ts";
import { headerValue, headerValues, type SipRequest } from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import { bodyKind } from "./call-messages.ts";
import { REFUSALS, type Refusal } from "./offer-refusal.ts";
import { readVoiceOffer, type VoiceOffer } from "./voice-description.ts";

export type FirstLook =
  | { readonly kind: "refuse"; readonly refusal: Refusal }
  | { readonly kind: "open"; readonly contentType: string }
  | { readonly kind: "plain" };

/** What is to be done with the body, before anything in it is believed. */
export function lookAtOffer(invite: SipRequest, sealedRequired: boolean): FirstLook {
  const required = headerValues(invite, "Require");
  if (required.length > 0) return { kind: "refuse", refusal: badExtension(required) };
  switch (bodyKind(invite)) {
    case "none":
      return { kind: "refuse", refusal: REFUSALS.noOffer };
    case "unknown":
      return { kind: "refuse", refusal: REFUSALS.unknownType };
    case "plain":
      return sealedRequired ? { kind: "refuse", refusal: REFUSALS.notSealed } : { kind: "plain" };
    case "sealed":
      return { kind: "open", contentType: headerValue(invite, "Content-Type") ?? "" };
  }
}

/** The offer, or undefined if this phone cannot take it. */
export function readOffer(sdp: Buffer): VoiceOffer | undefined {
  try {
    return readVoiceOffer(sdp);
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return undefined;
  }
}

/** The caller's address of record, or his URI as it stands where it is no SIP URI. */
export function callerOf(invite: SipRequest): string {
  const { uri } = messageAddress(invite, "From");
  try {
    return addressOfRecord(uri);
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return uri;
  }
}

const badExtension = (required: readonly string[]): Refusal => ({
  status: 420,
  reason: "Bad Extension",
  headers: [["Unsupported", required.join(", ")]],
});
