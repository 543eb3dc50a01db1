/**
 * Which media of a session description may pass the gateway: each party's at its own place
 * (`media-end.ts`), under keys that the recorder can use or none (RFC 3264, RFC 4568 §5, RFC 5761,
 * RFC 8643). The same rules for sealed and clear bodies, whoever makes the offer. Pure.
 */
import { MAX_ORDER_STREAMS } from "../../protocol/ingest/order.ts";
import { isSupportedSuite } from "../../protocol/rtp/srtp-suite.ts";
import type { CryptoAttribute } from "../../protocol/sdp/crypto-attribute.ts";
import type {
  MediaDescription,
  SessionDescription,
} from "../../protocol/sdp/session-description.ts";
import {
  candidateFault,
  type EndRule,
  endRule,
  hasAttribute,
  type MediaEnd,
  mediaEnd,
  type PlacePolicy,
} from "./media-end.ts";
import type { Party } from "./party.ts";
import type { MediaVerdict } from "./verdict.ts";

export interface MediaPolicy extends PlacePolicy {
  /** Streams that are neither RTP nor fax: they pass without a hole unless said otherwise. */
  readonly otherMedia?: "pass" | "refuse";
  /** Media whose keys the recorder cannot use: refused unless said otherwise, else kept as captured. */
  readonly undecryptable?: "pass" | "refuse";
}

/** An `m=` line of the offer that may flow to the offerer. */
export interface OfferedStream {
  /** Place of its `m=` line, from 0. */
  readonly index: number;
  readonly offer: MediaDescription;
  /** Undefined while it is on hold and no other place is known. */
  readonly offerer: MediaEnd | undefined;
  /** Offered as RTP without any key. */
  readonly plain: boolean;
}

/** The same stream once it is answered. */
export interface AnsweredStream extends OfferedStream {
  readonly answer: MediaDescription;
  readonly answerer: MediaEnd | undefined;
  /** RTCP goes to the RTP port both ways (RFC 5761 §5.1.1). */
  readonly mux: boolean;
  readonly keys: StreamKeys;
}

/** The keys of both directions; `offered` protects what the answerer receives (RFC 4568 §5.1). */
export type StreamKeys =
  | { readonly kind: "none" }
  | {
      readonly kind: "sdes";
      readonly offered: CryptoAttribute;
      readonly answered: CryptoAttribute;
    }
  /** There are keys, and they are not ours to know. */
  | { readonly kind: "unknown" };

/** Streams of one call: a recording order names each twice, once a direction. */
export const MAX_STREAMS = MAX_ORDER_STREAMS / 2;

export interface OfferedMedia {
  readonly streams: readonly OfferedStream[];
  /** Places of the lines that pass without a hole, whatever is answered. */
  readonly passed: ReadonlySet<number>;
  readonly mediaCount: number;
}

export type Granted<T> =
  | { readonly kind: "granted"; readonly value: T }
  | { readonly kind: "refused"; readonly verdict: MediaVerdict };

/** Whose description it is, and what it is judged by. */
export interface GrantContext {
  readonly party: Party;
  readonly policy: MediaPolicy;
  /** Where this party had a stream until now: there it stays while on hold. */
  readonly before?: (index: number) => MediaEnd | undefined;
}

/** Judges an offer. */
export function grantOffer(sdp: SessionDescription, context: GrantContext): Granted<OfferedMedia> {
  const { policy } = context;
  const rule = endRule(context.party, policy);
  const streams: OfferedStream[] = [];
  const passed = new Set<number>();
  for (const [index, offer] of sdp.media.entries()) {
    if (offer.port === 0 || !isOpenable(offer)) {
      if (offer.port !== 0 && policy.otherMedia === "refuse") return refused("media-type");
      if (offer.port !== 0 || hasAttribute(offer, "bundle-only")) passed.add(index);
      continue;
    }
    if (streams.length === MAX_STREAMS) return refused("media-count");
    const fault = keyFault(offer, sdp, policy) ?? candidateFault(offer, rule);
    if (fault !== undefined) return refused(fault);
    const offerer = heldOrEnd(offer, sdp, rule, context.before?.(index));
    if (typeof offerer === "string") return refused(offerer);
    const others = isBundled(sdp) ? [] : streams.map((stream) => stream.offerer);
    if (others.some((other) => meet(other, offerer))) return refused("media-port");
    streams.push({ index, offer, offerer, plain: isPlain(offer, sdp) });
  }
  return { kind: "granted", value: { streams, passed, mediaCount: sdp.media.length } };
}

/** Judges the answer to a granted offer; a stream that it rejects is left out. */
export function grantAnswer(
  offered: OfferedMedia,
  sdp: SessionDescription,
  context: GrantContext,
): Granted<readonly AnsweredStream[]> {
  if (sdp.media.length !== offered.mediaCount) return refused("media-mismatch");
  const rule = endRule(context.party, context.policy);
  const streams: AnsweredStream[] = [];
  for (const [index, answer] of sdp.media.entries()) {
    if (answer.port === 0 || offered.passed.has(index)) continue;
    const stream = offered.streams.find((candidate) => candidate.index === index);
    if (stream === undefined || !fits(answer, stream.offer)) return refused("media-mismatch");
    const answerer = heldOrEnd(answer, sdp, rule, context.before?.(index));
    if (typeof answerer === "string") return refused(answerer);
    const fault = candidateFault(answer, rule);
    if (fault !== undefined) return refused(fault);
    const elsewhere = isKeyedElsewhere(answer) || isKeyedElsewhere(sdp);
    const keys = agreedKeys(stream.offer, answer, elsewhere, context.policy);
    if (keys === undefined) return refused("media-crypto");
    const granted = { ...stream, answer, answerer, mux: isMuxed(stream.offer, answer), keys };
    const others = isBundled(sdp) ? [] : streams;
    if (others.some((other) => meet(takenEnd(other), takenEnd(granted))))
      return refused("media-port");
    streams.push(granted);
  }
  return { kind: "granted", value: streams };
}

/** True for a key that the recorder can use. */
export function isUsableCrypto(crypto: CryptoAttribute): boolean {
  return isSupportedSuite(crypto.suite) && crypto.mki === undefined;
}

const refused = (verdict: MediaVerdict) => ({ kind: "refused", verdict }) as const;

const RTP_MEDIA: ReadonlySet<string> = new Set(["audio", "video", "text"]);
const SECURE = /^RTP\/SAVPF?$/;
const PLAIN = /^RTP\/AVPF?$/;
const DTLS = /^UDP\/TLS\/RTP\/SAVPF?$/;
const FAX = /^udptl$/i;

/** True for what a hole is made for: RTP, and fax over UDPTL (ITU-T T.38). */
function isOpenable({ media, proto }: MediaDescription): boolean {
  if (media === "image") return FAX.test(proto);
  return RTP_MEDIA.has(media) && (SECURE.test(proto) || PLAIN.test(proto) || DTLS.test(proto));
}

/** What the keys of an offered stream are refused for. */
function keyFault(
  offer: MediaDescription,
  sdp: SessionDescription,
  { undecryptable }: MediaPolicy,
): MediaVerdict | undefined {
  if (offer.media === "image" || undecryptable === "pass") return undefined;
  if (DTLS.test(offer.proto)) return "media-protocol";
  if (isKeyedElsewhere(offer) || isKeyedElsewhere(sdp)) return "media-crypto";
  const wantsKey = SECURE.test(offer.proto) || offersCrypto(offer);
  return wantsKey && !offer.crypto.some(isUsableCrypto) ? "media-crypto" : undefined;
}

/** DTLS-SRTP (RFC 5763) and ZRTP (RFC 6189) agree on keys in the media itself. */
const isKeyedElsewhere = (described: Pick<MediaDescription, "attributes">): boolean =>
  hasAttribute(described, "fingerprint") || hasAttribute(described, "zrtp-hash");

const offersCrypto = ({ crypto, refusedCrypto }: MediaDescription): boolean =>
  crypto.length + refusedCrypto.length > 0;

const isPlain = (offer: MediaDescription, sdp: SessionDescription): boolean =>
  PLAIN.test(offer.proto) &&
  !offersCrypto(offer) &&
  !isKeyedElsewhere(offer) &&
  !isKeyedElsewhere(sdp);

const fits = (answer: MediaDescription, offer: MediaDescription): boolean =>
  answer.media === offer.media &&
  answer.proto === offer.proto &&
  (!answer.rtcpMux || offer.rtcpMux);

const isMuxed = (offer: MediaDescription, answer: MediaDescription): boolean =>
  offer.rtcpMux && answer.rtcpMux;

/** Keys of both directions; undefined: they are to be known, and are not. */
function agreedKeys(
  offer: MediaDescription,
  answer: MediaDescription,
  elsewhere: boolean,
  { undecryptable }: MediaPolicy,
): StreamKeys | undefined {
  if (offer.media === "image") return { kind: "unknown" };
  const chosen = DTLS.test(answer.proto) || elsewhere ? undefined : chosenKeys(offer, answer);
  return chosen ?? (undecryptable === "pass" ? { kind: "unknown" } : undefined);
}

/** The pair of keys by the answer's one tag (RFC 4568 §5.1.2-5.1.3); undefined: none is usable. */
function chosenKeys(offer: MediaDescription, answer: MediaDescription): StreamKeys | undefined {
  if (!offersCrypto(answer)) return PLAIN.test(offer.proto) ? { kind: "none" } : undefined;
  const [answered, ...more] = answer.crypto;
  if (answered === undefined || more.length > 0 || answer.refusedCrypto.length > 0)
    return undefined;
  const offered = offer.crypto.find(({ tag }) => tag === answered.tag);
  if (offered === undefined || offered.suite !== answered.suite) return undefined;
  if (!isUsableCrypto(offered) || !isUsableCrypto(answered)) return undefined;
  if (offered.masterKeySalt.expose().equals(answered.masterKeySalt.expose())) return undefined;
  return { kind: "sdes", offered, answered };
}

function heldOrEnd(
  media: MediaDescription,
  sdp: SessionDescription,
  rule: EndRule,
  before: MediaEnd | undefined,
): MediaEnd | undefined | MediaVerdict {
  const end = mediaEnd(media, sdp, rule);
  return end === "held" ? before : end;
}

/** Lines of a bundle share one port by design (RFC 9143 §7). */
const isBundled = ({ attributes }: SessionDescription): boolean =>
  attributes.some(({ name, value }) => name === "group" && value?.startsWith("BUNDLE ") === true);

/** Where the answerer in truth takes RTCP. */
const takenEnd = ({ answerer, mux }: AnsweredStream): MediaEnd | undefined =>
  mux && answerer !== undefined ? { ...answerer, rtcpPort: answerer.rtpPort } : answerer;

/** True for ends that share a port: nobody could say whose packet comes there. */
const meet = (one: MediaEnd | undefined, other: MediaEnd | undefined): boolean =>
  one !== undefined &&
  other !== undefined &&
  one.address === other.address &&
  [one.rtpPort, one.rtcpPort].some((port) => port === other.rtpPort || port === other.rtcpPort);
