/**
 * Deleted elements whose last count the kernel still owes. Thousands of sessions may be closed at once: each step
 * looks at what it is about, never at all. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { Claim } from "./claims.ts";
import { type Element, elementName } from "./element.ts";
import { holeElement } from "./session.ts";

/** A claim whose element is deleted. */
export interface Deleted {
  readonly claim: Claim;
  /** Stands in the kernel until the last count is heard, if the session goes on. */
  readonly marker?: Element;
}

interface Expected extends Deleted {
  readonly name: string;
  readonly batch: number;
  /** Counted from the kernel's answer to the batch. */
  until: Millis;
}

/** After this time a last count is given up: its session's counts are then called inexact. */
export const FINAL_COUNT_TIMEOUT_MS = 1_000;

export class FinalCounts {
  readonly #byName = new Groups<string>();
  readonly #bySession = new Groups<string>();
  readonly #byBatch = new Groups<number>();
  /** In the order in which they are given up. */
  readonly #due = new Set<Expected>();

  expect(deleted: readonly Deleted[], batch: number): void {
    for (const one of deleted) {
      const name = elementName(holeElement(one.claim));
      const expected = { ...one, name, batch, until: Number.POSITIVE_INFINITY };
      this.#byName.add(name, expected);
      this.#bySession.add(one.claim.session, expected);
      this.#byBatch.add(batch, expected);
    }
  }

  /** Whose count this is: elements deleted twice answer in the order of their deletion. */
  take(element: Element): Deleted | undefined {
    const [first] = this.#byName.of(elementName(element));
    if (first !== undefined) this.#drop(first);
    return first;
  }

  /** The kernel has deleted the batch's elements: its last counts are due. */
  due(batch: number, now: Millis): void {
    for (const expected of this.#byBatch.of(batch)) {
      expected.until = now + FINAL_COUNT_TIMEOUT_MS;
      this.#due.add(expected);
    }
  }

  /** The batch was not applied: nothing was deleted. */
  cancel(batch: number): void {
    for (const expected of [...this.#byBatch.of(batch)]) this.#drop(expected);
  }

  /** Those that waited too long, no longer expected. */
  expire(now: Millis): readonly Deleted[] {
    const expired: Expected[] = [];
    for (const expected of this.#due) {
      if (expected.until > now) break;
      expired.push(expected);
    }
    for (const expected of expired) this.#drop(expected);
    return expired;
  }

  /** All of them, no longer expected. */
  clear(): readonly Deleted[] {
    const all = this.#bySession.all();
    for (const expected of all) this.#drop(expected);
    return all;
  }

  get isEmpty(): boolean {
    return this.#bySession.isEmpty;
  }

  awaits(session: string): boolean {
    return this.#bySession.of(session).size > 0;
  }

  /** What is expected of a session that goes on. */
  owed(session: string): readonly Required<Deleted>[] {
    return [...this.#bySession.of(session)].flatMap(({ claim, marker }) =>
      marker === undefined ? [] : [{ claim, marker }],
    );
  }

  deadline(): Millis | undefined {
    const [first] = this.#due;
    return first?.until;
  }

  #drop(expected: Expected): void {
    this.#byName.delete(expected.name, expected);
    this.#bySession.delete(expected.claim.session, expected);
    this.#byBatch.delete(expected.batch, expected);
    this.#due.delete(expected);
  }
}

/** Those of one name, session or batch, in order. */
class Groups<Key> {
  readonly #groups = new Map<Key, Set<Expected>>();

  get isEmpty(): boolean {
    return this.#groups.size === 0;
  }

  of(key: Key): ReadonlySet<Expected> {
    return this.#groups.get(key) ?? EMPTY;
  }

  all(): readonly Expected[] {
    return [...this.#groups.values()].flatMap((group) => [...group]);
  }

  add(key: Key, expected: Expected): void {
    const group = this.#groups.get(key) ?? new Set();
    this.#groups.set(key, group.add(expected));
  }

  delete(key: Key, expected: Expected): void {
    const group = this.#groups.get(key);
    group?.delete(expected);
    if (group?.size === 0) this.#groups.delete(key);
  }
}

const EMPTY: ReadonlySet<Expected> = new Set();
