/**
 * What sequence numbers say of a stream: how many packets each source sent between its first and
 * its last, and how many of them arrived (RFC 3550 appendix A.3, on extended numbers). Pure.
 */

/** Sources of one stream, key by key, that are counted apart; what exceeds them is counted nowhere. */
export const MAX_TRACKED_SSRCS = 256;

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
  readonly ssrc: number;
  packets: number;
  firstIndex: number;
  lastIndex: number;
}

export class SequenceTracker {
  readonly #sources = new Map<string, Source>();

  /**
   * Counts one packet that is no duplicate. @param index Extended sequence number.
   * @param key Indices under one key have nothing to do with those under another.
   */
  count(ssrc: number, index: number, key = 0): void {
    const name = `${key} ${ssrc}`;
    const source = this.#sources.get(name);
    if (source !== undefined) {
      source.packets += 1;
      source.firstIndex = Math.min(source.firstIndex, index);
      source.lastIndex = Math.max(source.lastIndex, index);
    } else if (this.#sources.size < MAX_TRACKED_SSRCS)
      this.#sources.set(name, { ssrc, packets: 1, firstIndex: index, lastIndex: index });
  }

  /** The highest index of an SSRC under each of its keys, the latest key last. */
  lastIndices(ssrc: number): readonly number[] {
    return [...this.#sources.values()].flatMap((source) =>
      source.ssrc === ssrc ? [source.lastIndex] : [],
    );
  }

  /** One entry an SSRC and key. */
  report(): readonly SourceReport[] {
    return [...this.#sources.values()].map(({ ssrc, packets, firstIndex, lastIndex }) => ({
      ssrc,
      packets,
      firstIndex,
      lastIndex,
      lost: lastIndex - firstIndex + 1 - packets,
    }));
  }
}
