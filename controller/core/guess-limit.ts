/**
 * Limits the guessing of passwords: so many wrong answers to a challenge from one address for one
 * user, then no answer is looked at for a while, right or wrong (RFC 8760 §3; RFC 3261 §26.3.2.4).
 * Pure. Bounded: when too many are counted, the oldest is forgotten.
 */
import type { Millis } from "../../protocol/machine.ts";

export const MAX_GUESSES = 10;
export const GUESS_WINDOW_MS = 60_000;
/** Pairs of address and user that are counted at one time. */
export const MAX_GUESSERS = 10_000;

interface Guesses {
  readonly count: number;
  /** Counting ends, and all is forgotten. */
  readonly endsAt: Millis;
}

export class GuessLimit {
  /** In the order in which counting began. */
  readonly #guesses = new Map<string, Guesses>();

  get size(): number {
    return this.#guesses.size;
  }

  /** True when credentials are not to be looked at. */
  isExhausted(address: string, user: string, now: Millis): boolean {
    const guesses = this.#guesses.get(nameOf(address, user));
    return guesses !== undefined && guesses.endsAt > now && guesses.count >= MAX_GUESSES;
  }

  /** Credentials were wrong. */
  wrong(address: string, user: string, now: Millis): void {
    const name = nameOf(address, user);
    const before = this.#guesses.get(name);
    if (before !== undefined && before.endsAt > now) {
      this.#guesses.set(name, { ...before, count: before.count + 1 });
      return;
    }
    this.#guesses.delete(name);
    this.#guesses.set(name, { count: 1, endsAt: now + GUESS_WINDOW_MS });
    this.#forget(now);
  }

  /** Credentials were right. */
  right(address: string, user: string): void {
    this.#guesses.delete(nameOf(address, user));
  }

  #forget(now: Millis): void {
    for (const [name, { endsAt }] of this.#guesses) {
      if (endsAt > now && this.#guesses.size <= MAX_GUESSERS) return;
      this.#guesses.delete(name);
    }
  }
}

const nameOf = (address: string, user: string): string => `${address} ${user}`;
