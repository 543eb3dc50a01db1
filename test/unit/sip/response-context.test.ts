/** The response context (RFC 3261 §16.7) step by step, and what it promises whatever comes in. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { appendHeader, type SipResponse } from "../../../protocol/sip/message.ts";
import {
  ResponseContext,
  type ResponseContextEffect,
  type ResponseContextInput,
} from "../../../protocol/sip/response-context.ts";
import { reply, sampleRequest } from "./sample.ts";

type Input = ResponseContextInput<string>;
type Effect = ResponseContextEffect<string>;
/** At which time, which input, which effects in words, and the deadline afterwards. */
type Step = readonly [atMs: number, input: Input, effects: string, deadline?: number];
type Case = readonly [what: string, setting: { method?: string; groupMs?: number }, ...Step[]];

const T1_64 = 32_000;
const invite = sampleRequest("INVITE");
const start = (...groups: string[]): Input => ({
  kind: "start",
  groups: groups.map((group) => group.split(" ").map((branch) => branch.split(">"))),
});
const got = (branch: number, status: number, ...headers: [string, string][]): Input => ({
  kind: "response",
  branch,
  response: headers.reduce<SipResponse>(
    (made, [name, value]) => appendHeader(made, name, value),
    reply(invite, status),
  ),
});
const timeout = (branch: number): Input => ({ kind: "failed", branch, reason: "timeout" });
const broken = (branch: number): Input => ({ kind: "failed", branch, reason: "transport" });
const cancel: Input = { kind: "cancel" };
const tick: Input = { kind: "tick" };

function word(effect: Effect): string {
  switch (effect.kind) {
    case "forward":
      return `${effect.branch}:${effect.target}`;
    case "cancel-branch":
      return `cancel ${effect.branch} ${effect.cause}`;
    case "respond": {
      const { response } = effect;
      if (response.kind === "response") return `${response.status}`;
      const rest = response.retryAfterS === undefined ? "" : ` rest ${response.retryAfterS}`;
      return `own ${response.status}${rest}`;
    }
    case "target-failed":
      return `dead ${effect.target}${effect.retryAfterS === undefined ? "" : ` ${effect.retryAfterS}`}`;
    case "done":
      return "done";
  }
}
const words = (effects: readonly Effect[]): string => effects.map(word).join(", ");

const CASES: readonly Case[] = [
  [
    "one target: 1xx and 2xx at once, 100 never, the context lives 64*T1 for late 2xx (16.7 item 5)",
    {},
    [0, start("a"), "0:a"],
    [1, got(0, 100), ""],
    [2, got(0, 180), "180"],
    [3, got(0, 183), "183"],
    [4, got(0, 200), "200", 4 + T1_64],
    [5, got(0, 200), "200", 4 + T1_64],
    [6, got(0, 180), "", 4 + T1_64],
    [7, got(0, 486), "", 4 + T1_64],
    [4 + T1_64 - 1, tick, "", 4 + T1_64],
    [4 + T1_64, tick, "done"],
    [5 + T1_64, got(0, 200), ""],
  ],
  [
    "one target refuses: passed and over (16.7 item 6)",
    {},
    [0, start("a"), "0:a"],
    [1, got(0, 486), "486, done"],
    [2, got(0, 486), ""],
    [3, tick, ""],
  ],
  [
    "redirection is passed up (16.7 item 4 is optional)",
    {},
    [0, start("a b"), "0:a, 1:b"],
    [1, got(0, 404), ""],
    [2, got(1, 302), "302, done"],
  ],
  ["nobody to ask", {}, [0, start(), "own 480, done"]],
  [
    "empty groups are none",
    { groupMs: 10 },
    [0, { kind: "start", groups: [[], [["a"]], []] }, "0:a"],
    [1, got(0, 404), "404, done"],
  ],
  [
    "a fork: the first 2xx cancels the others, theirs still pass (16.7 items 5 and 10)",
    {},
    [0, start("a b c"), "0:a, 1:b, 2:c"],
    [1, got(0, 180), "180"],
    [2, got(1, 183), "183"],
    [
      3,
      got(1, 200),
      "200, cancel 0 answered-elsewhere, cancel 2 answered-elsewhere",
      3 + 3 * T1_64,
    ],
    [4, got(2, 180), "", 3 + 3 * T1_64],
    [5, got(0, 200), "200", 5 + 3 * T1_64],
    [6, got(2, 487), "", 5 + T1_64],
    [5 + T1_64, tick, "done"],
  ],
  [
    "a fork: the best of all, once all have spoken (16.7 item 6)",
    {},
    [0, start("a b c"), "0:a, 1:b, 2:c"],
    [1, got(1, 500), ""],
    [2, got(0, 486), ""],
    [3, timeout(2), "dead c, 486, done"],
  ],
  [
    "6xx cancels all, starts nobody, and wins (16.7 items 5 and 6)",
    {},
    [0, start("a b>b2 c", "d"), "0:a, 1:b, 2:c"],
    [1, got(2, 401), ""],
    [2, got(0, 603), "cancel 1 declined-elsewhere", 2 + 3 * T1_64],
    [3, got(1, 503), "603, done"],
  ],
  [
    "a 2xx after a 6xx still wins",
    {},
    [0, start("a b"), "0:a, 1:b"],
    [2, got(0, 600), "cancel 1 declined-elsewhere", 2 + 3 * T1_64],
    [3, got(1, 200), "200", 3 + T1_64],
    [3 + T1_64, tick, "done"],
  ],
  [
    "one branch that cannot read a body does not end the fork",
    {},
    [0, start("a b c"), "0:a, 1:b, 2:c"],
    [1, got(0, 493), ""],
    [2, got(1, 496), ""],
    [3, got(2, 180), "180"],
    [4, got(2, 200), "200", 4 + T1_64],
  ],
  [
    "groups: the next q is asked when all of one have refused (16.6)",
    {},
    [0, start("a b", "c"), "0:a, 1:b"],
    [1, got(0, 486), ""],
    [2, got(1, 404), "2:c"],
    [3, got(2, 200), "200", 3 + T1_64],
  ],
  [
    "groups: the next q is asked when one rings too long, 487 of ours counts as no answer",
    { groupMs: 20_000 },
    [0, start("a", "b", "c"), "0:a", 20_000],
    [1, got(0, 180), "180", 20_000],
    [19_999, tick, "", 20_000],
    [20_000, tick, "cancel 0 no-answer, 1:b", 40_000],
    [20_001, got(1, 408), "2:c"],
    [20_002, got(0, 487), ""],
    [20_003, timeout(2), "dead c, 408, done"],
  ],
  [
    "groups: after the last, those that were cancelled are waited for all the same",
    { groupMs: 20_000 },
    [0, start("a", "b"), "0:a", 20_000],
    [20_000, tick, "cancel 0 no-answer, 1:b"],
    [20_001, got(1, 404), ""],
    [20_002, got(0, 200), "200", 20_002 + T1_64],
  ],
  [
    "groups: one that answers after its time still wins",
    { groupMs: 20_000 },
    [0, start("a", "b"), "0:a", 20_000],
    [20_000, tick, "cancel 0 no-answer, 1:b"],
    [20_001, got(0, 200), "200, cancel 1 answered-elsewhere", 20_001 + 3 * T1_64],
    [20_002, got(1, 487), "", 20_001 + T1_64],
  ],
  [
    "groups of what is no INVITE have no time of their own",
    { method: "MESSAGE", groupMs: 10 },
    [0, start("a", "b"), "0:a"],
    [1, got(0, 404), "1:b"],
    [2, got(1, 202), "202, done"],
  ],
  [
    "failover: silence, a broken transport and 503 lead to the next server (RFC 3263 4.3)",
    {},
    [0, start("a>b>c>d"), "0:a"],
    [1, timeout(0), "dead a, 0:b"],
    [2, got(0, 100), ""],
    [3, broken(0), "dead b, 0:c"],
    [4, got(0, 503, ["Retry-After", "30 (rest);duration=5"]), "dead c 30, 0:d"],
    [5, got(0, 200), "200", 5 + T1_64],
  ],
  [
    "failover: what the dead server said is not counted for the next",
    {},
    [0, start("a>b>c"), "0:a"],
    [1, got(0, 100), ""],
    [2, broken(0), "dead a, 0:b"],
    [3, timeout(0), "dead b, 0:c"],
  ],
  [
    "failover: never once it rang, nor when it timed out after an answer",
    {},
    [0, start("a>b c>d"), "0:a, 1:c"],
    [1, got(0, 180), "180"],
    [2, broken(0), "dead a"],
    [3, got(1, 100), ""],
    [4, timeout(1), "own 408, done"],
  ],
  [
    "failover: 430 leads to the phone's next flow; nobody upstream sees it (RFC 5626 7, 11.5)",
    {},
    [0, start("a>b"), "0:a"],
    [1, got(0, 430), "0:b"],
    [2, got(0, 430), "own 480, done"],
  ],
  [
    "503 alone becomes 500, and keeps its Retry-After (16.7 item 6)",
    {},
    [0, start("a"), "0:a"],
    [1, got(0, 503, ["Retry-After", "99999"]), "dead a 3600, own 500 rest 3600, done"],
  ],
  [
    "503 without Retry-After",
    {},
    [0, start("a b"), "0:a, 1:b"],
    [1, got(0, 503), ""],
    [2, got(1, 503, ["Retry-After", "soon"]), "own 500, done"],
  ],
  [
    "another 5xx rather than 503",
    {},
    [0, start("a b"), "0:a, 1:b"],
    [1, got(0, 503), ""],
    [2, got(1, 501), "501, done"],
  ],
  [
    "no response: 408 (16.7 item 6)",
    {},
    [0, start("a"), "0:a"],
    [1, timeout(0), "dead a, own 408, done"],
  ],
  [
    "a broken transport: as 503, thus 500 (16.9)",
    {},
    [0, start("a"), "0:a"],
    [1, broken(0), "dead a, own 500, done"],
  ],
  [
    "a 2xx of a branch that had refused passes, and the others are still waited for",
    {},
    [0, start("a b"), "0:a, 1:b"],
    [1, got(0, 486), ""],
    [2, got(0, 200), "200, cancel 1 answered-elsewhere", 2 + 3 * T1_64],
    [3, got(1, 487), "", 2 + T1_64],
  ],
  [
    "CANCEL: all pending branches once; 487 when they have ended (16.10)",
    {},
    [0, start("a b>b2", "c"), "0:a, 1:b"],
    [1, got(0, 180), "180"],
    [2, cancel, "cancel 0 cancelled, cancel 1 cancelled", 2 + 3 * T1_64],
    [3, cancel, "", 2 + 3 * T1_64],
    [4, got(0, 487), "", 2 + 3 * T1_64],
    [5, timeout(1), "dead b, own 487, done"],
  ],
  [
    "CANCEL: what the phone says passes",
    {},
    [0, start("a"), "0:a"],
    [1, cancel, "cancel 0 cancelled", 1 + 3 * T1_64],
    [2, got(0, 180), "180", 1 + 3 * T1_64],
    [3, got(0, 487), "487, done"],
  ],
  [
    "CANCEL crosses the 2xx, which wins",
    {},
    [0, start("a b"), "0:a, 1:b"],
    [1, cancel, "cancel 0 cancelled, cancel 1 cancelled", 1 + 3 * T1_64],
    [2, got(0, 200), "200", 2 + 3 * T1_64],
    [3, got(1, 487), "", 2 + T1_64],
  ],
  [
    "CANCEL after the end changes nothing",
    {},
    [0, start("a b"), "0:a, 1:b"],
    [1, got(0, 200), "200, cancel 1 answered-elsewhere", 1 + 3 * T1_64],
    [2, cancel, "", 1 + 3 * T1_64],
  ],
  [
    "CANCEL: a branch that never ends is not waited for",
    {},
    [0, start("a"), "0:a"],
    [0, cancel, "cancel 0 cancelled", 3 * T1_64],
    [3 * T1_64, tick, "own 487, done"],
  ],
  [
    "no INVITE: the first 2xx is the last word, nobody is cancelled (9.1)",
    { method: "MESSAGE" },
    [0, start("a b"), "0:a, 1:b"],
    [1, cancel, ""],
    [2, got(0, 200), "200, done"],
    [3, got(1, 200), ""],
  ],
  [
    "no INVITE: 6xx waits for the others without CANCEL",
    { method: "MESSAGE" },
    [0, start("a b"), "0:a, 1:b"],
    [2, got(0, 603), "", 2 + 3 * T1_64],
    [3, got(1, 404), "603, done"],
  ],
];

for (const [what, setting, ...steps] of CASES)
  test(what, () => {
    const context = new ResponseContext<string>({
      method: "INVITE",
      acceptedMs: T1_64,
      ...setting,
    });
    for (const [index, [atMs, input, effects, deadline]] of steps.entries()) {
      assert.equal(words(context.handle(input, atMs)), effects, `effects of step ${index}`);
      assert.equal(context.deadline(), deadline, `deadline of step ${index}`);
    }
  });

test("a branch that nobody made, and one without target, are our own faults", () => {
  const context = new ResponseContext<string>({ method: "INVITE", acceptedMs: T1_64 });
  assert.throws(() => context.handle(timeout(0), 0), RangeError);
  assert.throws(() => context.handle({ kind: "start", groups: [[[]]] }, 0), RangeError);
});

/** What the client transaction of a branch can still report. */
interface Simulated {
  alive: boolean;
  accepted: boolean;
  cancels: number;
}

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      at: fc.nat(5),
      status: fc.constantFrom(100, 180, 183, 200, 302, 401, 404, 430, 486, 487, 493, 503, 603),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      at: fc.nat(5),
      reason: fc.constantFrom("timeout" as const, "transport" as const),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom("cancel" as const, "tick" as const) },
);

test("whatever comes in: one final at most, none but 2xx after a 2xx, losers cancelled once, an end", () => {
  const groups = fc.array(
    fc.array(fc.array(fc.string(), { minLength: 1, maxLength: 3 }), { maxLength: 3 }),
    { maxLength: 3 },
  );
  fc.assert(
    fc.property(
      groups,
      fc.array(step, { maxLength: 30 }),
      fc.boolean(),
      (wanted, steps, isTimed) => {
        const context = new ResponseContext<string>({
          method: "INVITE",
          acceptedMs: 100,
          ...(isTimed ? { groupMs: 50 } : {}),
        });
        const branches: Simulated[] = [];
        let [now, refusals, successes, done] = [0, 0, 0, 0];
        const feed = (input: Input): void => {
          for (const effect of context.handle(input, now)) {
            assert.equal(done, 0, "nothing after done");
            if (effect.kind === "forward") {
              assert.equal(successes + refusals, 0, "nobody new after a final response");
              const cancels = branches[effect.branch]?.cancels ?? 0;
              assert.equal(cancels, 0, "nobody new in a cancelled branch");
              branches[effect.branch] = { alive: true, accepted: false, cancels };
            } else if (effect.kind === "cancel-branch") {
              const branch = branches[effect.branch];
              assert.ok(branch?.alive && !branch.accepted, "only what is pending is cancelled");
              branch.cancels += 1;
              assert.equal(branch.cancels, 1);
            } else if (effect.kind === "respond") {
              const { status } = effect.response;
              if (status >= 200 && status < 300) successes += 1;
              else assert.equal(successes, 0, "after a 2xx only 2xx");
              assert.equal(refusals, 0, "nothing after the final response");
              if (status >= 300) refusals += 1;
              assert.ok(![100, 503, 430].includes(status));
            } else if (effect.kind === "done") done += 1;
          }
          if (successes > 0)
            for (const branch of branches)
              assert.ok(
                !branch.alive || branch.accepted || branch.cancels === 1,
                "losers are cancelled",
              );
        };
        feed({ kind: "start", groups: wanted });
        for (const each of steps) {
          now += 7;
          if (typeof each === "string") {
            feed({ kind: each });
            continue;
          }
          const branch = branches[each.at];
          if (branch === undefined || !branch.alive) continue;
          if ("reason" in each) {
            if (branch.accepted) continue;
            branch.alive = false;
            feed({ kind: "failed", branch: each.at, reason: each.reason });
          } else {
            if (branch.accepted && each.status !== 200) continue;
            if (each.status === 200) branch.accepted = true;
            else if (each.status > 200) branch.alive = false;
            feed(got(each.at, each.status));
          }
        }
        for (let round = 0; round < 20 && done === 0; round += 1) {
          for (const [index, branch] of branches.entries()) {
            if (!branch.alive || branch.accepted) continue;
            branch.alive = false;
            feed({ kind: "failed", branch: index, reason: "timeout" });
          }
          now = Math.max(now, context.deadline() ?? now);
          feed(tick);
        }
        assert.equal(done, 1);
        assert.equal(context.deadline(), undefined);
        assert.ok(refusals + successes > 0);
      },
    ),
    { numRuns: 2_000 },
  );
});
