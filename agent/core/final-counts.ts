/**
 * Deleted elements whose last count the kernel still owes. Pure.
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
  readonly batch: number;
  /** Counted from the kernel's answer to the batch. */
  readonly until: Millis;
}

/** After this time a last count is given up: its session's counts are then called inexact. */
export const FINAL_COUNT_TIMEOUT_MS = 1_000;

export class FinalCounts {
  readonly #expected = new Map<string, Expected[]>();

  expect(deleted: readonly Deleted[], batch: number): void {
    const until = Number.POSITIVE_INFINITY;
    for (const one of deleted) {
      const name = elementName(holeElement(one.claim));
      this.#expected.set(name, [...(this.#expected.get(name) ?? []), { ...one, batch, until }]);
    }
  }

  /** Whose count this is: elements deleted twice answer in the order of their deletion. */
  take(element: Element): Deleted | undefined {
    const name = elementName(element);
    const [first, ...rest] = this.#expected.get(name) ?? [];
    this.#keep(name, rest);
    return first;
  }

  /** The kernel has deleted the batch's elements: its last counts are due. */
  due(batch: number, now: Millis): void {
    const until = now + FINAL_COUNT_TIMEOUT_MS;
    for (const [name, expected] of this.#expected)
      this.#keep(
        name,
        expected.map((one) => (one.batch === batch ? { ...one, until } : one)),
      );
  }

  /** The batch was not applied: nothing was deleted. */
  cancel(batch: number): void {
    this.#drop((expected) => expected.batch === batch);
  }

  /** Those that waited too long, no longer expected. */
  expire(now: Millis): readonly Deleted[] {
    return this.#drop((expected) => expected.until <= now);
  }

  /** All of them, no longer expected. */
  clear(): readonly Deleted[] {
    return this.#drop(() => true);
  }

  awaits(session: string): boolean {
    return this.#all().some(({ claim }) => claim.session === session);
  }

  /** What is expected of a session that goes on. */
  owed(session: string): readonly Required<Deleted>[] {
    return this.#all().flatMap(({ claim, marker }) =>
      marker !== undefined && claim.session === session ? [{ claim, marker }] : [],
    );
  }

  deadline(): Millis | undefined {
    const earliest = this.#all().reduce((least, { until }) => Math.min(least, until), Infinity);
    return Number.isFinite(earliest) ? earliest : undefined;
  }

  #all(): readonly Expected[] {
    return [...this.#expected.values()].flat();
  }

  #drop(isDropped: (expected: Expected) => boolean): readonly Deleted[] {
    const dropped = this.#all().filter(isDropped);
    for (const [name, expected] of [...this.#expected])
      this.#keep(
        name,
        expected.filter((one) => !isDropped(one)),
      );
    return dropped;
  }

  #keep(name: string, expected: Expected[]): void {
    if (expected.length === 0) this.#expected.delete(name);
    else this.#expected.set(name, expected);
  }
}
