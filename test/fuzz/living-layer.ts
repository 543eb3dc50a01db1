/**
 * A transaction layer that lives through many inputs, answered at random: whatever comes, it ends
 * empty once everything has been answered and all timers have run.
 */
import assert from "node:assert/strict";
import { createResponse } from "../../protocol/sip/create-response.ts";
import type { SipMessage, SipRequest } from "../../protocol/sip/message.ts";
import { DEFAULT_SIP_TIMERS } from "../../protocol/sip/transaction.ts";
import type { TransactionEffect } from "../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../protocol/sip/transaction-layer.ts";
import type { Chance } from "./mutate.ts";

const LIFE_MESSAGES = 64;
const MAX_STEP_MS = 2_000;
const MAX_TICKS = 100_000;
const ANSWERS = [100, 180, 200, 302, 486, 603];
const ARRIVALS = (["udp", "tcp"] as const).map((transport) => ({
  flow: `${transport}/fuzz`,
  peer: { transport, address: "192.0.2.250", port: 5060, identities: [] },
}));

const newLayer = (): TransactionLayer =>
  new TransactionLayer({ timers: DEFAULT_SIP_TIMERS, random: (size) => Buffer.alloc(size) });

export class LivingLayer {
  #layer = newLayer();
  #received = 0;
  #now = 0;
  /** Requests that wait for a final answer, by transaction. */
  readonly #waiting = new Map<string, SipRequest>();

  /** @throws AssertionError when what should have ended has not. */
  receive(message: SipMessage, chance: Chance): void {
    const arrival = ARRIVALS[chance(ARRIVALS.length)];
    if (arrival === undefined) return;
    this.#now += chance(MAX_STEP_MS);
    this.#note(this.#layer.handle({ kind: "received", message, ...arrival }, this.#now));
    const [key] = [...this.#waiting.keys()].slice(chance(8));
    const status = ANSWERS[chance(ANSWERS.length * 2)];
    if (key !== undefined && status !== undefined) this.#answer(key, status);
    this.#note(this.#layer.handle({ kind: "tick" }, this.#now));
    this.#received += 1;
    if (this.#received % LIFE_MESSAGES === 0) this.#end();
  }

  #note(effects: readonly TransactionEffect[]): void {
    for (const effect of effects)
      if (effect.kind === "deliver-request") this.#waiting.set(effect.key, effect.request);
  }

  #answer(key: string, status: number): void {
    const request = this.#waiting.get(key);
    if (request === undefined) return;
    if (status >= 200) this.#waiting.delete(key);
    const response = createResponse(request, status, { toTag: "fuzz" });
    this.#note(this.#layer.handle({ kind: "respond", key, response }, this.#now));
  }

  #end(): void {
    for (const key of this.#waiting.keys()) this.#answer(key, 500);
    let ticks = 0;
    for (let next = this.#layer.deadline(); next !== undefined; next = this.#layer.deadline()) {
      this.#now = Math.max(this.#now, next);
      this.#layer.handle({ kind: "tick" }, this.#now);
      ticks += 1;
      assert.ok(ticks < MAX_TICKS, "the timers never end");
    }
    const left = this.#layer.size;
    this.#layer = newLayer();
    this.#waiting.clear();
    assert.equal(left, 0, "transactions outlive their timers");
  }
}
