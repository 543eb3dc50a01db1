/** One arrow of a figure of RFC 3261 §17: what it is, over which hops, and what shows it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Machine } from "../../../protocol/machine.ts";
import { hopAck } from "../../../protocol/sip/transaction.ts";
import { reply, sampleRequest, words } from "./sample.ts";

export const invite = sampleRequest("INVITE");
export const options = sampleRequest("OPTIONS");

/** At which time, which input, which effects, and the deadline afterwards (NaN: differs by hop). */
export type Step<I> = readonly [
  atMs: number,
  input: I,
  effects: readonly string[],
  deadline?: number,
];
/** Over UDP (U), over TCP (T) or over either (UT). */
export type Arrow<I> = readonly [what: string, hops: "U" | "T" | "UT", steps: readonly Step<I>[]];

export const tick = { kind: "tick" } as const;
export const start = { kind: "start" } as const;
export const cancel = { kind: "cancel" } as const;
export const broken = { kind: "transport-failed" } as const;
export const answer = (status: number) =>
  ({ kind: "response", response: reply(invite, status) }) as const;
export const respond = (status: number) =>
  ({ kind: "respond", response: reply(invite, status) }) as const;
export const again = { kind: "request", request: invite } as const;
export const ack = { kind: "request", request: hopAck(invite, reply(invite, 486)) } as const;

/** 64*T1, with T1 at 500 ms. */
export const T = 32_000;

export function run<I>(machine: Machine<I, { kind: string }>, steps: readonly Step<I>[]): void {
  for (const [index, [atMs, input, effects, deadline]] of steps.entries()) {
    assert.deepEqual(words(machine.handle(input, atMs)), effects, `effects of step ${index}`);
    if (!Number.isNaN(deadline))
      assert.equal(machine.deadline(), deadline, `deadline of step ${index}`);
  }
}

/** A test for each arrow and each of its hops. */
export function check<I>(
  figure: string,
  arrows: readonly Arrow<I>[],
  create: (reliable: boolean) => Machine<I, { kind: string }>,
): void {
  for (const [what, hops, steps] of arrows)
    for (const hop of hops)
      test(`${figure}, ${hop === "U" ? "UDP" : "TCP"}: ${what}`, () =>
        run(create(hop === "T"), steps));
}
