/** Packets of a call between alice (caller) and bob, as the gateway would hand them over. */

import { encodeNflog } from "../../../protocol/capture/nflog.ts";
import { encodeUdp } from "../../../protocol/capture/udp.ts";
import type { CapturedPacket } from "../../../protocol/ingest/frames.ts";
import type {
  OrderProtection,
  OrderStream,
  RecordingOrder,
} from "../../../protocol/ingest/order.ts";
import { encodeRtcp } from "../../../protocol/rtp/rtcp-packet.ts";
import { encodeRtp, type RtpPacket } from "../../../protocol/rtp/rtp-packet.ts";
import { Secret } from "../../../protocol/secret.ts";
import { SrtpSender } from "../../../protocol/srtp/srtp-sender.ts";
import { decodeMediaPacket, type MediaPacket } from "../../../recorder/core/media-packet.ts";

export const ALICE = { address: "10.10.0.2", port: 20_000 };
export const BOB = { address: "10.20.0.2", port: 30_000 };
export const STRANGER = { address: "10.20.0.66", port: 30_000 };
export const NOW = 1_800_000_000_000;
export const RECORDING = "0b2f6c0e-5d1c-4d8f-9a3e-1f2a3b4c5d6e";
export const SUITE = "AES_CM_128_HMAC_SHA1_80";
/** RFC 4568 §7.1.1 prints these. */
export const KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
export const OTHER_KEY = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";
export const PCMU = { type: 0, codec: "PCMU", clockHz: 8000, channels: 1 };

export const srtp = (masterKeySalt = KEY): OrderProtection => ({
  kind: "srtp",
  suite: SUITE,
  masterKeySalt,
});

/** What bob hears of alice. */
export const callerStream = (change: Partial<OrderStream> = {}): OrderStream => ({
  label: "caller",
  media: "audio",
  destination: BOB,
  rtcpPort: BOB.port + 1,
  payloads: [PCMU],
  protection: srtp(),
  ...change,
});

/** What alice hears of bob. */
export const calleeStream = (change: Partial<OrderStream> = {}): OrderStream => ({
  label: "callee",
  media: "audio",
  destination: ALICE,
  rtcpPort: ALICE.port + 1,
  payloads: [PCMU],
  protection: srtp(OTHER_KEY),
  ...change,
});

export const orderOf = (
  streams: readonly OrderStream[],
  change: Partial<RecordingOrder> = {},
): RecordingOrder => ({
  version: 1,
  recording: RECORDING,
  session: "s1",
  revision: 1,
  callId: "call-1",
  from: "sip:alice@atlanta.example.com",
  to: "sip:bob@biloxi.example.com",
  startedAt: "2027-01-15T08:00:00.000Z",
  policy: "decrypted",
  streams: [...streams],
  ...change,
});

export const senderOf = (masterKeySalt = KEY): SrtpSender =>
  new SrtpSender({ suite: SUITE, masterKeySalt: new Secret(Buffer.from(masterKeySalt, "base64")) });

/** A sender that has been at it for so many packets. */
export function senderAt(index: number, masterKeySalt = KEY, ssrc = 0x1111): SrtpSender {
  const sender = senderOf(masterKeySalt);
  for (let at = 0; at < index; at += 20_000) sender.protectRtp(rtpOf(at, { ssrc }));
  return sender;
}

export const rtpOf = (at: number, change: Partial<RtpPacket> = {}): Buffer =>
  encodeRtp({
    marker: false,
    payloadType: 0,
    sequenceNumber: at & 0xffff,
    timestamp: (at * 160) >>> 0,
    ssrc: 0x1111,
    csrcs: [],
    payload: Buffer.alloc(160, at & 0xff),
    ...change,
  });

export const rtcpOf = (ssrc = 0x1111): Buffer =>
  encodeRtcp([{ kind: "receiver-report", ssrc, reports: [] }]);

/** A UDP packet as the kernel logged it, `ms` after `NOW`. */
export function capturedOf(
  payload: Uint8Array,
  { from = ALICE, to = BOB, ms = 0 } = {},
): CapturedPacket {
  const ip = encodeUdp({
    source: from.address,
    destination: to.address,
    sourcePort: from.port,
    destinationPort: to.port,
    payload: Buffer.from(payload),
  });
  const captureMicros = (NOW + ms) * 1000;
  const nflog = encodeNflog({ family: 4, group: 5, payload: ip, captureMicros });
  return { captureMicros: captureMicros + 7, nflog };
}

export const mediaOf = (...given: Parameters<typeof capturedOf>): MediaPacket =>
  decodeMediaPacket(capturedOf(...given));
