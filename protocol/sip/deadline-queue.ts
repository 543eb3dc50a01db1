/**
 * The next of many deadlines, each of which has a name. Pure. Where the name is that of something
 * at hand, that waits in a `DeadlineHeap` itself.
 */
import type { Millis } from "../machine.ts";
import { DeadlineHeap, NOT_WAITING, type Waiting } from "./deadline-heap.ts";

interface Named extends Waiting {
  readonly key: string;
}

export class DeadlineQueue {
  readonly #heap = new DeadlineHeap<Named>();
  readonly #byKey = new Map<string, Named>();

  /** Sets, moves or (undefined) removes the deadline of a key. */
  set(key: string, at: Millis | undefined): void {
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      this.#heap.set(known, at);
      if (at === undefined) this.#byKey.delete(key);
    } else if (at !== undefined) {
      const named: Named = { key, place: NOT_WAITING };
      this.#byKey.set(key, named);
      this.#heap.set(named, at);
    }
  }

  /** Keys with a deadline. */
  get size(): number {
    return this.#heap.size;
  }

  /** The earliest deadline. */
  next(): Millis | undefined {
    return this.#heap.next();
  }

  /** Removes and returns one key whose deadline has come. */
  takeDue(now: Millis): string | undefined {
    const due = this.#heap.takeDue(now);
    if (due !== undefined) this.#byKey.delete(due.key);
    return due?.key;
  }
}
