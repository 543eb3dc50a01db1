/**
 * What the recorder is told of a call, before it is signed and sealed: the streams by destination
 * and the key of each. An offer's key protects what flows to the answerer (RFC 4568 §5.1), so the
 * stream toward the caller has no key until the answer. Pure; the keys stay `Secret` here.
 */
import { MAX_ORDER_PAYLOADS, type OrderPayload } from "../../protocol/ingest/order.ts";
import type { CryptoAttribute } from "../../protocol/sdp/crypto-attribute.ts";
import type { MediaDescription } from "../../protocol/sdp/session-description.ts";
import type { AnsweredStream, OfferedStream } from "./media-policy.ts";

export type DraftProtection =
  | { readonly kind: "pending" }
  | { readonly kind: "rtp" }
  | { readonly kind: "srtp"; readonly crypto: CryptoAttribute };

export interface DraftStream {
  /** Who speaks in it. */
  readonly label: "caller" | "callee";
  readonly media: string;
  readonly source?: { readonly address: string };
  readonly destination: { readonly address: string; readonly port: number };
  /** Absent: RTCP goes to the RTP port. */
  readonly rtcpPort?: number;
  readonly payloads: readonly OrderPayload[];
  readonly protection: DraftProtection;
}

/** The streams of revision 1: only what comes to the caller, and no key for it yet. */
export function streamsOfOffer(streams: readonly OfferedStream[]): readonly DraftStream[] {
  return streams.map(({ offer, caller }) => ({
    label: "callee",
    media: offer.media,
    destination: { address: caller.address, port: caller.rtpPort },
    rtcpPort: caller.rtcpPort,
    payloads: payloadsOf(offer),
    protection: isPlain(offer) ? { kind: "rtp" } : { kind: "pending" },
  }));
}

/** The streams of an answered call, both ways, each under the key of the other side. */
export function streamsOfAnswer(streams: readonly AnsweredStream[]): readonly DraftStream[] {
  return streams.flatMap(({ offer, answer, caller, callee, mux, keys }): DraftStream[] => [
    {
      label: "callee",
      media: offer.media,
      source: { address: callee.address },
      destination: { address: caller.address, port: caller.rtpPort },
      ...(mux ? {} : { rtcpPort: caller.rtcpPort }),
      payloads: payloadsOf(offer),
      protection: keys.kind === "none" ? { kind: "rtp" } : { kind: "srtp", crypto: keys.answered },
    },
    {
      label: "caller",
      media: offer.media,
      source: { address: caller.address },
      destination: { address: callee.address, port: callee.rtpPort },
      ...(mux ? {} : { rtcpPort: callee.rtcpPort }),
      payloads: payloadsOf(answer),
      protection: keys.kind === "none" ? { kind: "rtp" } : { kind: "srtp", crypto: keys.offered },
    },
  ]);
}

/** Static audio payload types that need no `a=rtpmap` (RFC 3551 §6): name and clock in Hz. */
const STATIC_AUDIO: Readonly<Record<number, readonly [codec: string, clockHz: number]>> = {
  0: ["PCMU", 8000],
  3: ["GSM", 8000],
  4: ["G723", 8000],
  8: ["PCMA", 8000],
  9: ["G722", 8000],
  13: ["CN", 8000],
  15: ["G728", 8000],
  18: ["G729", 8000],
};

/** The receiver's description says what the numbers in the packets mean (RFC 3264 §5.1). */
function payloadsOf({ payloads, rtpmap }: MediaDescription): readonly OrderPayload[] {
  const known = payloads.flatMap((type) => {
    const mapped = rtpmap.find(({ payloadType }) => payloadType === type);
    if (mapped !== undefined)
      return [{ type, codec: mapped.encoding, clockHz: mapped.clockHz, channels: mapped.channels }];
    const [codec, clockHz] = STATIC_AUDIO[type] ?? [];
    return codec === undefined || clockHz === undefined
      ? []
      : [{ type, codec, clockHz, channels: 1 }];
  });
  return known.slice(0, MAX_ORDER_PAYLOADS);
}

const isPlain = ({ proto, crypto, refusedCrypto }: MediaDescription) =>
  proto.startsWith("RTP/AVP") && crypto.length + refusedCrypto.length === 0;
