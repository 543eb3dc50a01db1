import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { LabProcess } from "../../lab/lab-process.ts";
import {
  ALICE,
  BOB,
  type ControlClient,
  childrenOf,
  flow,
  type Harness,
  openHarness,
  put,
  STRANGER,
  waitFor,
} from "./agent-harness.ts";

const DEAD_MAN_MS = 10_000;
const PROBE_BYTES = 20 + 8 + 16;
const bob = flow(BOB, ALICE);
const stranger = flow(STRANGER, ALICE);
const other = { ...ALICE, port: 20_100 };
const narrow = { alice: [{ address: BOB.address }, ALICE] } as const;

let harness: Harness;
let agent: LabProcess;
let client: ControlClient;

before(async () => {
  harness = await openHarness();
  agent = await harness.startAgent();
  client = await greet();
});
after(() => harness?.close());

async function greet(): Promise<ControlClient> {
  const fresh = await harness.connect();
  await fresh.hello();
  return fresh;
}

const tallies = () => harness.nft("list", "set", "inet", "keyhole", "tally4");

test("an agent that is killed and started again keeps holes and counts; what is not named again is closed", async () => {
  const { probes } = harness;
  await client.ask(put("call", 1, { alice: [{}, ALICE] }));
  await client.ask(put("left", 1, { alice: [{}, other] }));
  assert.deepEqual(await probes.try([bob, stranger]), [true, true]);
  await client.ask(put("call", 2, narrow));
  assert.deepEqual(await probes.try([bob]), [true]);
  await waitFor("the kernel's tally of the first pinhole", () =>
    /counter packets 2 [^}]*call alice"/.test(tallies()),
  );

  const sink = harness.startSink("alice", other.port);
  const traffic = harness.startTraffic("bob", other, 400);
  await waitFor("traffic", () => sink.received() > 0);
  agent.signal("SIGKILL");
  await agent.exited;
  assert.deepEqual(await probes.try([bob, stranger]), [true, false], "open while nobody is there");
  agent = await harness.startAgent();
  assert.deepEqual(await probes.try([bob, stranger]), [true, false], "open when it is back");
  client = await greet();

  await client.ask({ kind: "sync.begin", epoch: "2" });
  const again = await client.ask(put("call", 2, narrow));
  assert.equal(again.ok && again.applied, 2);
  const wrong = await client.ask({ kind: "sync.end", count: 2 });
  assert.equal(!wrong.ok && wrong.error.path, "count");
  const before = sink.received();
  await waitFor("more traffic: a wrong count closes nothing", () => sink.received() > before);
  const synced = await client.ask({ kind: "sync.end", count: 1 });
  assert.deepEqual(synced.ok && synced.closed, ["left"]);
  traffic.kill();
  assert.deepEqual(await probes.try([bob, flow(BOB, other)]), [true, false]);

  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  const counters = { alice: { packets: 6, bytes: 6 * PROBE_BYTES } };
  assert.deepEqual(closed.ok && [closed.counters, closed.exact], [counters, true]);
});

test("an agent that is killed before it hears a last count has told the kernel so, and no sum is called exact", async () => {
  const monitor = childrenOf(agent.pid).find(({ command }) => command.startsWith("nft monitor"));
  assert.ok(monitor);
  await client.ask(put("call", 1, { alice: [{}, ALICE] }));
  assert.deepEqual(await harness.probes.try([bob]), [true]);
  process.kill(monitor.pid, "SIGSTOP");
  await client.ask(put("call", 2, narrow));
  assert.match(tallies(), /counter packets 0 [^}]*call alice owed"/);
  agent.signal("SIGKILL");
  await agent.exited;
  assert.deepEqual(await harness.probes.try([bob]), [true]);
  agent = await harness.startAgent();
  client = await greet();
  await client.ask(put("call", 2, narrow));
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  assert.deepEqual(closed.ok && [closed.counters?.["alice"]?.packets, closed.exact], [1, false]);
  assert.doesNotMatch(tallies(), /elements/);
});

test("no packet of a running call is lost to a restart of the agent", async () => {
  const sink = harness.startSink("alice", ALICE.port);
  await client.ask(put("call", 1, narrow));
  const traffic = harness.startTraffic("bob", ALICE, 1000);
  await waitFor("traffic", () => sink.received() > 0);
  agent.signal("SIGKILL");
  await agent.exited;
  agent = await harness.startAgent();
  client = await greet();
  await client.ask(put("call", 1, narrow));
  await waitFor("traffic before and after", () => sink.received() > 500);
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  traffic.kill();
  const received = sink.received();
  assert.equal(closed.ok && closed.counters?.["alice"]?.packets, received);
  assert.match(harness.nft("list", "counter", "inet", "keyhole", "refused"), /packets \d+/);
  assert.equal(closed.ok && closed.exact, true);
});

test("asked to end it ends at once, and leaves the holes to its successor, and no count owed", async () => {
  await client.ask(put("call", 1, { alice: [{}, ALICE] }));
  assert.deepEqual(await harness.probes.try([stranger]), [true]);
  await client.ask(put("call", 2, narrow));
  const { code, signal } = await agent.stop("SIGTERM");
  assert.deepEqual([code, signal], [0, null]);
  assert.deepEqual(await harness.probes.try([bob, stranger]), [true, false]);
  agent = await harness.startAgent();
  client = await greet();
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  assert.deepEqual(closed.ok && [closed.counters?.["alice"]?.packets, closed.exact], [2, true]);
});

test("a lease that is not renewed closes its session, with an event", async () => {
  await client.ask({ ...put("brief", 1, { alice: [{}, other] }), leaseMs: 1000 });
  assert.deepEqual(await harness.probes.try([flow(BOB, other)]), [true]);
  const expired = await client.event("session.expired");
  assert.deepEqual([expired.session, expired.counters["alice"]?.packets], ["brief", 1]);
  assert.deepEqual(await harness.probes.try([flow(BOB, other)]), [false]);
});

test("killed nft processes are started again, and nothing is lost but exactness", async () => {
  await client.ask(put("call", 1, narrow));
  for (const { pid, command } of childrenOf(agent.pid))
    if (command.startsWith("nft ")) process.kill(pid, "SIGKILL");
  const [opened, next] = await Promise.all([
    client.ask(put("more", 1, { alice: [{}, other] })),
    client.ask(put("call", 2, { alice: [{}, ALICE] })),
  ]);
  assert.deepEqual([opened.ok, next.ok], [true, true]);
  assert.deepEqual(await harness.probes.try([bob, flow(STRANGER, other)]), [true, true]);
  for (const session of ["more", "call"])
    await client.ask({ kind: "session.close", session, reason: "test" });
  assert.deepEqual(await harness.probes.try([bob, flow(STRANGER, other)]), [false, false]);
});

test("a table that someone else flushed is made anew, and what it lost is not called exact", async () => {
  await client.ask(put("call", 1, narrow));
  harness.nft("flush", "ruleset");
  const isBack = () => {
    try {
      return harness.nft("list", "set", "inet", "keyhole", "peer4").includes(ALICE.address);
    } catch {
      return false;
    }
  };
  await waitFor("the table", isBack);
  await waitFor("the dead-man element", () =>
    harness.nft("list", "set", "inet", "keyhole", "alive").includes("udp"),
  );
  assert.deepEqual(await harness.probes.try([bob, stranger]), [true, false]);
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "test" });
  assert.equal(closed.ok && closed.exact, false);
});

test("the agent is dead: the kernel closes every hole by itself, and a late successor opens none of them", async () => {
  const { probes } = harness;
  await client.ask(put("call", 1, narrow));
  assert.deepEqual(await probes.try([bob]), [true]);
  agent.signal("SIGKILL");
  await agent.exited;
  const diedAt = Date.now();
  assert.deepEqual(await probes.try([bob]), [true], "not at once");
  let isOpen = true;
  let lastPassedMs = 0;
  while (isOpen && lastPassedMs < DEAD_MAN_MS) {
    await sleep(250);
    const askedMs = Date.now() - diedAt;
    [isOpen = true] = await probes.try([bob]);
    if (isOpen) lastPassedMs = askedMs;
  }
  assert.ok(lastPassedMs < DEAD_MAN_MS, `a packet sent after ${lastPassedMs} ms passed`);
  const closedAfterMs = Date.now() - diedAt;
  assert.ok(closedAfterMs > 4_000, `a restart has its time: ${closedAfterMs} ms`);

  agent = await harness.startAgent();
  assert.deepEqual(await probes.try([bob]), [false], "opened by nobody's wish");
  client = await greet();
  await client.ask(put("call", 1, narrow));
  const [again] = await probes.try([bob]);
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  assert.equal(again, true);
  assert.ok(closed.ok && closed.exact && (closed.counters?.["alice"]?.packets ?? 0) >= 3);
});
