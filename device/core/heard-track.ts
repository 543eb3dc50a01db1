/**
 * What was heard in a call: the G.711 octets of one source on its own time line, gaps filled with
 * silence. Pure. Only packets that were authenticated may come here.
 */
import type { RtpPacket } from "../../protocol/rtp/rtp-packet.ts";

/** Longest track: an hour of 8000 samples a second. */
export const MAX_HEARD_SAMPLES = 8000 * 3600;

const SILENCE = 0xff; // mu-law zero (G.711)
const INITIAL_SAMPLES = 8000 * 8;

export class HeardTrack {
  #octets = Buffer.alloc(INITIAL_SAMPLES, SILENCE);
  #length = 0;
  #source: { readonly ssrc: number; readonly firstTimestamp: number } | undefined;

  /** Lays a packet in its place. Another source's, one from before the first, or one past the end is left out. */
  add({ ssrc, timestamp, payload }: RtpPacket): void {
    this.#source ??= { ssrc, firstTimestamp: timestamp };
    const at = (timestamp - this.#source.firstTimestamp) | 0; // RTP time is 32 bits that wrap
    const end = at + payload.length;
    if (ssrc !== this.#source.ssrc || at < 0 || end > MAX_HEARD_SAMPLES) return;
    this.#reserve(end);
    payload.copy(this.#octets, at);
    this.#length = Math.max(this.#length, end);
  }

  /** The track so far, one octet a sample; not a copy. */
  get octets(): Buffer {
    return this.#octets.subarray(0, this.#length);
  }

  #reserve(samples: number): void {
    if (samples <= this.#octets.length) return;
    const grown = Buffer.alloc(Math.max(samples, 2 * this.#octets.length), SILENCE);
    this.#octets.copy(grown);
    this.#octets = grown;
  }
}
