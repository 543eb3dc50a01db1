/**
 * What an offer and its answer agree on: the streams, their addresses and their keys
 * (RFC 3264 §6, RFC 4568 §5.1 and §7.1, RFC 5761 §5.1.1, RFC 8643 §3). Pure.
 */
import { timingSafeEqual } from "node:crypto";
import { ProtocolError } from "../errors.ts";
import { isSupportedSuite } from "../rtp/srtp-suite.ts";
import type { CryptoAttribute } from "./crypto-attribute.ts";
import {
  isRtpProfile,
  type MediaDescription,
  type SessionDescription,
} from "./session-description.ts";

export interface MediaPair {
  readonly offer: MediaDescription;
  readonly answer: MediaDescription;
}

/**
 * The streams of an offer beside those of its answer; their places never move (RFC 3264 §6).
 * @throws ProtocolError `ERR_SDP_SYNTAX` if the answer's streams are not the offer's.
 */
export function pairMedia(offer: SessionDescription, answer: SessionDescription): MediaPair[] {
  if (offer.media.length !== answer.media.length)
    throw new ProtocolError("ERR_SDP_SYNTAX", "answer has another number of streams");
  return offer.media.map((offered, at) => {
    const answered = answer.media[at];
    if (answered?.media !== offered.media)
      throw new ProtocolError("ERR_SDP_SYNTAX", "answer has another kind of stream");
    return { offer: offered, answer: answered };
  });
}

/** The first offered key whose suite the SRTP code supports. */
export const chooseCrypto = (offer: MediaDescription): CryptoAttribute | undefined =>
  offer.crypto.find(({ suite }) => isSupportedSuite(suite));

export type Protection =
  | { readonly kind: "rejected" }
  | { readonly kind: "rtp" }
  /** `offer` protects what the offerer sends, `answer` what the answerer sends. */
  | { readonly kind: "srtp"; readonly offer: CryptoAttribute; readonly answer: CryptoAttribute }
  /** Keys never pass through SDP (RFC 5764), or are of a form not known here. */
  | { readonly kind: "opaque" }
  | { readonly kind: "failed"; readonly reason: ProtectionFault };

export type ProtectionFault = "no-crypto" | "several-crypto" | "tag-or-suite" | "same-key";

/**
 * How one stream is protected once answered. The answer repeats exactly one offered tag with
 * its suite (RFC 4568 §5.1.2) and brings a key of its own (§7.1.2). Without `a=crypto` a
 * stream offered as plain RTP stays plain (RFC 8643 §3.3); one offered as SAVP has failed.
 * The suite agreed on may be one that this code cannot open: ask `isSupportedSuite`.
 */
export function negotiateProtection({ offer, answer }: MediaPair): Protection {
  if (answer.port === 0 && !isBundleOnly(answer)) return { kind: "rejected" };
  if (!isRtpProfile(answer.proto) || answer.proto.includes("TLS")) return { kind: "opaque" };
  const lines = answer.crypto.length + answer.refusedCrypto.length;
  const isSecureProfile = [offer, answer].some(({ proto }) => proto.includes("SAVP"));
  if (lines === 0)
    return isSecureProfile ? { kind: "failed", reason: "no-crypto" } : { kind: "rtp" };
  if (lines > 1) return { kind: "failed", reason: "several-crypto" };

  const [accepted] = answer.crypto;
  const offered = offer.crypto.find(({ tag }) => tag === accepted?.tag);
  if (accepted === undefined || offered?.suite !== accepted.suite)
    return { kind: "failed", reason: "tag-or-suite" };
  if (isSameKey(offered, accepted)) return { kind: "failed", reason: "same-key" };
  return { kind: "srtp", offer: offered, answer: accepted };
}

/** Constant time; both suites are the same, so both lengths are. */
const isSameKey = (a: CryptoAttribute, b: CryptoAttribute): boolean =>
  timingSafeEqual(a.masterKeySalt.expose(), b.masterKeySalt.expose());

/** True if the stream's port 0 means "in the bundle", not "rejected" (RFC 9143 §6). */
export const isBundleOnly = (media: MediaDescription): boolean =>
  media.attributes.some(({ name }) => name === "bundle-only");
