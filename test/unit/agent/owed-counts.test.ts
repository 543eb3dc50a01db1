import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLabel, serializeLabel } from "../../../agent/core/element.ts";
import { FINAL_COUNT_TIMEOUT_MS } from "../../../agent/core/final-counts.ts";
import { MAX_MARKERS_PER_SESSION } from "../../../agent/core/plan-put.ts";
import { AgentBench, ALICE, BOB, pinhole, put } from "./agent-bench.ts";

const any = pinhole("alice", {});
const narrow = pinhole("alice", { address: BOB });
const ANY = `any4 ${ALICE} . 20000`;
const NARROW = `peer4 ${BOB} . ${ALICE} . 20000`;
const BUSY = "Device or resource busy";

/** A call whose first pinhole let two packets through and was narrowed; the kernel's answers wait. */
function narrowed(): AgentBench {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any]));
  bench.kernel.pass(ANY);
  bench.kernel.pass(ANY);
  bench.send(put(2, [narrow]));
  return bench;
}

function hearApplied(bench: AgentBench): void {
  const at = bench.kernel.answers.findIndex(({ kind }) => kind === "applied");
  for (const answer of bench.kernel.answers.splice(at, 1)) bench.hand(answer);
}

function tallies(bench: AgentBench) {
  return [...bench.kernel.held.values()]
    .filter(({ change }) => change.element.set === "tally4")
    .map(({ change, count }) => [change.label.isOwed === true ? "owed" : "kept", count.packets]);
}

function closing(bench: AgentBench): unknown[] {
  const reply = bench.close();
  assert.ok(reply?.ok);
  assert.equal(bench.kernel.held.size, 0, "nothing is left behind");
  return [reply.counters?.["alice"]?.packets, reply.exact];
}

test("a count is owed from the deletion on, and kept in its marker's place", () => {
  const bench = narrowed();
  assert.deepEqual(tallies(bench), [["owed", 0]]);
  bench.settle();
  assert.deepEqual(tallies(bench), [["kept", 2]]);
  bench.ask(put(3, [any]));
  bench.kernel.pass(ANY);
  bench.ask(put(4, [narrow]));
  assert.deepEqual(tallies(bench), [["kept", 3]]);
  bench.restart(true);
  assert.deepEqual(closing(bench), [3, true]);
});

test("at rest the kernel owes neither answer nor count", () => {
  const bench = narrowed();
  assert.equal(bench.machine.isAtRest, false);
  hearApplied(bench);
  assert.equal(bench.machine.isAtRest, false, "the count");
  for (const answer of bench.kernel.answers.splice(0, 1)) bench.hand(answer);
  assert.equal(bench.machine.isAtRest, false, "the tally");
  bench.settle();
  assert.equal(bench.machine.isAtRest, true);
});

test("an agent that dies before it hears a count leaves word: no successor calls the sum exact", () => {
  const bench = narrowed();
  bench.kill();
  bench.kernel.pass(NARROW);
  assert.equal(bench.ask(put(2, [narrow]))?.ok, true);
  bench.restart(true);
  assert.deepEqual(closing(bench), [1, false], "nor does the successor's successor");
});

test("a pinhole of which nothing is left but what is owed is in the counts, as zero", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any]));
  bench.send(put(2, []));
  bench.kill();
  assert.deepEqual(closing(bench), [0, false]);
});

test("a count that is given up is called missed by a successor, too", () => {
  const bench = narrowed();
  bench.kernel.isMute = true;
  bench.kernel.answers.splice(0, 1);
  bench.settle();
  bench.pass(FINAL_COUNT_TIMEOUT_MS);
  bench.kernel.isMute = false;
  bench.restart(true);
  bench.kernel.pass(NARROW);
  assert.deepEqual(closing(bench), [1, false]);
});

test("a count that the kernel refuses to keep is told by this agent, and missed by the next", () => {
  for (const [isRestarted, told] of [
    [false, [2, true]],
    [true, [0, false]],
  ] as const) {
    const bench = narrowed();
    hearApplied(bench);
    bench.kernel.refusals.push(BUSY);
    bench.settle();
    assert.deepEqual(tallies(bench), [["owed", 0]]);
    if (isRestarted) bench.restart(true);
    assert.deepEqual(closing(bench), told);
  }
});

test("of a sum that was refused and a later one a successor takes the later, and calls it inexact", () => {
  const bench = narrowed();
  bench.settle();
  bench.send(put(3, [any]));
  bench.kernel.pass(ANY);
  hearApplied(bench);
  bench.kernel.refusals.push(BUSY);
  bench.settle();
  bench.ask(put(4, [narrow]));
  bench.ask(put(5, [any]));
  assert.deepEqual(tallies(bench).sort(), [
    ["kept", 2],
    ["kept", 3],
    ["owed", 0],
  ]);
  bench.restart(true);
  assert.deepEqual(closing(bench), [3, false]);
});

test("a count that is refused while its session is being closed leaves nothing behind", () => {
  const bench = narrowed();
  hearApplied(bench);
  bench.kernel.refusals.push(BUSY);
  for (const answer of bench.kernel.answers.splice(0, 1)) bench.hand(answer);
  assert.deepEqual(closing(bench), [2, true]);
});

test("a close takes markers of counts still owed with it, and hears those counts", () => {
  const bench = narrowed();
  hearApplied(bench);
  assert.deepEqual(closing(bench), [2, true]);
});

test("a put that the kernel refuses owes nothing", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any]));
  bench.kernel.pass(ANY);
  bench.kernel.refusals.push(BUSY);
  bench.ask(put(2, [narrow]));
  assert.deepEqual(tallies(bench), []);
  bench.restart(true);
  assert.deepEqual(closing(bench), [1, true]);
});

test("a table made anew still says what is owed, and what was lost", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [pinhole("b", {}, ALICE, 20_002)], { session: "s2" }));
  bench.ask(put(1, [any]));
  bench.kernel.pass(ANY);
  bench.send(put(2, [narrow]));
  hearApplied(bench);
  const unheard = bench.kernel.answers.splice(0);
  bench.kernel.refusals.push(BUSY);
  bench.close("s2");
  assert.equal(bench.of("rebuild").length, 1);
  assert.deepEqual(tallies(bench), [
    ["owed", 0],
    ["owed", 0],
  ]);
  for (const answer of unheard) bench.hand(answer);
  bench.settle();
  assert.deepEqual(tallies(bench).sort(), [
    ["kept", 1],
    ["owed", 0],
  ]);
  bench.restart(true);
  assert.deepEqual(closing(bench), [1, false]);
});

test("what an agent knows to be inexact, its successor knows", () => {
  const losses = {
    "rules lost": (bench: AgentBench) => bench.feed({ kind: "rules-lost" }),
    "rules lost twice": (bench: AgentBench) => {
      bench.feed({ kind: "rules-lost" });
      bench.feed({ kind: "rules-lost" });
    },
    "table lost": (bench: AgentBench) => {
      bench.kernel.held.clear();
      bench.feed({ kind: "firewall-lost" });
    },
  };
  for (const [name, lose] of Object.entries(losses)) {
    const bench = AgentBench.ready();
    bench.ask(put(1, [any]));
    lose(bench);
    assert.deepEqual(tallies(bench), [["owed", 0]], name);
    bench.restart(true);
    bench.kernel.pass(ANY);
    assert.deepEqual(closing(bench), [1, false], name);
  }
});

test("a session does not owe without bounds", () => {
  const bench = AgentBench.ready();
  bench.kernel.isMute = true;
  const moving = (revision: number) =>
    bench.ask(put(revision, [revision % 2 === 0 ? any : narrow]));
  for (let n = 1; n <= MAX_MARKERS_PER_SESSION + 1; n += 1) assert.equal(moving(n)?.ok, true);
  const refused = moving(MAX_MARKERS_PER_SESSION + 2);
  assert.deepEqual(!refused?.ok && refused?.error, {
    code: "ERR_CONTROL_LIMIT",
    path: "pinholes",
    message: "too many counts are owed",
  });
});

test("a label says whose an element is and whether it owes; nothing else is one", () => {
  const label = { owner: "0123456789abcdef", session: "s".repeat(64), pinhole: "p".repeat(32) };
  for (const one of [label, { ...label, isOwed: true as const }]) {
    assert.deepEqual(parseLabel(serializeLabel(one)), one);
    assert.ok(serializeLabel(one).length <= 128, "nft takes no longer comment");
  }
  for (const comment of ["", "1 a b", "2 a b c", "1 a b c d", "1 a b c owed e"])
    assert.equal(parseLabel(comment), undefined, comment);
});
