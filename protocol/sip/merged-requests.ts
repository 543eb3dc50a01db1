/**
 * Recognises a request that has come before by another way, forked by somebody (RFC 3261
 * §8.2.2.2). Pure. Remembers one key for each transaction alive.
 */
import type { SipRequest } from "./message.ts";
import { mergeKey } from "./transaction-key.ts";

/** Entries at which those of ended transactions are thrown away. */
const FIRST_SWEEP = 256;

export class MergedRequests {
  readonly #transactions = new Map<string, string>();
  #sweepAt = FIRST_SWEEP;

  /** True for a copy; any other new request is remembered under its transaction. */
  isMerged(request: SipRequest, key: string, alive: { has(key: string): boolean }): boolean {
    if (request.method === "CANCEL") return false;
    const merge = mergeKey(request);
    if (merge === undefined) return false;
    const earlier = this.#transactions.get(merge);
    if (earlier !== undefined && earlier !== key && alive.has(earlier)) return true;
    // Before the new entry, whose transaction is not alive yet.
    if (this.#transactions.size >= this.#sweepAt) this.#sweep(alive);
    this.#transactions.set(merge, key);
    return false;
  }

  #sweep(alive: { has(key: string): boolean }): void {
    for (const [merge, key] of this.#transactions)
      if (!alive.has(key)) this.#transactions.delete(merge);
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#transactions.size);
  }
}
