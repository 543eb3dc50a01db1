/**
 * What DNS said, for as long as it holds, in bounded memory. Touches nothing: time is an argument.
 * An answer past its time is kept on, in case nobody can say anything newer (RFC 8767).
 */
import type { Millis } from "../protocol/machine.ts";

/** How long past its time an answer may serve while DNS does not answer. */
export const STALE_MS = 3_600_000;

interface Entry<T> {
  readonly answer: T;
  freshUntil: Millis;
  readonly keptUntil: Millis;
}

export class DnsCache<T> {
  readonly #maxEntries: number;
  readonly #entries = new Map<string, Entry<T>>();

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The answer, while it holds. */
  fresh(key: string, now: Millis): T | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && now < entry.freshUntil ? entry.answer : undefined;
  }

  /** The last answer, though its time is over; from now on it counts as fresh for `againMs`. */
  revive(key: string, againMs: number, now: Millis): T | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || now >= entry.keptUntil) return undefined;
    entry.freshUntil = now + againMs;
    return entry.answer;
  }

  /** Keeps an answer for `ttlMs`; the oldest of too many goes. `isLasting`: it may be revived. */
  set(key: string, answer: T, ttlMs: number, isLasting: boolean, now: Millis): void {
    const freshUntil = now + ttlMs;
    this.#entries.delete(key);
    this.#entries.set(key, {
      answer,
      freshUntil,
      keptUntil: isLasting ? freshUntil + STALE_MS : freshUntil,
    });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.#maxEntries && oldest !== undefined) this.#entries.delete(oldest);
  }
}
