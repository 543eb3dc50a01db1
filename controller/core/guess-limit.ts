/**
 * Limits the guessing of passwords: so many wrong answers to a challenge from one address for one
 * user, or for all users together, then no answer from there is looked at for a while, right or
 * wrong (RFC 3261 §26.1.1, RFC 7616 §5.8). Pure. Bounded: when too many are counted, the oldest is
 * forgotten.
 */
import type { Millis } from "../../protocol/machine.ts";
import { countedName } from "./counted-name.ts";

/** From one address for one user. */
export const MAX_GUESSES = 10;
/** From one address: whoever changes the name with each guess, or tries one word on everybody. */
export const MAX_ADDRESS_GUESSES = 100;
export const GUESS_WINDOW_MS = 60_000;
/** Addresses, and pairs of address and user, that are counted at one time. */
export const MAX_GUESSERS = 10_000;

export class GuessLimit {
  readonly #pairs = new Counters();
  readonly #addresses = new Counters();

  /** Counters kept now. */
  get size(): number {
    return this.#pairs.size + this.#addresses.size;
  }

  /** True when credentials are not to be looked at. */
  isExhausted(address: string, user: string, now: Millis): boolean {
    return (
      this.#pairs.count(pairOf(address, user), now) >= MAX_GUESSES ||
      this.#addresses.count(address, now) >= MAX_ADDRESS_GUESSES
    );
  }

  /** Credentials were wrong. */
  wrong(address: string, user: string, now: Millis): void {
    this.#pairs.add(pairOf(address, user), now);
    this.#addresses.add(address, now);
  }

  /** Credentials were right: what was mistyped before is forgiven; what others guessed is not. */
  right(address: string, user: string): void {
    this.#pairs.delete(pairOf(address, user));
  }
}

const pairOf = (address: string, user: string): string => countedName(`${address} ${user}`);

interface Counter {
  readonly count: number;
  /** Counting ends, and all is forgotten. */
  readonly endsAt: Millis;
}

class Counters {
  /** In the order in which counting began. */
  readonly #counters = new Map<string, Counter>();

  get size(): number {
    return this.#counters.size;
  }

  count(name: string, now: Millis): number {
    const counter = this.#counters.get(name);
    return counter === undefined || counter.endsAt <= now ? 0 : counter.count;
  }

  add(name: string, now: Millis): void {
    const count = this.count(name, now);
    if (count > 0) {
      const endsAt = this.#counters.get(name)?.endsAt ?? now;
      this.#counters.set(name, { count: count + 1, endsAt });
      return;
    }
    this.#counters.delete(name);
    this.#counters.set(name, { count: 1, endsAt: now + GUESS_WINDOW_MS });
    this.#forget(now);
  }

  delete(name: string): void {
    this.#counters.delete(name);
  }

  #forget(now: Millis): void {
    for (const [name, { endsAt }] of this.#counters) {
      if (endsAt > now && this.#counters.size <= MAX_GUESSERS) return;
      this.#counters.delete(name);
    }
  }
}
