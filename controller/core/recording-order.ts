/**
 * What the recorder is told of a call, before it is signed and sealed: the streams by destination
 * and the key of each. An offer's key protects what flows to the answerer (RFC 4568 §5.1), so the
 * stream toward the offerer has no key until the answer. Pure; the keys stay `Secret` here.
 */
import { MAX_ORDER_PAYLOADS, type OrderPayload } from "../../protocol/ingest/order.ts";
import type { CryptoAttribute } from "../../protocol/sdp/crypto-attribute.ts";
import type { MediaDescription, RtpMap } from "../../protocol/sdp/session-description.ts";
import type { MediaEnd } from "./media-end.ts";
import type { AnsweredStream, OfferedStream, StreamKeys } from "./media-policy.ts";
import { otherSide, type Side } from "./party.ts";

export type DraftProtection =
  /** The key is to come, or is none of ours: what passes is kept as captured. */
  | { readonly kind: "pending" }
  | { readonly kind: "rtp" }
  | { readonly kind: "srtp"; readonly crypto: CryptoAttribute };

export interface DraftStream {
  /** Who speaks in it. */
  readonly label: Side;
  readonly media: string;
  readonly source?: { readonly address: string };
  readonly destination: { readonly address: string; readonly port: number };
  /** Absent: RTCP goes to the RTP port. */
  readonly rtcpPort?: number;
  readonly payloads: readonly OrderPayload[];
  readonly protection: DraftProtection;
}

/** The streams that an offer brings: only what comes to the offerer, and no key for it yet. */
export function streamsOfOffer(
  by: Side,
  streams: readonly OfferedStream[],
): readonly DraftStream[] {
  return streams.flatMap(({ offer, offerer, plain }): DraftStream[] => {
    if (offerer === undefined) return [];
    const end = { label: otherSide(by), end: offerer, mux: false };
    return [draft(offer, end, { kind: plain ? "rtp" : "pending" })];
  });
}

/** One stream of an answered call, to the caller and to the callee, each under the other's key. */
export function streamsOfAnswer(
  by: Side,
  { offer, answer, mux, keys }: AnsweredStream,
  { offerer, answerer }: { readonly offerer: MediaEnd; readonly answerer: MediaEnd },
): readonly DraftStream[] {
  const toOfferer = { label: otherSide(by), source: answerer, end: offerer, mux };
  const toAnswerer = { label: by, source: offerer, end: answerer, mux };
  const drafts = [
    draft(offer, toOfferer, protectionOf(keys, "answered")),
    draft(answer, toAnswerer, protectionOf(keys, "offered")),
  ];
  return by === "caller" ? drafts : drafts.toReversed();
}

/** Whether both say the same, keys included. */
export function sameDrafts(one: readonly DraftStream[], other: readonly DraftStream[]): boolean {
  return one.length === other.length && one.every((each, at) => sameDraft(each, other[at]));
}

function sameDraft(one: DraftStream, other: DraftStream | undefined): boolean {
  return (
    other !== undefined &&
    one.label === other.label &&
    one.media === other.media &&
    one.source?.address === other.source?.address &&
    one.destination.address === other.destination.address &&
    one.destination.port === other.destination.port &&
    one.rtcpPort === other.rtcpPort &&
    samePayloads(one.payloads, other.payloads) &&
    sameProtection(one.protection, other.protection)
  );
}

const samePayloads = (one: readonly OrderPayload[], other: readonly OrderPayload[]): boolean =>
  one.length === other.length &&
  one.every(({ type, codec, clockHz, channels }, at) => {
    const twin = other[at];
    return (
      twin?.type === type &&
      twin.codec === codec &&
      twin.clockHz === clockHz &&
      twin.channels === channels
    );
  });

function sameProtection(one: DraftProtection, other: DraftProtection): boolean {
  if (one.kind !== "srtp" || other.kind !== "srtp") return one.kind === other.kind;
  return (
    one.crypto.suite === other.crypto.suite &&
    one.crypto.masterKeySalt.expose().equals(other.crypto.masterKeySalt.expose())
  );
}

interface DraftEnd {
  readonly label: Side;
  readonly source?: MediaEnd;
  readonly end: MediaEnd;
  readonly mux: boolean;
}

/** The receiver's description says what the numbers in the packets mean (RFC 3264 §5.1). */
function draft(
  received: MediaDescription,
  { label, source, end, mux }: DraftEnd,
  protection: DraftProtection,
): DraftStream {
  return {
    label,
    media: received.media,
    ...(source === undefined ? {} : { source: { address: source.address } }),
    destination: { address: end.address, port: end.rtpPort },
    ...(mux || end.rtcpPort === end.rtpPort ? {} : { rtcpPort: end.rtcpPort }),
    payloads: payloadsOf(received),
    protection,
  };
}

function protectionOf(keys: StreamKeys, whose: "offered" | "answered"): DraftProtection {
  switch (keys.kind) {
    case "none":
      return { kind: "rtp" };
    case "sdes":
      return { kind: "srtp", crypto: keys[whose] };
    case "unknown":
      return { kind: "pending" };
  }
}

/** Static payload types that need no `a=rtpmap` (RFC 3551 §6): name and clock in Hz. */
const STATIC_PAYLOADS: Readonly<Record<number, readonly [codec: string, clockHz: number]>> = {
  0: ["PCMU", 8000],
  3: ["GSM", 8000],
  4: ["G723", 8000],
  8: ["PCMA", 8000],
  9: ["G722", 8000],
  13: ["CN", 8000],
  15: ["G728", 8000],
  18: ["G729", 8000],
  26: ["JPEG", 90_000],
  31: ["H261", 90_000],
  34: ["H263", 90_000],
};

const CODEC_NAME = /^[A-Za-z\d][\w.+-]{0,31}$/;
const MAX_CLOCK_HZ = 1_000_000;
const MAX_CHANNELS = 8;

/** What an order cannot name is left out: a strange codec must not stop a call. */
const isNameable = ({ encoding, clockHz, channels }: RtpMap): boolean =>
  CODEC_NAME.test(encoding) && clockHz <= MAX_CLOCK_HZ && channels <= MAX_CHANNELS;

function payloadsOf({ payloads, rtpmap }: MediaDescription): readonly OrderPayload[] {
  const known = payloads.flatMap((type) => {
    const mapped = rtpmap.find(({ payloadType }) => payloadType === type);
    if (mapped !== undefined && !isNameable(mapped)) return [];
    if (mapped !== undefined)
      return [{ type, codec: mapped.encoding, clockHz: mapped.clockHz, channels: mapped.channels }];
    const [codec, clockHz] = STATIC_PAYLOADS[type] ?? [];
    return codec === undefined || clockHz === undefined
      ? []
      : [{ type, codec, clockHz, channels: 1 }];
  });
  return known.slice(0, MAX_ORDER_PAYLOADS);
}
