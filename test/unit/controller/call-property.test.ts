import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { PutResult } from "../../../controller/core/agent-client-port.ts";
import { LINGER_MS } from "../../../controller/core/call.ts";
import type { CallInput } from "../../../controller/core/call-port.ts";
import { Secret } from "../../../protocol/secret.ts";
import {
  ALICE,
  APPLIED,
  BOB,
  bobAnswers,
  CallDriver,
  inDialog,
  opened,
  response,
  sdp,
} from "./call-fixture.ts";

const TAGS = ["b1", "b2"] as const;
const RESULTS: readonly PutResult[] = [
  APPLIED,
  { kind: "applied", recording: { refused: "full" } },
  { kind: "failed", verdict: "gateway-slow" },
  { kind: "failed", verdict: "gateway-gone" },
];

type Step =
  | { readonly kind: "input"; readonly input: CallInput }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "offer"; readonly good: boolean }
  | { readonly kind: "answer"; readonly tag: (typeof TAGS)[number]; readonly port: number }
  | { readonly kind: "settle"; readonly result: PutResult };

const tag = fc.constantFrom(...TAGS);
const input = (made: fc.Arbitrary<CallInput>) =>
  made.map((each): Step => ({ kind: "input", input: each }));

/** What peers, gateway and time may do, in any order. */
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.boolean().map((good): Step => ({ kind: "offer", good })),
  fc.record({ kind: fc.constant("answer"), tag, port: fc.constantFrom(80, 30_000, 30_010) }),
  fc.constantFrom(...RESULTS).map((result): Step => ({ kind: "settle", result })),
  fc.constantFrom(1, 600, 3_000, 40_000).map((ms): Step => ({ kind: "wait", ms })),
  input(
    fc
      .record({
        status: fc.constantFrom(180, 183, 200, 200, 486),
        tag,
        body: fc.constantFrom("", "one", "two"),
      })
      .map(({ status, ...sketch }) => ({ kind: "response", response: response(status, sketch) })),
  ),
  input(
    fc.constantFrom(
      { kind: "cancel" } as const,
      { kind: "acknowledged", tag: "b1", side: "caller", ack: inDialog("ACK", "caller") } as const,
      { kind: "response", response: response(408) } as const,
      { kind: "tick" } as const,
    ),
  ),
  input(tag.map((each) => ({ kind: "dialog-ended", tag: each, reason: "BYE" }) as const)),
  input(fc.constantFrom("s1", "s2").map((session) => ({ kind: "session-lost", session }) as const)),
);

function take(call: CallDriver, each: Step): string[] {
  switch (each.kind) {
    case "input":
      return call.feed(each.input);
    case "wait":
      call.now += each.ms;
      return call.feed({ kind: "tick" });
    case "offer": {
      if (!each.good) return call.inspect("invite", { kind: "failed", code: "ERR_CMS_DECRYPT" });
      const body = opened(call.request, ALICE, sdp({}));
      const firstKey = { cek: new Secret(Buffer.alloc(32, 7)), cipher: "aes-256-gcm" } as const;
      return call.inspect("invite", { kind: "opened", body, firstKey });
    }
    case "answer":
      return call.answer(
        bobAnswers({ port: each.port }, response(200, { tag: each.tag })),
        each.tag,
      );
    case "settle": {
      const put = call.puts.at(-1);
      return put === undefined ? [] : call.settle(put.session, put.revision, each.result);
    }
  }
}

/** Plays the steps; returns all effects, and by the way what must hold after each of them. */
function play(call: CallDriver, steps: readonly Step[]): string[] {
  const effects = call.feed({ kind: "start" });
  for (const each of steps) {
    effects.push(...take(call, each));
    assert.ok(
      (call.call.deadline() ?? Number.POSITIVE_INFINITY) > call.now - 1,
      "a deadline was missed",
    );
    if (call.call.isOver) break;
  }
  return effects;
}

const steps = fc.array(step, { maxLength: 30 });

test("no INVITE goes on before the gateway has applied its holes", () => {
  fc.assert(
    fc.property(steps, (each) => {
      const effects = play(new CallDriver(), each);
      const forwarded = effects.indexOf("forward INVITE");
      if (forwarded < 0) return;
      assert.equal(effects[forwarded - 1], "info call-opened s1");
      assert.equal(effects.filter((effect) => effect === "forward INVITE").length, 1);
    }),
  );
});

test("whatever happens, at the end every session is closed and every key wiped", () => {
  fc.assert(
    fc.property(steps, (each) => {
      const call = new CallDriver();
      const effects = play(call, each);
      if (!call.call.isOver) effects.push(...call.respond(408));
      for (const name of TAGS)
        effects.push(...call.feed({ kind: "dialog-ended", tag: name, reason: "BYE" }));
      if (!call.call.isOver) {
        call.now += LINGER_MS * 10_000;
        effects.push(...call.feed({ kind: "tick" }));
      }
      assert.ok(call.call.isOver);
      for (const { session } of call.puts)
        assert.ok(
          effects.some((effect) => effect.startsWith(`close ${session} `)),
          effects.join("\n"),
        );
      const lastPut = new Map(
        call.puts.map(({ session }) => [
          session,
          effects.findLastIndex((effect) => effect.startsWith(`put ${session} `)),
        ]),
      );
      for (const [session, at] of lastPut)
        assert.ok(effects.findLastIndex((effect) => effect.startsWith(`close ${session} `)) > at);
      for (const { streams } of call.puts)
        for (const { protection } of streams)
          if (protection.kind === "srtp")
            assert.throws(() => protection.crypto.masterKeySalt.expose(), RangeError);
    }),
  );
});

test("a caller gets one final answer at most, made here or passed on, and nothing is put after the end", () => {
  fc.assert(
    fc.property(steps, (each) => {
      const call = new CallDriver();
      const effects = play(call, each);
      const refused = effects.filter((effect) => effect.startsWith("refuse ")).length;
      const failed = effects.filter((effect) => /^forward [3-6]/.test(effect)).length;
      assert.ok(refused + failed <= 1);
      if (!call.call.isOver) return;
      const after = each.flatMap((late) => take(call, late));
      assert.deepEqual(
        after.filter((effect) => /^(put|close|inspect|refuse)/.test(effect)),
        [],
      );
    }),
  );
});

test("an answer's holes never name more than the two parties", () => {
  fc.assert(
    fc.property(steps, (each) => {
      const call = new CallDriver();
      play(call, each);
      for (const { revision, session, pinholes } of call.puts)
        if (revision > 1 || session !== "s1")
          for (const { from, to } of pinholes)
            assert.deepEqual([from.address, to.address].toSorted(), ["10.10.0.2", "10.20.0.2"]);
    }),
  );
  assert.notEqual(ALICE, BOB);
});
