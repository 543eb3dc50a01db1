/**
 * The next of many deadlines: a binary heap in which every key knows its place. Pure. Setting,
 * moving, removing and taking cost a logarithm at most; thousands of transactions share one timer.
 */
import type { Millis } from "../machine.ts";

interface Entry {
  readonly key: string;
  at: Millis;
  /** Its place in the heap. */
  index: number;
}

export class DeadlineQueue {
  readonly #heap: Entry[] = [];
  readonly #byKey = new Map<string, Entry>();

  /** Sets, moves or (undefined) removes the deadline of a key. */
  set(key: string, at: Millis | undefined): void {
    const entry = this.#byKey.get(key);
    if (entry === undefined) {
      if (at !== undefined) this.#add(key, at);
    } else if (at === undefined) this.#remove(entry);
    else if (at !== entry.at) {
      entry.at = at;
      this.#settle(entry);
    }
  }

  /** Keys with a deadline. */
  get size(): number {
    return this.#heap.length;
  }

  /** The earliest deadline. */
  next(): Millis | undefined {
    return this.#heap[0]?.at;
  }

  /** Removes and returns one key whose deadline has come. */
  takeDue(now: Millis): string | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    this.#remove(first);
    return first.key;
  }

  #add(key: string, at: Millis): void {
    const entry = { key, at, index: this.#heap.length };
    this.#byKey.set(key, entry);
    this.#heap.push(entry);
    this.#rise(entry);
  }

  #remove(entry: Entry): void {
    this.#byKey.delete(entry.key);
    const last = this.#heap.pop();
    if (last === undefined || last === entry) return;
    this.#place(last, entry.index);
    this.#settle(last);
  }

  #settle(entry: Entry): void {
    this.#rise(entry);
    this.#sink(entry);
  }

  #rise(entry: Entry): void {
    while (entry.index > 0) {
      const place = entry.index;
      const parent = this.#heap[(place - 1) >> 1];
      if (parent === undefined || parent.at <= entry.at) return;
      this.#place(entry, parent.index);
      this.#place(parent, place);
    }
  }

  #sink(entry: Entry): void {
    for (;;) {
      const place = entry.index;
      const left = this.#heap[2 * place + 1];
      const right = this.#heap[2 * place + 2];
      const child = right !== undefined && left !== undefined && right.at < left.at ? right : left;
      if (child === undefined || child.at >= entry.at) return;
      this.#place(entry, child.index);
      this.#place(child, place);
    }
  }

  #place(entry: Entry, index: number): void {
    entry.index = index;
    this.#heap[index] = entry;
  }
}
