/**
 * The next of many deadlines: a heap in which everything that waits knows its own place, so that
 * nothing is looked up. Pure. Setting, moving, removing and taking cost a logarithm at most;
 * thousands of transactions share one timer.
 *
 * Each place has four below it, and the times stand apart from what they are of: to find the next
 * one reads a few lines of memory, not every transaction on the way down.
 */
import type { Millis } from "../machine.ts";

/** What may wait in one heap at a time. */
export interface Waiting {
  /** The heap's own note; `NOT_WAITING` at first. */
  place: number;
}

export const NOT_WAITING = -1;

/** A heap to those who only set deadlines in it, beside others. */
export type Deadlines<T extends Waiting> = Pick<DeadlineHeap<T>, "set">;

/** Places below one: a power of two. */
const BREADTH_BITS = 2;
const BREADTH = 1 << BREADTH_BITS;

export class DeadlineHeap<T extends Waiting> {
  readonly #held: T[] = [];
  readonly #times: Millis[] = [];

  /** Those with a deadline. */
  get size(): number {
    return this.#held.length;
  }

  /** The earliest deadline. */
  next(): Millis | undefined {
    return this.#times[0];
  }

  /** Sets, moves or (undefined) removes a deadline. */
  set(item: T, at: Millis | undefined): void {
    const { place } = item;
    if (place === NOT_WAITING) {
      if (at !== undefined) this.#settle(item, at, this.#held.length);
    } else if (at === undefined) this.#remove(item);
    else if (at !== this.#times[place]) this.#settle(item, at, place);
  }

  /** Removes and returns one whose deadline has come. */
  takeDue(now: Millis): T | undefined {
    const first = this.#held[0];
    const at = this.#times[0];
    if (first === undefined || at === undefined || at > now) return undefined;
    this.#remove(first);
    return first;
  }

  #remove(item: T): void {
    const { place } = item;
    item.place = NOT_WAITING;
    const last = this.#held.pop();
    const at = this.#times.pop();
    if (last !== undefined && at !== undefined && last !== item) this.#settle(last, at, place);
  }

  /** Puts it where its time belongs, `from` being free. */
  #settle(item: T, at: Millis, from: number): void {
    const risen = this.#rise(at, from);
    this.#put(item, at, risen < from ? risen : this.#sink(at, from));
  }

  #rise(at: Millis, from: number): number {
    let free = from;
    while (free > 0) {
      const above = (free - 1) >> BREADTH_BITS;
      const item = this.#held[above];
      const time = this.#times[above];
      if (item === undefined || time === undefined || time <= at) break;
      this.#put(item, time, free);
      free = above;
    }
    return free;
  }

  #sink(at: Millis, from: number): number {
    let free = from;
    for (;;) {
      const next = this.#earliestBelow(free);
      if (next >= this.#held.length) return free;
      const item = this.#held[next];
      const time = this.#times[next];
      if (item === undefined || time === undefined || time >= at) return free;
      this.#put(item, time, free);
      free = next;
    }
  }

  #earliestBelow(place: number): number {
    let earliest = (place << BREADTH_BITS) + 1;
    let time = this.#times[earliest] ?? Infinity;
    const end = Math.min(earliest + BREADTH, this.#times.length);
    for (let below = earliest + 1; below < end; below += 1) {
      const other = this.#times[below] ?? Infinity;
      if (other >= time) continue;
      earliest = below;
      time = other;
    }
    return earliest;
  }

  #put(item: T, at: Millis, place: number): void {
    item.place = place;
    this.#held[place] = item;
    this.#times[place] = at;
  }
}
