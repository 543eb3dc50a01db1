/**
 * The next of many deadlines: a binary heap whose outdated entries are thrown away when they
 * surface, or all at once when they are the most. Pure. Setting and taking cost a logarithm;
 * thousands of transactions share one timer.
 */
import type { Millis } from "../machine.ts";

interface Entry {
  readonly key: string;
  readonly at: Millis;
}

/** Outdated entries that are kept beside as many as there are current ones. */
export const MAX_OUTDATED = 64;

export class DeadlineQueue {
  #heap: Entry[] = [];
  readonly #current = new Map<string, Millis>();

  /** Sets, moves or (undefined) removes the deadline of a key. */
  set(key: string, at: Millis | undefined): void {
    if (this.#current.get(key) === at) return;
    if (at === undefined) this.#current.delete(key);
    else {
      this.#current.set(key, at);
      this.#push({ key, at });
    }
    if (this.#heap.length > 2 * this.#current.size + MAX_OUTDATED) this.#rebuild();
  }

  /** Entries kept now, outdated ones included. */
  get size(): number {
    return this.#heap.length;
  }

  /** The earliest deadline. */
  next(): Millis | undefined {
    this.#discardOutdated();
    return this.#heap[0]?.at;
  }

  /** Removes and returns one key whose deadline has come. */
  takeDue(now: Millis): string | undefined {
    this.#discardOutdated();
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    this.#pop();
    this.#current.delete(first.key);
    return first.key;
  }

  /** Without the outdated ones; in order, which is a heap. */
  #rebuild(): void {
    const entries = [...this.#current].map(([key, at]) => ({ key, at }));
    this.#heap = entries.sort((one, other) => one.at - other.at);
  }

  #discardOutdated(): void {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#current.get(first.key) === first.at) return;
      this.#pop();
    }
  }

  #push(entry: Entry): void {
    let at = this.#heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#at(parent) <= entry.at) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const child = this.#at(left + 1) < this.#at(left) ? left + 1 : left;
      if (this.#at(child) >= last.at) return;
      this.#swap(at, child);
      at = child;
    }
  }

  #at(index: number): Millis {
    return this.#heap[index]?.at ?? Number.POSITIVE_INFINITY;
  }

  #swap(one: number, other: number): void {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return;
    this.#heap[one] = b;
    this.#heap[other] = a;
  }
}
