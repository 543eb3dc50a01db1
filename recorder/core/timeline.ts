/**
 * Lays the speech of both parties on one time line, sample for sample what the G.711 octets decode
 * to (docs/recording-format.md §5). A run of packets begins where the kernel saw its first packet
 * and goes on by RTP timestamps; a new SSRC, or a timestamp that has left the kernel's time behind,
 * begins a new run. What no packet covers is silence. Pure.
 */

import { decodeALaw, decodeMuLaw } from "../../protocol/audio/g711.ts";
import type { Sound } from "../../protocol/audio/wav.ts";
import { decodeUdp } from "../../protocol/capture/udp.ts";
import { isProtocolError, ProtocolError } from "../../protocol/errors.ts";
import type { PcapngPacket } from "../../protocol/pcapng/encode-pcapng.ts";
import { isRtcp } from "../../protocol/rtp/is-rtcp.ts";
import { decodeRtp, type RtpPacket } from "../../protocol/rtp/rtp-packet.ts";
import { destinationKey } from "./media-packet.ts";
import { INTERFACES, NOT_RTP } from "./media-stream.ts";
import type { Metadata } from "./metadata.ts";

export const SAMPLE_RATE_HZ = 8000;
/** How far RTP time may leave the kernel's before it is believed to have jumped. */
export const MAX_DRIFT_MS = 5000;
/** The longest time line, eight hours. */
export const MAX_TIMELINE_SAMPLES = 8 * 3600 * SAMPLE_RATE_HZ;

const CHANNELS = ["caller", "callee"] as const;
const MAX_DRIFT_SAMPLES = (MAX_DRIFT_MS * SAMPLE_RATE_HZ) / 1000;
const DECODERS: Readonly<Record<string, (octets: Uint8Array) => Int16Array>> = {
  PCMU: decodeMuLaw,
  PCMA: decodeALaw,
};

/** Stands for a codec where a packet cannot be read. */
const DAMAGED = "damaged RTP";

type Label = (typeof CHANNELS)[number];

export interface Timeline {
  /** Left: what the caller said; right: the callee. */
  readonly sound: Sound;
  /** Packets that are silent here, by codec, since it is not decoded. */
  readonly undecoded: Readonly<Record<string, number>>;
}

interface Spoken {
  readonly label: Label;
  readonly micros: number;
  readonly rtp: RtpPacket;
  /** Undefined for a codec that is not decoded. */
  readonly samples: Int16Array | undefined;
}

interface Placed {
  readonly label: Label;
  /** In samples from the origin; below 0 for a packet overtaken by the very first. */
  readonly start: number;
  readonly samples: Int16Array;
}

/**
 * The time line of a recording; it begins with the earliest sample.
 * @param packets Earliest first.
 * @throws ProtocolError `ERR_RECORDING_SYNTAX` if it would exceed `MAX_TIMELINE_SAMPLES`.
 */
export function layTimeline(packets: readonly PcapngPacket[], metadata: Metadata): Timeline {
  const undecoded: Record<string, number> = {};
  const spoken = readSpoken(packets, metadata, undecoded);
  const originMicros = spoken[0]?.micros ?? 0;
  const placed = CHANNELS.flatMap((label) =>
    placeChannel(
      spoken.filter((each) => each.label === label),
      originMicros,
    ),
  );
  const begin = placed.reduce(
    (least, { start }) => Math.min(least, start),
    Number.POSITIVE_INFINITY,
  );
  const end = placed.reduce(
    (most, { start, samples }) => Math.max(most, start + samples.length),
    begin,
  );
  const length = placed.length === 0 ? 0 : end - begin;
  if (length > MAX_TIMELINE_SAMPLES)
    throw new ProtocolError("ERR_RECORDING_SYNTAX", "the recording is longer than eight hours");
  const channels = CHANNELS.map((label) => {
    const samples = new Int16Array(length);
    for (const each of placed)
      if (each.label === label) samples.set(each.samples, each.start - begin);
    return samples;
  });
  return { sound: { sampleRateHz: SAMPLE_RATE_HZ, channels }, undecoded };
}

function readSpoken(
  packets: readonly PcapngPacket[],
  metadata: Metadata,
  undecoded: Record<string, number>,
): readonly Spoken[] {
  const streams = streamsByDestination(metadata);
  return packets.flatMap(({ interfaceId, micros, octets, comment }) => {
    if (interfaceId !== INTERFACES.media || comment === NOT_RTP) return [];
    const udp = decodeUdp(octets);
    const stream = streams.get(destinationKey(udp.destination, udp.destinationPort));
    if (stream === undefined || isRtcp(udp.payload)) return [];
    const rtp = decodeOrUndefined(udp.payload);
    const codec = rtp === undefined ? DAMAGED : codecOf(stream, rtp);
    const decode = DECODERS[codec];
    if (decode === undefined) undecoded[codec] = (undecoded[codec] ?? 0) + 1;
    if (rtp === undefined) return [];
    return [{ label: stream.label, micros, rtp, samples: decode?.(rtp.payload) }];
  });
}

/** Whoever holds the key may send what is no RTP inside: that costs its own place and nothing else. */
function decodeOrUndefined(octets: Uint8Array): RtpPacket | undefined {
  try {
    return decodeRtp(octets);
  } catch (error) {
    if (isProtocolError(error, "ERR_RTP_SYNTAX")) return undefined;
    throw error;
  }
}

function codecOf({ codecs }: { codecs: ReadonlyMap<number, string> }, rtp: RtpPacket): string {
  return codecs.get(rtp.payloadType) ?? `payload type ${rtp.payloadType}`;
}

/** Who speaks toward each port, and in what codecs, over all revisions. */
function streamsByDestination(metadata: Metadata) {
  const streams = new Map<string, { label: Label; codecs: Map<number, string> }>();
  for (const { label, media, destination, payloads } of metadata.revisions.flatMap(
    (each) => each.streams,
  )) {
    const key = destinationKey(destination.address, destination.port);
    const codecs = streams.get(key)?.codecs ?? new Map<number, string>();
    // Whatever another medium calls its codec, it is no speech.
    const name = (codec: string) =>
      media === "audio" ? codec.toUpperCase() : `${media} ${codec.toUpperCase()}`;
    for (const { type, codec } of payloads) codecs.set(type, name(codec));
    streams.set(key, { label, codecs });
  }
  return streams;
}

/** One run: RTP timestamps counted on from its first packet. */
interface Run {
  readonly start: number;
  readonly firstTimestamp: number;
}

function placeChannel(spoken: readonly Spoken[], originMicros: number): readonly Placed[] {
  const runs = new Map<number, Run>();
  const seen = new Set<string>();
  return spoken.flatMap(({ label, micros, rtp, samples }) => {
    const { ssrc, sequenceNumber, timestamp } = rtp;
    const name = `${ssrc} ${sequenceNumber} ${timestamp}`;
    if (seen.has(name)) return [];
    seen.add(name);
    const arrival = Math.round(((micros - originMicros) * SAMPLE_RATE_HZ) / 1_000_000);
    const run = goOn(runs.get(ssrc), timestamp, arrival);
    runs.set(ssrc, run);
    return samples === undefined ? [] : [{ label, start: positionIn(run, timestamp), samples }];
  });
}

/** The same run, or a new one where there is none or its time has left the kernel's. */
function goOn(run: Run | undefined, timestamp: number, arrival: number): Run {
  if (run !== undefined && Math.abs(positionIn(run, timestamp) - arrival) <= MAX_DRIFT_SAMPLES)
    return run;
  return { start: arrival, firstTimestamp: timestamp };
}

/** Timestamps are 32 bits (RFC 3550 §5.1): a difference is taken the short way round. */
const positionIn = ({ start, firstTimestamp }: Run, timestamp: number) =>
  start + ((timestamp - firstTimestamp) | 0);
