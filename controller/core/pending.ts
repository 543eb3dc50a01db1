/**
 * What waits for a word of the certificate desk: so many at one time, each so long. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";

export class Pending<T> {
  readonly #prefix: string;
  readonly #limit: number;
  readonly #timeoutMs: Millis;
  /** In the order in which they began to wait, which is that of their ends. */
  readonly #waiting = new Map<string, { readonly value: T; readonly endsAt: Millis }>();
  #last = 0;

  /** @param prefix of the names given out */
  constructor(prefix: string, limit: number, timeoutMs: Millis) {
    this.#prefix = prefix;
    this.#limit = limit;
    this.#timeoutMs = timeoutMs;
  }

  get size(): number {
    return this.#waiting.size;
  }

  get isFull(): boolean {
    return this.#waiting.size >= this.#limit;
  }

  /** The name under which a value waits; undefined: it is one too many. */
  add(value: T, now: Millis): string | undefined {
    if (this.isFull) return undefined;
    this.#last += 1;
    const ref = `${this.#prefix}${this.#last}`;
    this.#waiting.set(ref, { value, endsAt: now + this.#timeoutMs });
    return ref;
  }

  /** What waited under that name, if it still does: it waits no more. */
  take(ref: string): T | undefined {
    const value = this.#waiting.get(ref)?.value;
    this.#waiting.delete(ref);
    return value;
  }

  /** Takes all that waited too long. */
  takeDue(now: Millis): readonly T[] {
    const due: T[] = [];
    for (const [ref, { value, endsAt }] of this.#waiting) {
      if (endsAt > now) break;
      this.#waiting.delete(ref);
      due.push(value);
    }
    return due;
  }

  /** Takes those of which something is true. */
  takeWhere(isMeant: (value: T) => boolean): readonly T[] {
    const taken: T[] = [];
    for (const [ref, { value }] of this.#waiting)
      if (isMeant(value)) {
        this.#waiting.delete(ref);
        taken.push(value);
      }
    return taken;
  }

  deadline(): Millis | undefined {
    for (const { endsAt } of this.#waiting.values()) return endsAt;
    return undefined;
  }
}
