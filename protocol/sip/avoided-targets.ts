/**
 * Servers better not asked first: those that did not answer, and those that asked for rest by 503
 * with Retry-After (RFC 3263 §4.3, RFC 3261 §21.5.4). Pure. Without this every request would wait
 * 64*T1 for a dead server before it tried the next. None is ever left out: where all are avoided,
 * all are tried.
 */
import type { Millis } from "../machine.ts";
import type { Target } from "./flow.ts";

/** How long a server that did not answer is asked last. */
export const DEAD_MS = 30_000;
/** Servers remembered; the first noted goes. */
export const MAX_AVOIDED = 1_000;

export class AvoidedTargets {
  /** By transport, address and port, until when. */
  readonly #until = new Map<string, Millis>();

  get size(): number {
    return this.#until.size;
  }

  /** Notes a server that failed; `retryAfterS` is what it asked for itself. */
  avoid(target: Target, retryAfterS: number | undefined, now: Millis): void {
    const key = keyOf(target);
    this.#until.delete(key);
    this.#until.set(key, now + (retryAfterS === undefined ? DEAD_MS : retryAfterS * 1_000));
    const [oldest] = this.#until.keys();
    if (this.#until.size > MAX_AVOIDED && oldest !== undefined) this.#until.delete(oldest);
  }

  /** The same servers, those to be avoided last; otherwise the order stays. */
  order(targets: readonly Target[], now: Millis): readonly Target[] {
    if (this.#until.size === 0 || targets.length < 2) return targets;
    const avoided = targets.filter((target) => this.#isAvoided(target, now));
    return avoided.length === 0
      ? targets
      : [...targets.filter((target) => !avoided.includes(target)), ...avoided];
  }

  #isAvoided(target: Target, now: Millis): boolean {
    const key = keyOf(target);
    const until = this.#until.get(key);
    if (until === undefined) return false;
    if (now < until) return true;
    this.#until.delete(key);
    return false;
  }
}

const keyOf = ({ transport, address, port }: Target): string => `${transport} ${address} ${port}`;
