/**
 * So many a minute of each name, evenly: what was not used gathers up to one minute's worth. Pure.
 * Bounded: when too many names are counted, the one heard of longest ago is forgotten.
 */
import type { Millis } from "../../protocol/machine.ts";
import { countedName } from "./counted-name.ts";

/** Names that are counted at one time. */
export const MAX_LIMITED_NAMES = 20_000;
const MINUTE_MS = 60_000;

interface Allowance {
  readonly left: number;
  readonly at: Millis;
}

export class RateLimit {
  /** The one heard of longest ago first. */
  readonly #allowances = new Map<string, Allowance>();

  /** Names counted now. */
  get size(): number {
    return this.#allowances.size;
  }

  /** Takes one of a name; where there is none, says in how many seconds there will be. */
  take(who: string, perMinute: number, now: Millis): number | undefined {
    const name = countedName(who);
    const before = this.#allowances.get(name) ?? { left: perMinute, at: now };
    const gained = (Math.max(0, now - before.at) * perMinute) / MINUTE_MS;
    const left = Math.min(perMinute, before.left + gained);
    const isAllowed = left >= 1;
    this.#allowances.delete(name);
    this.#allowances.set(name, { left: isAllowed ? left - 1 : left, at: now });
    const [oldest] = this.#allowances.keys();
    if (this.#allowances.size > MAX_LIMITED_NAMES && oldest !== undefined)
      this.#allowances.delete(oldest);
    return isAllowed ? undefined : Math.ceil(((1 - left) * MINUTE_MS) / perMinute / 1000);
  }
}
