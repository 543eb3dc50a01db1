/**
 * What is wrong with a body whose signature is good, but which may belong to somebody else or to
 * another call (RFC 3261 §23.4). Pure.
 */
import type { VerifiedEntity } from "../../protocol/body/signed-entity.ts";
import { isProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { SipMessage } from "../../protocol/sip/message.ts";
import { signedHeadersFault } from "../../protocol/sip/signed-headers.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";

const HEADER_FAULTS = {
  differ: "the headers are not those that were signed",
  stale: "signed too long ago, or in the future",
} as const;

/**
 * The fault in words, or undefined. The signer must hold the address of record `signer`: the From of
 * an offer; whom we called, of an answer, since anybody on the path may write a To.
 */
export function verifiedFault(
  body: VerifiedEntity,
  message: SipMessage,
  signer: string,
  now: Millis,
): string | undefined {
  if (!body.signer.uris.some((each) => isSameUser(each, signer))) return "signed by somebody else";
  const fault = signedHeadersFault(message, body.sipfrag, now);
  return fault === undefined ? undefined : HEADER_FAULTS[fault];
}

/** One address of record in two spellings. What is no SIP URI is nobody's. */
export function isSameUser(a: string, b: string): boolean {
  try {
    return addressOfRecord(a) === addressOfRecord(b);
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return false;
  }
}
