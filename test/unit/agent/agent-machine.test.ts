import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_WAITING_REQUESTS } from "../../../agent/core/agent-machine.ts";
import { AFTERLIFE_MS } from "../../../agent/core/agent-state.ts";
import { filterElement, tallyElement } from "../../../agent/core/element.ts";
import { FINAL_COUNT_TIMEOUT_MS } from "../../../agent/core/final-counts.ts";
import { ADOPTED_LEASE_MS, type KernelElement } from "../../../agent/core/kernel-state.ts";
import { MAX_TALLIES_PER_SESSION } from "../../../agent/core/plan-put.ts";
import { FIRST_ORDER_TIMEOUT_MS, ORDER_TIMEOUT_MS } from "../../../agent/core/put-work.ts";
import { parseAddress } from "../../../protocol/net/address.ts";
import { AgentBench, ALICE, BOB, BOUNDS, pinhole, put, RECORDED } from "./agent-bench.ts";

const any = pinhole("alice", {});
const narrow = pinhole("alice", { address: BOB });
const ANY = `any4 ${ALICE} . 20000`;
const NARROW = `peer4 ${BOB} . ${ALICE} . 20000`;

function error(reply: ReturnType<AgentBench["reply"]>): (string | undefined)[] {
  assert.ok(reply && !reply.ok, "an error reply");
  return [reply.error.code, reply.error.path];
}

test("a put is applied when the kernel has it, not before", () => {
  const bench = AgentBench.ready();
  const id = bench.send(put(1, [any]));
  assert.equal(bench.reply(id), undefined);
  bench.settle();
  assert.deepEqual(bench.reply(id), { kind: "reply", id, ok: true, applied: 1 });
  assert.deepEqual(bench.kernel.open(), [ANY]);
});

test("narrowing is one transaction, and counts of both pinholes come together at the close", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any]));
  bench.kernel.pass(ANY);
  bench.kernel.pass(ANY);
  const batches = bench.of("apply").length;
  bench.ask(put(2, [narrow]));
  assert.deepEqual(
    bench.of("apply")[batches]?.changes.map(({ op, element }) => [op, element.set]),
    [
      ["delete", "any4"],
      ["add", "tally4"],
      ["add", "peer4"],
    ],
  );
  bench.kernel.pass(NARROW);
  assert.deepEqual(bench.close(), {
    kind: "reply",
    id: "r4",
    ok: true,
    counters: { alice: { packets: 3, bytes: 300 } },
    exact: true,
  });
  assert.equal(bench.kernel.held.size, 0, "no tally is left behind");
});

test("a pinhole that stays is not touched, and one that leaves keeps its count", () => {
  const bench = AgentBench.ready();
  const rtcp = pinhole("rtcp", {}, ALICE, 20_001);
  bench.ask(put(1, [any, rtcp]));
  bench.kernel.pass(ANY);
  bench.kernel.pass(`any4 ${ALICE} . 20001`);
  const batches = bench.of("apply").length;
  bench.ask(put(2, [any]));
  assert.deepEqual(
    bench.of("apply")[batches]?.changes.map(({ op }) => op),
    ["delete", "add"],
    "it, and a marker for its count",
  );
  bench.kernel.pass(ANY);
  const reply = bench.close();
  const counters = { alice: { packets: 2, bytes: 200 }, rtcp: { packets: 1, bytes: 100 } };
  assert.deepEqual(reply?.ok && reply.counters, counters);
});

test("an id that leads elsewhere is counted for both destinations", () => {
  const bench = AgentBench.ready();
  const there = { address: ALICE };
  bench.ask(put(1, [pinhole("bob", there, BOB, 30_000)], { recording: RECORDED }));
  bench.kernel.pass(`peer4 ${ALICE} . ${BOB} . 30000`);
  bench.ask(put(2, [pinhole("bob", there, BOB, 30_002)], { recording: RECORDED }));
  bench.kernel.pass(`peer4 ${ALICE} . ${BOB} . 30002`);
  const reply = bench.close();
  assert.deepEqual(reply?.ok && reply.counters, { bob: { packets: 2, bytes: 200 } });
  assert.deepEqual(bench.of("relay-close")[0]?.counters, {
    bob: { packets: 1, bytes: 100, to: { address: BOB, port: 30_000 } },
    "bob@2": { packets: 1, bytes: 100, to: { address: BOB, port: 30_002 } },
  });
});

test("a refused put changes nothing: neither kernel nor session", () => {
  const bench = AgentBench.ready();
  bench.ask(put(2, [any]));
  const batches = bench.of("apply").length;
  const far = pinhole("far", {}, BOB, 30_000);
  const cases = [
    [put(3, [any, far]), "ERR_CONTROL_REALM", "pinholes.1"],
    [put(3, [any, any]), "ERR_CONTROL_VALUE", "pinholes.1.id"],
    [put(3, [any, pinhole("b", { address: BOB })]), "ERR_CONTROL_VALUE", "pinholes.1"],
    [put(1, [any]), "ERR_CONTROL_STATE", "revision"],
    [put(2, [narrow]), "ERR_CONTROL_STATE", "revision"],
    [put(1, [narrow], { session: "s2" }), "ERR_CONTROL_STATE", "pinholes.0"],
  ] as const;
  for (const [request, code, path] of cases)
    assert.deepEqual(error(bench.ask(request)), [code, path]);
  assert.equal(bench.of("apply").length, batches);
  const health = bench.ask({ kind: "health" });
  assert.deepEqual(health?.ok && health.health, {
    firewall: true,
    capture: true,
    recorder: true,
    sessions: 1,
    pinholes: 1,
  });
});

test("what the kernel refuses is told, and undone", () => {
  const bench = AgentBench.ready();
  bench.kernel.refusals.push("Device or resource busy");
  assert.deepEqual(error(bench.ask(put(1, [any]))), ["ERR_CONTROL_APPLY", undefined]);
  assert.deepEqual(error(bench.close()), ["ERR_CONTROL_STATE", "session"]);
  assert.equal(bench.ask(put(1, [any]))?.ok, true, "the place is free again");
  bench.kernel.refusals.push("Device or resource busy");
  assert.deepEqual(error(bench.ask(put(2, [narrow]))), ["ERR_CONTROL_APPLY", undefined]);
  bench.kernel.pass(ANY);
  const reply = bench.close();
  assert.deepEqual(reply?.ok && reply.counters, { alice: { packets: 1, bytes: 100 } });
});

test("a put that fails after the recorder took its order tells the recorder", () => {
  const bench = AgentBench.ready();
  bench.kernel.refusals.push("Device or resource busy");
  bench.ask(put(1, [any], { recording: RECORDED }));
  assert.deepEqual(bench.of("relay-close"), [
    { kind: "relay-close", session: "s1", reason: "not applied", counters: {}, exact: true },
  ]);
});

test("limits: sessions, pinholes, destinations of one session", () => {
  const bench = AgentBench.ready();
  for (let n = 0; n < BOUNDS.limits.sessions; n += 1)
    bench.ask(put(1, [pinhole("a", {}, ALICE, 20_000 + n)], { session: `n${n}` }));
  assert.deepEqual(error(bench.ask(put(1, [], { session: "one-more" }))), [
    "ERR_CONTROL_LIMIT",
    "session",
  ]);
  const many = Array.from({ length: 12 }, (_, n) => pinhole(`p${n}`, {}, ALICE, 21_000 + n));
  assert.deepEqual(error(bench.ask(put(2, many, { session: "n0" }))), [
    "ERR_CONTROL_LIMIT",
    "pinholes",
  ]);

  const other = AgentBench.ready();
  const moving = (n: number) => other.ask(put(n, [pinhole("a", {}, ALICE, 20_000 + n)]));
  for (let n = 1; n <= MAX_TALLIES_PER_SESSION; n += 1) assert.equal(moving(n)?.ok, true);
  assert.deepEqual(error(moving(MAX_TALLIES_PER_SESSION + 1)), ["ERR_CONTROL_LIMIT", "pinholes"]);
});

test("hello comes first, and a connection speaks for one controller", () => {
  const bench = new AgentBench();
  assert.deepEqual(error(bench.ask(put(1, [any]))), ["ERR_CONTROL_STATE", "kind"]);
  assert.equal(bench.ask({ kind: "hello", version: 1, controller: "a" })?.ok, true);
  assert.equal(bench.ask({ kind: "hello", version: 1, controller: "a" })?.ok, true);
  const second = bench.ask({ kind: "hello", version: 1, controller: "b" });
  assert.deepEqual(error(second), ["ERR_CONTROL_STATE", "controller"]);
});

test("no controller sees, changes or closes another's session", () => {
  const bench = AgentBench.ready();
  bench.ask({ kind: "hello", version: 1, controller: "ss2" }, 2);
  bench.ask(put(1, [any]));
  assert.deepEqual(error(bench.ask(put(2, []), 2)), ["ERR_CONTROL_STATE", "session"]);
  assert.deepEqual(error(bench.close("s1", 2)), ["ERR_CONTROL_STATE", "session"]);
  bench.ask({ kind: "sync.begin", epoch: "1" }, 2);
  const synced = bench.ask({ kind: "sync.end", count: 0 }, 2);
  assert.deepEqual(synced?.ok && synced.closed, []);
  assert.deepEqual(bench.kernel.open(), [ANY]);
});

test("requests for one session are worked on in order", () => {
  const bench = AgentBench.ready();
  const ids = [
    put(1, [any]),
    put(2, [narrow]),
    { kind: "session.close", session: "s1", reason: "bye" },
    { kind: "session.close", session: "s1", reason: "again" },
    put(1, [any]),
  ].map((request) => bench.send(request));
  bench.settle();
  assert.deepEqual(
    ids.map((id) => bench.reply(id)?.ok),
    [true, true, true, false, true],
  );
  assert.deepEqual(bench.kernel.open(), [ANY]);
});

test("more than a few requests do not wait for one session", () => {
  const bench = AgentBench.ready();
  const ids = Array.from({ length: MAX_WAITING_REQUESTS + 2 }, (_, n) =>
    bench.send(put(n + 1, [any])),
  );
  assert.deepEqual(error(bench.reply(ids.at(-1) ?? "")), ["ERR_CONTROL_LIMIT", "session"]);
  bench.settle();
  assert.equal(bench.reply(ids.at(-2) ?? "")?.ok, true);
});

test("the recorder has its order before the kernel has the hole", () => {
  const bench = AgentBench.ready();
  bench.send(put(1, [any], { recording: RECORDED }));
  assert.equal(bench.of("relay-order").length, 1);
  assert.equal(bench.of("apply").length, 0);
  bench.settle();
  const reply = bench.sent("reply").at(-1);
  assert.deepEqual(reply?.ok && [reply.applied, reply.recording], [1, "accepted"]);
});

test("a put goes on without a recorder that is silent, away or refuses, and without capture, and says so", () => {
  const setups: [string, (bench: AgentBench) => void][] = [
    [
      "full",
      (bench) => {
        bench.recorder = { refused: "full" };
      },
    ],
    [
      "recorder did not answer",
      (bench) => {
        bench.recorder = undefined;
      },
    ],
    ["recorder not reachable", (bench) => bench.feed({ kind: "recorder", connected: false })],
    ["capture does not run", (bench) => bench.feed({ kind: "capture", ready: false })],
  ];
  for (const [refused, prepare] of setups) {
    const bench = AgentBench.ready();
    prepare(bench);
    const id = bench.send(put(1, [any], { recording: RECORDED }));
    bench.settle();
    bench.pass(FIRST_ORDER_TIMEOUT_MS - 1);
    assert.equal(bench.reply(id) === undefined, refused !== "full");
    bench.pass(1);
    const reply = bench.reply(id);
    assert.deepEqual(reply?.ok && reply.recording, { refused });
    assert.deepEqual(bench.kernel.open(), [ANY]);

    const must = put(1, [pinhole("b", {}, ALICE, 20_002)], {
      session: "s2",
      recording: { ...RECORDED, required: true },
    });
    const required = bench.send(must);
    bench.settle();
    bench.pass(FIRST_ORDER_TIMEOUT_MS);
    assert.deepEqual(error(bench.reply(required)), ["ERR_CONTROL_STATE", "recording"]);
    assert.deepEqual(bench.kernel.open(), [ANY]);
  }
});

test("an answer's order is waited for less long than an offer's", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { recording: RECORDED }));
  bench.recorder = undefined;
  const id = bench.send(put(2, [narrow], { recording: RECORDED }));
  bench.pass(ORDER_TIMEOUT_MS);
  const reply = bench.reply(id);
  assert.deepEqual(reply?.ok && reply.recording, { refused: "recorder did not answer" });
});

test("capture that comes back in time is waited for", () => {
  const bench = AgentBench.ready();
  bench.feed({ kind: "capture", ready: false });
  const id = bench.send(put(1, [any], { recording: RECORDED }));
  bench.settle();
  assert.equal(bench.reply(id), undefined);
  bench.feed({ kind: "capture", ready: true });
  const reply = bench.reply(id);
  assert.deepEqual(reply?.ok && reply.recording, "accepted");
});

test("a recorder that comes (back) gets every order that counts; a late refusal is told", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { recording: RECORDED }));
  bench.feed({ kind: "recorder", connected: false });
  const waiting = put(1, [pinhole("b", {}, ALICE, 20_002)], { session: "s2", recording: RECORDED });
  const id = bench.send(waiting);
  const before = bench.of("relay-order").length;
  bench.feed({ kind: "recorder", connected: true });
  assert.deepEqual(
    bench
      .of("relay-order")
      .slice(before)
      .map(({ session }) => session),
    ["s1", "s2"],
  );
  assert.equal(bench.reply(id)?.ok, true);

  bench.recorder = { refused: "disk full" };
  bench.feed({ kind: "recorder", connected: false });
  bench.feed({ kind: "recorder", connected: true });
  assert.deepEqual(
    bench.sent("refused").map(({ session, reason }) => [session, reason]),
    [
      ["s1", "disk full"],
      ["s2", "disk full"],
    ],
  );
});

test("the same revision again renews the lease and changes nothing else", () => {
  const bench = AgentBench.ready();
  const wanted = put(1, [any], { leaseMs: 10_000, recording: RECORDED });
  bench.ask(wanted);
  const [orders, batches] = [bench.of("relay-order").length, bench.of("apply").length];
  bench.pass(9_999);
  const again = bench.ask(wanted);
  assert.deepEqual(again?.ok && [again.applied, again.recording], [1, "accepted"]);
  bench.pass(9_999);
  assert.deepEqual(bench.sent("session.expired"), []);
  assert.deepEqual([bench.of("relay-order").length, bench.of("apply").length], [orders, batches]);
  bench.kernel.pass(ANY);
  bench.pass(1);
  assert.deepEqual(bench.sent("session.expired"), [
    {
      kind: "session.expired",
      session: "s1",
      counters: { alice: { packets: 1, bytes: 100 } },
      exact: true,
    },
  ]);
  assert.deepEqual(bench.kernel.open(), []);
  assert.equal(bench.of("relay-close")[0]?.reason, "lease ended");
});

test("a controller that restarts takes its sessions up where they are: nothing is ordered twice, no count is lost", () => {
  for (const agentToo of [false, true]) {
    const bench = AgentBench.ready();
    const more = { recording: RECORDED };
    bench.ask(put(1, [any], more));
    bench.kernel.pass(ANY);
    bench.ask(put(2, [narrow], more));
    bench.kernel.pass(NARROW);
    const orders = bench.of("relay-order").length;
    bench.feed({ kind: "disconnected", connection: 1 });
    if (agentToo) bench.restart(true);
    bench.ask({ kind: "hello", version: 1, controller: "ss1" }, 2);
    bench.ask({ kind: "sync.begin", epoch: "2" }, 2);
    const again = bench.ask(put(2, [narrow], more), 2);
    assert.deepEqual(again?.ok && [again.applied, again.recording], [2, "accepted"]);
    const synced = bench.ask({ kind: "sync.end", count: 1 }, 2);
    assert.deepEqual(synced?.ok && synced.closed, []);
    assert.equal(bench.of("relay-order").length - orders, agentToo ? 1 : 0);
    bench.kernel.pass(NARROW);
    const closed = bench.close("s1", 2);
    assert.deepEqual(closed?.ok && [closed.counters?.["alice"]?.packets, closed.exact], [3, true]);
    assert.equal(bench.of("relay-close").length, 1);
    assert.equal(bench.kernel.held.size, 0);
  }
});

test("a lease that ends while the kernel is asked ends the session when it has answered", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { leaseMs: 1000 }));
  bench.now += 900;
  const id = bench.send(put(2, [narrow], { leaseMs: 1000 }));
  bench.now += 200;
  bench.hand({ kind: "tick" });
  bench.kernel.answers.length = 0;
  bench.feed({ kind: "apply-failed", batch: bench.of("apply").at(-1)?.batch ?? 0, reason: "busy" });
  assert.equal(bench.reply(id)?.ok, false);
  assert.equal(bench.sent("session.expired").length, 1);
});

test("after a sync only what was named is left; a wrong count closes nothing", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any]));
  bench.ask(put(1, [pinhole("b", {}, ALICE, 20_002)], { session: "s2" }));
  assert.deepEqual(error(bench.ask({ kind: "sync.end", count: 0 })), ["ERR_CONTROL_STATE", "kind"]);
  bench.ask({ kind: "sync.begin", epoch: "2" });
  bench.ask(put(1, [any]));
  assert.deepEqual(error(bench.ask({ kind: "sync.end", count: 2 })), [
    "ERR_CONTROL_STATE",
    "count",
  ]);
  assert.equal(bench.kernel.open().length, 2);
  const synced = bench.ask({ kind: "sync.end", count: 1 });
  assert.deepEqual(synced?.ok && synced.closed, ["s2"]);
  assert.deepEqual(bench.kernel.open(), [ANY]);
});

test("a sync closes a session whose put is still under way, and one that closes itself", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [pinhole("b", {}, ALICE, 20_002)], { session: "s2" }));
  bench.send(put(1, [any]));
  bench.send({ kind: "session.close", session: "s2", reason: "bye" });
  bench.send({ kind: "sync.begin", epoch: "2" });
  const id = bench.send({ kind: "sync.end", count: 0 });
  bench.settle();
  const reply = bench.reply(id);
  assert.deepEqual(reply?.ok && reply.closed, ["s2", "s1"]);
  assert.deepEqual(bench.kernel.open(), []);
});

test("a last count that is not heard in time leaves the close inexact, never waiting", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any]));
  bench.kernel.isMute = true;
  const id = bench.send({ kind: "session.close", session: "s1", reason: "bye" });
  bench.settle();
  assert.equal(bench.reply(id), undefined);
  bench.pass(FINAL_COUNT_TIMEOUT_MS);
  const reply = bench.reply(id);
  assert.deepEqual(reply?.ok && [reply.counters, reply.exact], [
    { alice: { packets: 0, bytes: 0 } },
    false,
  ]);
});

test("a count of something that nobody deleted, or of a session long closed, is passed over", () => {
  const bench = AgentBench.ready();
  const element = { set: "any4", key: `${ALICE} . 20000` } as const;
  bench.feed({ kind: "final", element, packets: 7, bytes: 7 });
  bench.feed({ kind: "applied", batch: 99 });
  bench.feed({ kind: "order-reply", order: "99", result: "accepted" });
  bench.feed({ kind: "order-reply", order: "99", result: { refused: "x" } });
  bench.feed({ kind: "recording-closed", session: "s9", recording: "r", completeness: {} });
  assert.deepEqual(bench.sent("recording.closed"), []);
});

test("a close that the kernel refuses is tried element by element; what stays makes the table be made anew", () => {
  const bench = AgentBench.ready();
  const other = pinhole("b", {}, ALICE, 20_002);
  bench.ask(put(1, [any, other]));
  bench.ask(put(1, [pinhole("c", {}, ALICE, 20_004)], { session: "s2" }));
  bench.kernel.held.delete(ANY); // someone else deleted it
  const reply = bench.close();
  assert.equal(reply?.ok && reply.exact, false);
  assert.equal(bench.of("rebuild").length, 0);
  assert.deepEqual(bench.kernel.open(), [`any4 ${ALICE} . 20004`]);

  bench.kernel.refusals.push("Device or resource busy");
  assert.equal(bench.close("s2")?.ok, true);
  assert.deepEqual(bench.of("rebuild"), [{ kind: "rebuild", changes: [] }]);
  assert.deepEqual(bench.kernel.open(), []);
});

test("a lost table is made anew when nothing is under way, and no count is called exact that is not", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any]));
  bench.kernel.pass(ANY);
  bench.ask(put(2, [narrow]));
  bench.ask(put(1, [pinhole("c", {}, ALICE, 20_004)], { session: "s2" }));
  bench.kernel.isMute = true;
  const closing = bench.send({ kind: "session.close", session: "s2", reason: "bye" });
  bench.kernel.held.clear();
  bench.hand({ kind: "firewall-lost" });
  assert.equal(bench.of("rebuild").length, 0, "a batch is under way");
  bench.settle();
  assert.equal(bench.of("rebuild").length, 1);
  assert.deepEqual(bench.kernel.open(), [NARROW]);
  const gone = bench.reply(closing);
  assert.equal(gone?.ok && gone.exact, false);
  bench.kernel.isMute = false;
  const reply = bench.close();
  assert.deepEqual(reply?.ok && [reply.counters, reply.exact], [
    { alice: { packets: 1, bytes: 100 } },
    false,
  ]);
  assert.equal(bench.kernel.held.size, 0);
});

const address = parseAddress;
const label = { owner: "", session: "s1", pinhole: "alice" };

/** What an earlier agent of the same controller left: a narrowed pinhole and the tally of its predecessor. */
function leftBehind(): KernelElement[] {
  const before = AgentBench.ready();
  before.ask(put(1, [any]));
  before.kernel.pass(ANY);
  before.ask(put(2, [narrow]));
  before.kernel.pass(NARROW);
  return [...before.kernel.held.values()].map(({ change, count }) => {
    const to = { address: address(ALICE), port: 20_000 };
    const isTally = change.element.set.startsWith("tally");
    const from = isTally
      ? { kind: "any" as const }
      : { kind: "host" as const, address: address(BOB) };
    const serial = isTally ? { serial: Number(change.element.key.split(" . ").at(-1)) } : {};
    return {
      element: change.element,
      label: change.label,
      count,
      opening: { from, to },
      ...serial,
    };
  });
}

function adopted(alive: boolean): AgentBench {
  const bench = new AgentBench();
  const elements = leftBehind();
  for (const { element, label: owner, count } of elements)
    bench.kernel.perform({
      kind: "apply",
      batch: 0,
      changes: [{ op: "add", element, label: owner, count }],
    });
  bench.kernel.answers.length = 0;
  bench.adopt({ alive, elements, strays: [] });
  bench.ask({ kind: "hello", version: 1, controller: "ss1" });
  return bench;
}

test("a restarted agent keeps holes that pass packets, with all their counts", () => {
  const bench = adopted(true);
  assert.deepEqual(bench.of("apply"), []);
  assert.deepEqual(bench.of("rebuild"), []);
  assert.deepEqual(bench.kernel.open(), [NARROW]);
  bench.kernel.pass(NARROW);
  assert.equal(bench.ask(put(2, [narrow]))?.ok, true);
  const reply = bench.close();
  assert.deepEqual(reply?.ok && [reply.counters, reply.exact], [
    { alice: { packets: 3, bytes: 300 } },
    true,
  ]);
  assert.equal(bench.kernel.held.size, 0);
});

test("a restarted agent opens nothing that the kernel had shut, and keeps what was counted", () => {
  const bench = adopted(false);
  assert.deepEqual(bench.kernel.open(), []);
  assert.equal(bench.kernel.held.size, 1, "the tally");
  bench.ask(put(2, [narrow]));
  bench.kernel.pass(NARROW);
  const reply = bench.close();
  assert.deepEqual(reply?.ok && reply.counters, { alice: { packets: 3, bytes: 300 } });
});

test("adopted sessions that nobody names end by their lease; nobody's elements go at once", () => {
  const bench = adopted(true);
  bench.pass(ADOPTED_LEASE_MS - 1);
  assert.deepEqual(bench.kernel.open(), [NARROW]);
  bench.pass(1);
  assert.deepEqual(bench.kernel.open(), []);
  assert.equal(bench.sent("session.expired").length, 1);

  const stray = new AgentBench();
  const element = filterElement({ kind: "any" }, { address: address(ALICE), port: 20_000 });
  stray.kernel.perform({ kind: "apply", batch: 0, changes: [{ op: "add", element, label }] });
  stray.adopt({ alive: true, elements: [], strays: [element] });
  assert.deepEqual(stray.kernel.open(), []);
});

test("new tallies never take an adopted one's number", () => {
  const to = { address: address(ALICE), port: 20_000 };
  const bench = new AgentBench();
  const opening = { from: { kind: "any" as const }, to };
  const count = { packets: 1, bytes: 1 };
  const kept = { element: tallyElement(to, 41), label, count, opening, serial: 41 };
  const hole = { element: filterElement(opening.from, to), label, count, opening };
  bench.adopt({ alive: false, elements: [hole, kept], strays: [] });
  assert.deepEqual([...bench.kernel.held.keys()], [`tally4 ${ALICE} . 20000 . 0x0000002a`]);
});

test("controllers hear of first packets once, of losses and of closed recordings", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { recording: RECORDED }));
  assert.deepEqual(bench.of("watch"), [{ kind: "watch", address: ALICE, port: 20_000 }]);
  const packet = { source: BOB, sourcePort: 9, destination: ALICE, destinationPort: 20_000 };
  bench.feed({ kind: "seen", packet });
  bench.feed({ kind: "seen", packet });
  bench.feed({ kind: "seen", packet: { ...packet, destinationPort: 7 } });
  assert.deepEqual(bench.sent("pinhole.active"), [
    { kind: "pinhole.active", session: "s1", pinhole: "alice" },
  ]);
  const gap = { reason: "capture restarted", fromMicros: 1, toMicros: 2 };
  bench.feed({ kind: "gap", ...gap });
  assert.deepEqual(bench.sent("loss"), [{ kind: "loss", session: "s1", ...gap }]);
  bench.close();
  const closed = {
    session: "s1",
    recording: RECORDED.recording,
    completeness: { kind: "complete" },
  };
  bench.feed({ kind: "recording-closed", ...closed });
  bench.feed({ kind: "recording-closed", ...closed });
  assert.deepEqual(bench.sent("recording.closed"), [{ kind: "recording.closed", ...closed }]);
});

test("of two pinholes to one destination each is told active for its own sender", () => {
  const bench = AgentBench.ready();
  const carol = "10.20.0.3";
  bench.ask(put(1, [pinhole("bob", { address: BOB }), pinhole("carol", { address: carol })]));
  const watches = bench.of("watch").length;
  const packet = { sourcePort: 9, destination: ALICE, destinationPort: 20_000 };
  bench.feed({ kind: "seen", packet: { ...packet, source: carol } });
  assert.equal(bench.of("watch").length, watches + 1, "bob is still waited for");
  bench.feed({ kind: "seen", packet: { ...packet, source: BOB } });
  assert.deepEqual(
    bench.sent("pinhole.active").map(({ pinhole: id }) => id),
    ["carol", "bob"],
  );
});

test("a recorder that lost its connection is told again what ended meanwhile, until it says that it closed it", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { recording: RECORDED }));
  bench.ask(put(1, [pinhole("b", {}, ALICE, 20_002)], { session: "s2" }));
  bench.feed({ kind: "recorder", connected: false });
  bench.kernel.pass(ANY);
  bench.close();
  bench.close("s2");
  const again = () => {
    const from = bench.effects.length;
    bench.feed({ kind: "recorder", connected: false });
    bench.feed({ kind: "recorder", connected: true });
    return bench.effects.slice(from);
  };
  const closed = bench.of("relay-close")[0];
  assert.deepEqual(again(), [
    { kind: "relay-order", order: "1", session: "s1", ...RECORDED },
    closed,
  ]);
  const { recording } = RECORDED;
  bench.feed({ kind: "recording-closed", session: "s1", recording, completeness: {} });
  assert.deepEqual(again(), []);
});

test("a closed session is remembered for its recording's end, not for ever", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { recording: RECORDED }));
  bench.close();
  bench.pass(AFTERLIFE_MS);
  bench.feed({
    kind: "recording-closed",
    session: "s1",
    recording: RECORDED.recording,
    completeness: {},
  });
  assert.deepEqual(bench.sent("recording.closed"), []);
  assert.equal(bench.machine.deadline(), undefined);
});

test("a controller that hung up hears nothing, and its sessions live on", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { leaseMs: 5_000 }));
  bench.feed({ kind: "disconnected", connection: 1 });
  assert.deepEqual(bench.kernel.open(), [ANY]);
  bench.pass(5_000);
  assert.deepEqual([bench.kernel.open(), bench.sent("session.expired")], [[], []]);
});

test("logs name sessions, never addresses, sealed orders or controllers", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { recording: RECORDED }));
  bench.ask(put(0, [any]));
  bench.close();
  const logged = JSON.stringify(bench.of("log"));
  for (const secret of [ALICE, RECORDED.sealedOrder, "ss1"])
    assert.equal(logged.includes(secret), false);
  assert.equal(logged.includes("session applied"), true);
});

test("a hole that a closing session still holds is waited for, in the order of what was asked", () => {
  const bench = AgentBench.ready();
  const other = { session: "s2" };
  bench.ask(put(1, [any]));
  const closing = bench.send({ kind: "session.close", session: "s1", reason: "bye" });
  const opening = bench.send(put(1, [any], other));
  const changing = bench.send(put(2, [narrow], other));
  assert.equal(bench.reply(opening), undefined, "not refused");
  bench.settle();
  assert.deepEqual(
    [closing, opening, changing].map((id) => bench.reply(id)?.ok),
    [true, true, true],
  );
  assert.deepEqual(bench.kernel.open(), [NARROW]);
});

test("of two that wait for one hole the first has it; a session that got nothing is none", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any]));
  bench.send({ kind: "session.close", session: "s1", reason: "bye" });
  const ids = ["s2", "s3"].map((session) => bench.send(put(1, [any], { session })));
  const late = bench.send({ kind: "session.close", session: "s3", reason: "cancelled" });
  bench.settle();
  const [first, second] = ids.map((id) => bench.reply(id));
  assert.equal(first?.ok, true);
  assert.deepEqual(error(second), ["ERR_CONTROL_STATE", "pinholes.0"]);
  assert.deepEqual(error(bench.reply(late)), ["ERR_CONTROL_STATE", "session"]);
  const health = bench.ask({ kind: "health" });
  assert.equal(health?.ok && health.health?.sessions, 1);
});

test("a session that waits for another's hole is closed if that is asked", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any]));
  bench.send({ kind: "session.close", session: "s1", reason: "bye" });
  bench.send(put(1, [any], { session: "s2" }));
  const closing = bench.send({ kind: "session.close", session: "s2", reason: "cancelled" });
  bench.settle();
  assert.equal(bench.reply(closing)?.ok, true);
  assert.deepEqual(bench.kernel.open(), []);
});

test("counts from before rules were lost are not called exact", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { recording: RECORDED }));
  bench.kernel.pass(ANY);
  bench.feed({ kind: "rules-lost" });
  const closed = bench.close();
  assert.deepEqual(closed?.ok && [closed.exact, closed.counters?.["alice"]?.packets], [false, 1]);
  assert.equal(bench.of("relay-close")[0]?.exact, false);
});

test("a session that a restarted agent closes unasked is closed at the recorder too, with its counts", () => {
  const bench = AgentBench.ready();
  bench.ask(put(1, [any], { recording: RECORDED }));
  bench.kernel.pass(ANY);
  bench.restart(true);
  bench.kernel.pass(ANY);
  bench.close();
  const to = { address: ALICE, port: 20_000 };
  assert.deepEqual(bench.of("relay-close").at(-1), {
    kind: "relay-close",
    session: "s1",
    reason: "bye",
    counters: { alice: { packets: 2, bytes: 200, to } },
    exact: true,
  });
});
