/**
 * Our half of the media: speech cut into packets of 20 ms, each at its own place on the clock, with
 * a sender report at the start and every second, and a goodbye at the end (RFC 3550 §6). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { encodeRtcp, type RtcpPacket } from "../../protocol/rtp/rtcp-packet.ts";
import { encodeRtp } from "../../protocol/rtp/rtp-packet.ts";
import { CNAME } from "../../protocol/rtp/source-lists.ts";
import type { MasterKey } from "../../protocol/srtp/packet-keys.ts";
import { SrtpSender } from "../../protocol/srtp/srtp-sender.ts";

/** One packet of 160 samples. */
export const FRAME_MS = 20;
export const FRAME_SAMPLES = 160;
export const REPORT_EVERY_MS = 1000;

const SILENCE = 0xff; // mu-law zero
const SAMPLES_PER_MS = 8;
const CNAME_BYTES = 12; // RFC 7022 §4.2
const NTP_EPOCH_OFFSET_S = 2_208_988_800n; // from 1900 to 1970

export interface OutPacket {
  readonly component: "rtp" | "rtcp";
  readonly packet: Buffer;
}

export class VoiceSource {
  readonly #speech: Buffer;
  readonly #sender: SrtpSender;
  readonly #ssrc: number;
  readonly #cname: string;
  readonly #firstSequence: number;
  readonly #firstTimestamp: number;
  #startedAt: Millis = 0;
  #frames = 0;
  #reports = 0;
  #rtcpPackets = 0;

  /** `speech` is mu-law; its last packet is filled up with silence. */
  constructor(speech: Buffer, key: MasterKey, random: (size: number) => Buffer) {
    const frames = Math.ceil(speech.length / FRAME_SAMPLES);
    this.#speech = Buffer.alloc(frames * FRAME_SAMPLES, SILENCE);
    speech.copy(this.#speech);
    this.#sender = new SrtpSender(key);
    this.#ssrc = random(4).readUInt32BE();
    this.#cname = random(CNAME_BYTES).toString("base64");
    this.#firstSequence = random(2).readUInt16BE() & 0x7fff; // RFC 4568 §6.4: below 2^15
    this.#firstTimestamp = random(4).readUInt32BE();
  }

  get sentRtp(): number {
    return this.#frames;
  }

  get sentRtcp(): number {
    return this.#rtcpPackets;
  }

  /** All is sent, and the last packet's 20 ms are over. */
  isOver(now: Millis): boolean {
    return this.#isSpent && this.deadline() <= now;
  }

  /** The octets sent so far, in order. */
  get said(): Buffer {
    return this.#speech.subarray(0, this.#frames * FRAME_SAMPLES);
  }

  start(now: Millis): void {
    this.#startedAt = now;
  }

  /** When the next packet is due, or the last one's time is over. Lateness does not add up. */
  deadline(): Millis {
    return this.#frameAt(this.#frames);
  }

  /** All packets due by now, in order. */
  takeDue(now: Millis): readonly OutPacket[] {
    const due: OutPacket[] = [];
    while (!this.#isSpent && this.#frameAt(this.#frames) <= now) {
      due.push({ component: "rtp", packet: this.#nextFrame() });
      // After the packet of the same moment: a report of nothing sent says nothing.
      if (this.#reportAt(this.#reports) < this.#frameAt(this.#frames)) due.push(this.#report(now));
    }
    return due;
  }

  /** The goodbye (RFC 3550 §6.6). */
  leave(now: Millis): readonly OutPacket[] {
    return [this.#rtcp([...this.#reportPackets(now), { kind: "goodbye", ssrcs: [this.#ssrc] }])];
  }

  get #isSpent(): boolean {
    return this.#frames * FRAME_SAMPLES === this.#speech.length;
  }

  #frameAt = (frame: number): Millis => this.#startedAt + frame * FRAME_MS;
  #reportAt = (report: number): Millis => this.#startedAt + report * REPORT_EVERY_MS;

  #nextFrame(): Buffer {
    const frame = this.#frames;
    this.#frames += 1;
    const packet = encodeRtp({
      marker: frame === 0,
      payloadType: 0,
      sequenceNumber: (this.#firstSequence + frame) & 0xffff,
      timestamp: this.#timestampAt(frame * FRAME_MS),
      ssrc: this.#ssrc,
      csrcs: [],
      payload: this.#speech.subarray(frame * FRAME_SAMPLES, (frame + 1) * FRAME_SAMPLES),
    });
    return this.#sender.protectRtp(packet);
  }

  #report(now: Millis): OutPacket {
    this.#reports += 1;
    return this.#rtcp(this.#reportPackets(now));
  }

  #reportPackets(now: Millis): readonly RtcpPacket[] {
    return [
      {
        kind: "sender-report",
        ssrc: this.#ssrc,
        ntpTimestamp: ntpTimestamp(now),
        rtpTimestamp: this.#timestampAt(now - this.#startedAt),
        packetCount: this.#frames,
        octetCount: this.#frames * FRAME_SAMPLES,
        reports: [],
      },
      {
        kind: "source-description",
        chunks: [{ ssrc: this.#ssrc, items: [{ type: CNAME, text: this.#cname }] }],
      },
    ];
  }

  #rtcp(packets: readonly RtcpPacket[]): OutPacket {
    this.#rtcpPackets += 1;
    return { component: "rtcp", packet: this.#sender.protectRtcp(encodeRtcp(packets)) };
  }

  #timestampAt(sinceStartMs: number): number {
    return (this.#firstTimestamp + Math.round(sinceStartMs * SAMPLES_PER_MS)) >>> 0;
  }
}

/** 32 bits of seconds since 1900 and 32 of fraction (RFC 3550 §4). */
function ntpTimestamp(now: Millis): bigint {
  const wholeMs = BigInt(Math.floor(now));
  const seconds = wholeMs / 1000n + NTP_EPOCH_OFFSET_S;
  return ((seconds & 0xffff_ffffn) << 32n) | (((wholeMs % 1000n) << 32n) / 1000n);
}
