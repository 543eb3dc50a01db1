/**
 * Which media of an opened session description may pass the gateway: the caller's own address on
 * the protected side, anything outside on the far side, never a service port (RFC 3264, RFC 3605,
 * RFC 4568 §5, RFC 5761, RFC 8643). Pure.
 */
import { MAX_ORDER_STREAMS } from "../../protocol/ingest/order.ts";
import {
  type Address,
  isForbiddenMediaAddress,
  isMediaPort,
  type Prefix,
  parseAddress,
  prefixContains,
} from "../../protocol/net/address.ts";
import { isSupportedSuite } from "../../protocol/rtp/srtp-suite.ts";
import type { CryptoAttribute } from "../../protocol/sdp/crypto-attribute.ts";
import type {
  MediaDescription,
  SessionDescription,
} from "../../protocol/sdp/session-description.ts";
import { type MediaVerdict, parsed } from "./verdict.ts";

export interface MediaPolicy {
  readonly protectedPrefixes: readonly Prefix[];
  /** Lowest and highest port on the protected side. */
  readonly ports: readonly [number, number];
  /** Canonical texts; no media goes to the gateway itself. */
  readonly gatewayAddresses: readonly string[];
}

/** Where one party takes the media of one stream. */
export interface MediaEnd {
  /** Canonical. */
  readonly address: string;
  readonly rtpPort: number;
  readonly rtcpPort: number;
}

/** An `m=` line of the offer that may flow to the caller. */
export interface OfferedStream {
  /** Place of its `m=` line, from 0. */
  readonly index: number;
  readonly offer: MediaDescription;
  readonly caller: MediaEnd;
}

/** The same stream once it is answered. */
export interface AnsweredStream extends OfferedStream {
  readonly answer: MediaDescription;
  readonly callee: MediaEnd;
  /** RTCP goes to the RTP port both ways (RFC 5761 §5.1.1). */
  readonly mux: boolean;
  readonly keys: StreamKeys;
}

/** The keys of both directions; `offered` protects what the callee receives (RFC 4568 §5.1). */
export type StreamKeys =
  | { readonly kind: "none" }
  | {
      readonly kind: "sdes";
      readonly offered: CryptoAttribute;
      readonly answered: CryptoAttribute;
    };

/** Streams of one call: a recording order names each twice, once a direction. */
export const MAX_STREAMS = MAX_ORDER_STREAMS / 2;

export type Granted<Stream> =
  | { readonly kind: "granted"; readonly streams: readonly Stream[] }
  | { readonly kind: "refused"; readonly verdict: MediaVerdict };

/** Judges an offer; `ownAddresses` (canonical) are those that the caller proved to be his. */
export function grantOffer(
  sdp: SessionDescription,
  ownAddresses: readonly string[],
  policy: MediaPolicy,
): Granted<OfferedStream> {
  const isOwn = (address: Address, port: number) =>
    protectedFault(address, port, ownAddresses, policy);
  const streams: OfferedStream[] = [];
  for (const [index, offer] of sdp.media.entries()) {
    if (offer.port === 0) continue;
    if (streams.length === MAX_STREAMS) return { kind: "refused", verdict: "media-count" };
    const fault = offerFault(offer, sdp) ?? candidateFault(offer, isOwn);
    if (fault !== undefined) return { kind: "refused", verdict: fault };
    const caller = mediaEnd(offer, sdp, isOwn);
    if (typeof caller === "string") return { kind: "refused", verdict: caller };
    if (streams.some((other) => meet(other.caller, caller)))
      return { kind: "refused", verdict: "media-port" };
    streams.push({ index, offer, caller });
  }
  if (streams.length === 0) return { kind: "refused", verdict: "media-absent" };
  return { kind: "granted", streams };
}

/** Judges the answer to a granted offer; a stream that it rejects is left out. */
export function grantAnswer(
  offered: readonly OfferedStream[],
  mediaCount: number,
  sdp: SessionDescription,
  policy: MediaPolicy,
): Granted<AnsweredStream> {
  if (sdp.media.length !== mediaCount) return { kind: "refused", verdict: "media-mismatch" };
  const isOutside = (address: Address, port: number) => farFault(address, port, policy);
  const streams: AnsweredStream[] = [];
  for (const [index, answer] of sdp.media.entries()) {
    if (answer.port === 0) continue;
    const stream = offered.find((candidate) => candidate.index === index);
    if (stream === undefined || !fits(answer, stream.offer))
      return { kind: "refused", verdict: "media-mismatch" };
    const keys = chosenKeys(stream.offer, answer);
    const callee = mediaEnd(answer, sdp, isOutside);
    const fault = candidateFault(answer, isOutside);
    if (typeof callee === "string" || fault !== undefined)
      return {
        kind: "refused",
        verdict: typeof callee === "string" ? callee : (fault ?? "media-address"),
      };
    if (keys === undefined) return { kind: "refused", verdict: "media-crypto" };
    const mux = stream.offer.rtcpMux && answer.rtcpMux;
    const granted = { ...stream, answer, callee, mux, keys };
    if (streams.some((other) => meet(calleeEnd(other), calleeEnd(granted))))
      return { kind: "refused", verdict: "media-port" };
    streams.push(granted);
  }
  return { kind: "granted", streams };
}

/** Where the callee in truth takes RTCP. */
const calleeEnd = ({ callee, mux }: AnsweredStream): MediaEnd =>
  mux ? { ...callee, rtcpPort: callee.rtpPort } : callee;

/** True for ends that share a port: nobody could say whose packet comes there. */
const meet = (one: MediaEnd, other: MediaEnd): boolean =>
  one.address === other.address &&
  [one.rtpPort, one.rtcpPort].some((port) => port === other.rtpPort || port === other.rtcpPort);

/** True for a key that the recorder can use. */
export function isUsableCrypto(crypto: CryptoAttribute): boolean {
  return isSupportedSuite(crypto.suite) && crypto.mki === undefined;
}

type AddressRule = (address: Address, port: number) => MediaVerdict | undefined;

const SECURE = /^RTP\/SAVPF?$/;
const PLAIN = /^RTP\/AVPF?$/;

function offerFault(offer: MediaDescription, sdp: SessionDescription): MediaVerdict | undefined {
  if (offer.media !== "audio") return "media-type";
  if (!SECURE.test(offer.proto) && !PLAIN.test(offer.proto)) return "media-protocol";
  const keyedElsewhere = [...offer.attributes, ...sdp.attributes].some(
    ({ name }) => name === "fingerprint" || name === "zrtp-hash",
  );
  if (keyedElsewhere) return "media-crypto";
  const wantsKey = SECURE.test(offer.proto) || offersCrypto(offer);
  return wantsKey && !offer.crypto.some(isUsableCrypto) ? "media-crypto" : undefined;
}

const offersCrypto = ({ crypto, refusedCrypto }: MediaDescription) =>
  crypto.length + refusedCrypto.length > 0;

function fits(answer: MediaDescription, offer: MediaDescription): boolean {
  return (
    answer.media === offer.media &&
    answer.proto === offer.proto &&
    (!answer.rtcpMux || offer.rtcpMux)
  );
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

function mediaEnd(
  media: MediaDescription,
  sdp: SessionDescription,
  rule: AddressRule,
): MediaEnd | MediaVerdict {
  const written = (media.connection ?? sdp.connection)?.address ?? "";
  const rtcpWritten = media.rtcp?.connection?.address ?? written;
  const [rtp, rtcp] = [
    parsed(() => parseAddress(written)),
    parsed(() => parseAddress(rtcpWritten)),
  ];
  if (!rtp.ok || !rtcp.ok || rtp.value.text !== rtcp.value.text) return "media-address";
  const rtcpPort = media.rtcp?.port ?? media.port + 1;
  const fault = rule(rtp.value, media.port) ?? rule(rtp.value, rtcpPort);
  return fault ?? { address: rtp.value.text, rtpPort: media.port, rtcpPort };
}

/** ICE candidates open nothing, yet the media may move to one: each must be allowed as well. */
function candidateFault(media: MediaDescription, rule: AddressRule): MediaVerdict | undefined {
  for (const { name, value = "" } of media.attributes) {
    if (name !== "candidate") continue;
    const [, , , , written = "", port] = value.split(" ");
    const address = parsed(() => parseAddress(written));
    const fault = address.ok ? rule(address.value, Number(port)) : "media-address";
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function protectedFault(
  address: Address,
  port: number,
  ownAddresses: readonly string[],
  { protectedPrefixes, ports: [lowest, highest], gatewayAddresses }: MediaPolicy,
): MediaVerdict | undefined {
  const lies = protectedPrefixes.some((prefix) => prefixContains(prefix, address));
  const own = ownAddresses.includes(address.text) && !gatewayAddresses.includes(address.text);
  if (!lies || !own || isForbiddenMediaAddress(address)) return "media-address";
  return isMediaPort(port) && port >= lowest && port <= highest ? undefined : "media-port";
}

function farFault(
  address: Address,
  port: number,
  { protectedPrefixes, gatewayAddresses }: MediaPolicy,
): MediaVerdict | undefined {
  const inside = protectedPrefixes.some((prefix) => prefixContains(prefix, address));
  if (inside || gatewayAddresses.includes(address.text) || isForbiddenMediaAddress(address))
    return "media-address";
  return isMediaPort(port) ? undefined : "media-port";
}
