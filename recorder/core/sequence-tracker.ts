/**
 * What sequence numbers say of a stream: how many packets each source sent between its first and
 * its last, and how many of them arrived (RFC 3550 appendix A.3, on extended numbers). Pure.
 */

/** Sources of one stream that are counted apart; what exceeds them is counted nowhere. */
export const MAX_TRACKED_SSRCS = 64;

export interface SourceReport {
  readonly ssrc: number;
  readonly packets: number;
  /** Extended: rollovers × 65536 + sequence number. */
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** Numbers between first and last that never came. */
  readonly lost: number;
}

interface Source {
  packets: number;
  firstIndex: number;
  lastIndex: number;
}

export class SequenceTracker {
  readonly #sources = new Map<number, Source>();

  /** Counts one packet that is no duplicate. @param index Extended sequence number. */
  count(ssrc: number, index: number): void {
    const source = this.#sources.get(ssrc);
    if (source !== undefined) {
      source.packets += 1;
      source.firstIndex = Math.min(source.firstIndex, index);
      source.lastIndex = Math.max(source.lastIndex, index);
    } else if (this.#sources.size < MAX_TRACKED_SSRCS)
      this.#sources.set(ssrc, { packets: 1, firstIndex: index, lastIndex: index });
  }

  report(): readonly SourceReport[] {
    return [...this.#sources].map(([ssrc, source]) => ({
      ssrc,
      ...source,
      lost: source.lastIndex - source.firstIndex + 1 - source.packets,
    }));
  }
}
