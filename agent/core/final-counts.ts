/**
 * Deleted elements whose last count the kernel still owes. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { Claim } from "./claims.ts";
import { type Element, elementName } from "./element.ts";
import { holeElement } from "./session.ts";

interface Expected {
  readonly claim: Claim;
  readonly batch: number;
  /** Counted from the kernel's answer to the batch. */
  readonly until: Millis;
}

/** After this time a last count is given up: its session's counts are then called inexact. */
export const FINAL_COUNT_TIMEOUT_MS = 1_000;

export class FinalCounts {
  readonly #expected = new Map<string, Expected[]>();

  expect(claims: readonly Claim[], batch: number): void {
    const until = Number.POSITIVE_INFINITY;
    for (const claim of claims) {
      const name = elementName(holeElement(claim));
      this.#expected.set(name, [...(this.#expected.get(name) ?? []), { claim, batch, until }]);
    }
  }

  /** Whose count this is: elements deleted twice answer in the order of their deletion. */
  take(element: Element): Claim | undefined {
    const name = elementName(element);
    const [first, ...rest] = this.#expected.get(name) ?? [];
    this.#keep(name, rest);
    return first?.claim;
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
  expire(now: Millis): readonly Claim[] {
    return this.#drop((expected) => expected.until <= now);
  }

  /** All of them, no longer expected. */
  clear(): readonly Claim[] {
    return this.#drop(() => true);
  }

  awaits(session: string): boolean {
    return this.#all().some(({ claim }) => claim.session === session);
  }

  deadline(): Millis | undefined {
    const earliest = this.#all().reduce((least, { until }) => Math.min(least, until), Infinity);
    return Number.isFinite(earliest) ? earliest : undefined;
  }

  #all(): readonly Expected[] {
    return [...this.#expected.values()].flat();
  }

  #drop(isDropped: (expected: Expected) => boolean): readonly Claim[] {
    const dropped = this.#all().filter(isDropped);
    for (const [name, expected] of [...this.#expected])
      this.#keep(
        name,
        expected.filter((one) => !isDropped(one)),
      );
    return dropped.map(({ claim }) => claim);
  }

  #keep(name: string, expected: Expected[]): void {
    if (expected.length === 0) this.#expected.delete(name);
    else this.#expected.set(name, expected);
  }
}
