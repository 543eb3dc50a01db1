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
 * How many samples two sounds have in common, aligned at the first that is not silent and compared
 * to the end of the shorter; undefined if a sample in between differs, or one of them is silent.
 */
export function commonSamples(one: Int16Array, other: Int16Array): number | undefined {
  const starts = [one, other].map((sound) => sound.findIndex((sample) => sample !== 0));
  if (starts.some((start) => start < 0)) return undefined;
  const [a, b] = [one.subarray(starts[0]), other.subarray(starts[1])];
  const length = Math.min(a.length, b.length);
  return a.subarray(0, length).every((sample, at) => sample === b[at]) ? length : undefined;
}
