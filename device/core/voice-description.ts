/**
 * The session description of one voice call: what we offer, what we answer, and what the other
 * side's says about where our sound goes and under which key (RFC 3264, RFC 4568 §5.1). Pure.
 * One stream, PCMU over RTP/SAVP, both ways; every other stream offered is answered with port 0.
 */
import { ProtocolError } from "../../protocol/errors.ts";
import { masterKeySaltBytes } from "../../protocol/rtp/srtp-suite.ts";
import { audioDescription } from "../../protocol/sdp/audio-description.ts";
import type { CryptoAttribute } from "../../protocol/sdp/crypto-attribute.ts";
import { mediaTransports, type TransportAddress } from "../../protocol/sdp/media-transport.ts";
import { chooseCrypto, negotiateProtection, pairMedia } from "../../protocol/sdp/offer-answer.ts";
import { parseSdp } from "../../protocol/sdp/parse-sdp.ts";
import { payloadFormats } from "../../protocol/sdp/payload-formats.ts";
import { serializeSdp } from "../../protocol/sdp/serialize-sdp.ts";
import type {
  MediaDescription,
  SessionDescription,
} from "../../protocol/sdp/session-description.ts";
import { Secret } from "../../protocol/secret.ts";

const PCMU = { payloadType: 0, encoding: "PCMU", clockHz: 8000, channels: 1 } as const;
const SUITE = "AES_CM_128_HMAC_SHA1_80";
const PTIME_MS = 20;
const SESSION_ID_BYTES = 7; // stays below 2^63

/** Where we take sound: RTP on `rtpPort`, RTCP on the next. */
export interface VoiceEndpoint {
  readonly address: string;
  readonly rtpPort: number;
}

/** Our side of a call: the description, and the key that our packets go under. */
export interface LocalVoice {
  readonly session: SessionDescription;
  /** The description as it is sent. It holds the key. */
  readonly sdp: Buffer;
  readonly crypto: CryptoAttribute;
}

/** The other side of a call, as its description states it. */
export interface RemoteVoice {
  readonly rtp: TransportAddress;
  readonly rtcp: TransportAddress;
  readonly crypto: CryptoAttribute;
}

/** An offer that we can answer. */
export interface VoiceOffer {
  readonly session: SessionDescription;
  /** Which of its streams we take. */
  readonly index: number;
  readonly remote: RemoteVoice;
}

type Random = (size: number) => Buffer;

/** Offers one stream under a fresh key. */
export function offerVoice(endpoint: VoiceEndpoint, random: Random): LocalVoice {
  const crypto = freshCrypto({ tag: 1, suite: SUITE }, random);
  return localVoice(describe(endpoint, crypto, random), crypto);
}

/**
 * Reads an offer and picks the first stream that this phone can take.
 * @throws ProtocolError as `parseSdp`; `ERR_SDP_UNACCEPTABLE` if no stream will do.
 */
export function readVoiceOffer(sdp: Uint8Array): VoiceOffer {
  const session = parseSdp(sdp);
  for (const [index, media] of session.media.entries()) {
    const crypto = chooseCrypto(withoutMki(media));
    if (crypto !== undefined && isVoice(media))
      return { session, index, remote: { ...transports(session, index), crypto } };
  }
  throw new ProtocolError("ERR_SDP_UNACCEPTABLE", "no stream of PCMU over RTP/SAVP with a key");
}

/** Answers with the tag and suite of the offer's key, and a fresh key of our own. */
export function answerVoice(
  offer: VoiceOffer,
  endpoint: VoiceEndpoint,
  random: Random,
): LocalVoice {
  const crypto = freshCrypto(offer.remote.crypto, random);
  const ours = describe(endpoint, crypto, random);
  const media = offer.session.media.flatMap((offered, at) =>
    at === offer.index ? ours.media : [rejected(offered)],
  );
  return localVoice({ ...ours, media }, crypto);
}

/**
 * Reads the answer to an offer of ours.
 * @throws ProtocolError as `parseSdp`; `ERR_SDP_UNACCEPTABLE` if the stream was rejected, or its key
 *   has another tag or suite than ours, or is our own again (RFC 4568 §7.1.2).
 */
export function readVoiceAnswer(sdp: Uint8Array, offer: LocalVoice): RemoteVoice {
  const session = parseSdp(sdp);
  const [pair] = pairMedia(offer.session, session);
  if (pair === undefined || !isVoice(pair.answer))
    throw new ProtocolError("ERR_SDP_UNACCEPTABLE", "the answer does not take the stream offered");
  const protection = negotiateProtection(pair);
  if (protection.kind !== "srtp")
    throw new ProtocolError("ERR_SDP_UNACCEPTABLE", "the answer does not take the key offered");
  return { ...transports(session, 0), crypto: protection.answer };
}

function isVoice(media: MediaDescription): boolean {
  const { payloadType, encoding } = PCMU;
  const format = payloadFormats(media).find((map) => map.payloadType === payloadType);
  return (
    media.media === "audio" &&
    media.proto === "RTP/SAVP" &&
    media.port !== 0 &&
    media.direction === "sendrecv" &&
    format?.encoding.toUpperCase() === encoding
  );
}

/** A key with an MKI wants it in every packet, which we do not write. */
const withoutMki = (media: MediaDescription): MediaDescription => ({
  ...media,
  crypto: media.crypto.filter(({ mki }) => mki === undefined),
});

function transports(session: SessionDescription, index: number): Pick<RemoteVoice, "rtp" | "rtcp"> {
  const transport = mediaTransports(session)[index];
  if (transport?.kind !== "active" || transport.rtcp === undefined)
    throw new ProtocolError("ERR_SDP_UNACCEPTABLE", "no port of its own for RTCP");
  return { rtp: transport.rtp, rtcp: transport.rtcp };
}

function freshCrypto(
  { tag, suite }: Pick<CryptoAttribute, "tag" | "suite">,
  random: Random,
): CryptoAttribute {
  const octets = random(masterKeySaltBytes(suite));
  const crypto = { tag, suite, masterKeySalt: new Secret(octets) };
  octets.fill(0);
  return crypto;
}

function describe(
  endpoint: VoiceEndpoint,
  crypto: CryptoAttribute,
  random: Random,
): SessionDescription {
  const sessionId = BigInt(`0x${random(SESSION_ID_BYTES).toString("hex")}`).toString();
  return audioDescription({
    ...endpoint,
    sessionId,
    formats: [PCMU],
    crypto: [crypto],
    ptimeMs: PTIME_MS,
  });
}

const localVoice = (session: SessionDescription, crypto: CryptoAttribute): LocalVoice => ({
  session,
  sdp: serializeSdp(session),
  crypto,
});

/** The same stream with port 0, and nothing said of it (RFC 3264 §6). */
const rejected = ({ media, proto, formats, payloads }: MediaDescription): MediaDescription => ({
  ...{ media, proto, formats, payloads, port: 0, rtcpMux: false, direction: "inactive" },
  ...{ rtpmap: [], crypto: [], refusedCrypto: [], attributes: [], plainLines: [] },
});
