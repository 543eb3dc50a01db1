/**
 * The sound that passed a link, from a capture of it: packets by sender, SRTP opened with a key that
 * the test knows, G.711 mu-law decoded and laid on its own RTP time. Pure.
 */
import { decodeMuLaw } from "../protocol/audio/g711.ts";
import { isRtcp } from "../protocol/rtp/is-rtcp.ts";
import { decodeRtp, type RtpPacket } from "../protocol/rtp/rtp-packet.ts";
import type { MasterKey } from "../protocol/srtp/packet-keys.ts";
import { SrtpReceiver } from "../protocol/srtp/srtp-receiver.ts";
import { readFrames } from "./pcap.ts";
import { decodeUdpFrame, type UdpEndpoint } from "./udp-frame.ts";

const PCMU = 0;
const PACKET_SAMPLES = 160;
const RTP_VERSION = 2;

/** The RTP packets from this port, in order of passing; only those that `key` opens, if there is one. */
export function readRtp(pcap: Buffer, from: UdpEndpoint, key?: MasterKey): readonly RtpPacket[] {
  const octets = readFrames(pcap).flatMap(({ frame }) => {
    const datagram = decodeUdpFrame(frame);
    if (datagram?.source.address !== from.address || datagram.source.port !== from.port) return [];
    return isRtp(datagram.payload) ? [datagram.payload] : [];
  });
  if (key === undefined) return octets.map((packet) => decodeRtp(packet));
  return new SrtpReceiver(key)
    .unprotectBatch(octets)
    .flatMap((result) => (result.kind === "ok" ? [decodeRtp(result.packet)] : []));
}

const isRtp = (payload: Buffer): boolean =>
  payload.length > 0 && payload.readUInt8(0) >> 6 === RTP_VERSION && !isRtcp(payload);

/** What one sender said, by RTP time from its first packet on; silence where no packet was. */
export function soundOf(packets: readonly RtpPacket[]): Int16Array {
  const spoken = packets.filter(({ payloadType }) => payloadType === PCMU);
  const origin = spoken[0]?.timestamp ?? 0;
  const placed = spoken.map(({ timestamp, payload }) => ({
    at: (timestamp - origin) | 0, // modulo 2^32
    samples: decodeMuLaw(payload),
  }));
  const sound = new Int16Array(
    Math.max(0, ...placed.map(({ at, samples }) => at + samples.length)),
  );
  for (const { at, samples } of placed) if (at >= 0) sound.set(samples, at);
  return sound;
}

/**
 * Of a sound that was heard from some packet on: how many of its samples are those that were sent, up
 * to the end of the shorter; undefined if one differs, or all are silent.
 */
export function commonSamples(heard: Int16Array, sent: Int16Array): number | undefined {
  for (let offset = 0; offset < sent.length; offset += PACKET_SAMPLES) {
    const rest = sent.subarray(offset, offset + heard.length);
    if (rest.every((sample, at) => sample === heard[at]))
      return rest.some((sample) => sample !== 0) ? rest.length : undefined;
  }
  return undefined;
}

/**
 * Whether a channel holds the whole of a sound, sample for sample, and silence all round it; false
 * if nothing was spoken.
 */
export function isWholeOf(channel: Int16Array, sound: Int16Array): boolean {
  const spokenAt = firstSpoken(sound);
  const start = firstSpoken(channel) - spokenAt;
  if (spokenAt < 0 || start < 0) return false;
  const end = start + sound.length;
  return channel.every((sample, at) => sample === (at < end ? (sound[at - start] ?? 0) : 0));
}

const firstSpoken = (sound: Int16Array): number => sound.findIndex((sample) => sample !== 0);
