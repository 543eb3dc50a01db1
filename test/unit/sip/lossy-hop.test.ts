/**
 * Two elements and a network between them that loses, delays and doubles datagrams (RFC 3261 §17:
 * reliability is the transaction's work over UDP). Time is an argument: nothing sleeps.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readDatagram } from "../../../protocol/sip/datagram.ts";
import type { Peer } from "../../../protocol/sip/flow.ts";
import { withHeader } from "../../../protocol/sip/message.ts";
import { serializeMessage } from "../../../protocol/sip/serialize-message.ts";
import { DEFAULT_SIP_TIMERS } from "../../../protocol/sip/transaction.ts";
import type { TransactionEffect } from "../../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../../protocol/sip/transaction-layer.ts";
import { reply, sampleRequest } from "./sample.ts";

type Fate = "arrives" | "lost" | "late" | "twice";
type Side = "caller" | "callee";

const TRANSIT_MS = 5;
/** Longer than T1, so that copies overtake each other. */
const LATE_MS = 700;
/** A request is sent seven times: so many losses it survives. */
const SURVIVED_LOSSES = 5;
const ADDRESS: Record<Side, string> = { caller: "192.0.2.1", callee: "192.0.2.2" };
const OTHER: Record<Side, Side> = { caller: "callee", callee: "caller" };

class Hop {
  readonly layers: Record<Side, TransactionLayer>;
  readonly told: string[] = [];
  readonly #fates: Fate[];
  readonly #answers: readonly number[];
  #wire: { readonly at: number; readonly to: Side; readonly octets: Buffer }[] = [];
  now = 0;

  constructor(fates: readonly Fate[], answers: readonly number[]) {
    const create = () =>
      new TransactionLayer({ timers: DEFAULT_SIP_TIMERS, random: (size) => Buffer.alloc(size, 1) });
    this.layers = { caller: create(), callee: create() };
    this.#fates = [...fates];
    this.#answers = answers;
  }

  perform(side: Side, effects: readonly TransactionEffect[]): void {
    for (const effect of effects)
      switch (effect.kind) {
        case "send":
          this.#carry(OTHER[side], serializeMessage(effect.message));
          break;
        case "deliver-request":
          this.told.push(`${side} ${effect.request.method}`);
          for (const status of this.#answers) {
            const { key } = effect;
            const response = reply(effect.request, status);
            this.perform(
              side,
              this.layers[side].handle({ kind: "respond", key, response }, this.now),
            );
          }
          break;
        case "deliver-response":
          if (effect.response.status >= 200) this.told.push(`${side} ${effect.response.status}`);
          break;
        case "failed":
          this.told.push(`${side} ${effect.reason}`);
          break;
        default:
          this.told.push(`${side} ${effect.kind}`);
      }
  }

  /** Until nothing is under way and nobody waits for anything. */
  run(): void {
    for (;;) {
      const moments = [
        ...this.#wire.map(({ at }) => at),
        ...Object.values(this.layers).map((layer) => layer.deadline() ?? Number.POSITIVE_INFINITY),
      ];
      this.now = Math.min(...moments);
      if (this.now === Number.POSITIVE_INFINITY) return;
      this.#arrive();
      for (const side of ["caller", "callee"] as const)
        this.perform(side, this.layers[side].handle({ kind: "tick" }, this.now));
    }
  }

  #carry(to: Side, octets: Buffer): void {
    const fate = this.#fates.shift() ?? "arrives";
    if (fate === "lost") return;
    const at = this.now + (fate === "late" ? LATE_MS : TRANSIT_MS);
    this.#wire.push({ at, to, octets });
    if (fate === "twice") this.#wire.push({ at: at + 1, to, octets });
  }

  #arrive(): void {
    const due = this.#wire.filter(({ at }) => at <= this.now);
    this.#wire = this.#wire.filter(({ at }) => at > this.now);
    for (const { to, octets } of due) {
      const message = readDatagram(octets);
      assert.ok(message.kind === "request" || message.kind === "response");
      const address = ADDRESS[OTHER[to]];
      const peer: Peer = { transport: "udp", address, port: 5060, identities: [] };
      const flow = `udp/0/5060/${address}`;
      const input = { kind: "received", message, flow, peer } as const;
      this.perform(to, this.layers[to].handle(input, this.now));
    }
  }
}

const fates = fc.array(fc.constantFrom<Fate>("arrives", "lost", "late", "twice"), {
  maxLength: 24,
});

for (const [method, answers, final] of [
  ["INVITE", [180, 486], 486],
  ["INVITE", [603], 603],
  ["OPTIONS", [200], 200],
  ["MESSAGE", [100, 404], 404],
] as const)
  test(`${method} and ${answers.join(", ")} over a bad network: told once, answered once, then forgotten`, () => {
    fc.assert(
      fc.property(fates, (chosen) => {
        const hop = new Hop(chosen, answers);
        const via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1";
        const request = withHeader(sampleRequest(method), "Via", via);
        const to = { transport: "udp", address: ADDRESS.callee, port: 5060 } as const;
        hop.perform("caller", hop.layers.caller.handle({ kind: "request", request, to }, 0));
        hop.run();
        assert.deepEqual([hop.layers.caller.size, hop.layers.callee.size], [0, 0]);
        const lost = chosen.filter((fate) => fate === "lost").length;
        if (lost <= SURVIVED_LOSSES)
          assert.deepEqual(
            hop.told.filter((what) => !what.includes("dropped")),
            [`callee ${method}`, `caller ${final}`],
          );
        else assert.ok(hop.told.filter((what) => what === `callee ${method}`).length <= 1);
      }),
      { numRuns: 300 },
    );
  });
