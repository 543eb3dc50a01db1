/** What an agent meets that nobody meant: rules taken from its table, a long stop, fragments, odd names, many sessions. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { LabProcess } from "../../lab/lab-process.ts";
import {
  ALICE,
  BOB,
  type ControlClient,
  flow,
  type Harness,
  openHarness,
  put,
  STRANGER,
  waitFor,
} from "./agent-harness.ts";

const SEND = `
  const [address, port, bytes, count] = process.argv.slice(1);
  const socket = require("node:dgram").createSocket("udp4");
  socket.bind(0, async () => {
    for (let i = 0; i < count; i++)
      await new Promise((sent) => socket.send(Buffer.alloc(Number(bytes)), Number(port), address, sent));
    socket.close();
  });
`;
/** Sessions whose names together exceed one control line. */
const MANY = 2_000;
const PAST_DEAD_MAN_MS = 11_000;
/** Ends while the agent is stopped, after the dead-man element should have been renewed. */
const LEASE_MS = 6_000;
const bob = flow(BOB, ALICE);
const stranger = flow(STRANGER, ALICE);
const narrow = { alice: [{ address: BOB.address }, ALICE] } as const;

let harness: Harness;
let agent: LabProcess;
let client: ControlClient;

before(async () => {
  harness = await openHarness();
  agent = await harness.startAgent();
  client = await harness.connect();
  await client.hello();
});
afterEach(() => client.ask({ kind: "session.close", session: "call", reason: "test" }));
after(() => harness?.close());

/** Sends datagrams from bob and waits until they are out. */
function send(to: typeof ALICE, bytes: number, count: number): void {
  const argv = [process.execPath, "-e", SEND, to.address, ...[to.port, bytes, count].map(String)];
  harness.network.run("bob", argv);
}

for (const [what, argv] of [
  ["the table's rules", ["flush", "table", "inet", "keyhole"]],
  ["one chain's rules", ["flush", "chain", "inet", "keyhole", "forward"]],
] as const)
  test(`someone flushes ${what}: they are made anew at once, holes and counts stay`, async () => {
    await client.ask(put("call", 1, narrow));
    assert.deepEqual(await harness.probes.try([bob, stranger]), [true, false]);
    harness.nft(...argv);
    await waitFor("the rules", () =>
      harness.nft("list", "chain", "inet", "keyhole", "forward").includes("drop"),
    );
    assert.deepEqual(await harness.probes.try([bob, stranger]), [true, false]);
    const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
    assert.ok(closed.ok);
    assert.deepEqual([closed.counters?.["alice"]?.packets, closed.exact], [2, false]);
  });

test("a pinhole may be called as an object's own properties are", async () => {
  const ids = ["constructor", "toString", "hasOwnProperty"];
  const pinholes = Object.fromEntries(ids.map((id, n) => [id, [{}, at(n)] as const]));
  assert.equal((await client.ask(put("call", 1, pinholes))).ok, true);
  assert.deepEqual(await harness.probes.try(ids.map((_, n) => flow(BOB, at(n)))), [
    true,
    true,
    true,
  ]);
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  assert.deepEqual(
    closed.ok &&
      ids.map(
        (id) => Object.entries(closed.counters ?? {}).find(([name]) => name === id)?.[1].packets,
      ),
    [1, 1, 1],
  );
  const line = JSON.stringify({ ...put("call", 2, { p: [{}, ALICE] }), id: "proto" });
  client.write(`${line.replace('"id":"p"', '"id":"__proto__"')}\n`);
  const refused = await client.reply("proto");
  assert.equal(!refused.ok && refused.error.path, "pinholes.0.id");
});

const at = (n: number) => ({ ...ALICE, port: ALICE.port + 2 * n });

test("a hole may be asked for again while its last session is still being closed", async () => {
  await client.ask(put("old", 1, narrow));
  const [closed, opened] = await Promise.all([
    client.ask({ kind: "session.close", session: "old", reason: "bye" }),
    client.ask(put("call", 1, narrow)),
  ]);
  assert.deepEqual([closed.ok, opened.ok], [true, true]);
});

test("no part of a fragmented datagram is taken for media, and nobody else's are touched", async () => {
  const service = { ...ALICE, port: 5060 };
  const [media, other] = [ALICE, service].map(({ port }) => harness.startSink("alice", port));
  await client.ask(put("call", 1, { alice: [{}, ALICE] }));
  send(ALICE, 3000, 5);
  send(service, 3000, 5);
  send(ALICE, 1000, 5);
  assert.deepEqual([media?.received(), other?.received()], [5, 5]);
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  assert.equal(closed.ok && closed.counters?.["alice"]?.packets, 5);
});

test("a controller that comes back with nothing has all its sessions closed, however many", async () => {
  const name = (n: number) => `${String(n).padStart(40, "x")}`;
  for (let n = 0; n < MANY; n++)
    client.write(`${JSON.stringify({ ...put(name(n), 1, { p: [{}, at(n)] }), id: `n${n}` })}\n`);
  assert.equal((await client.reply(`n${MANY - 1}`)).ok, true);
  const again = await harness.connect();
  await again.hello();
  await again.ask({ kind: "sync.begin", epoch: "2" });
  const synced = await again.ask({ kind: "sync.end", count: 0 });
  assert.ok(synced.ok && synced.closedCount === MANY && (synced.closed?.length ?? 0) > 0);
  const health = await again.ask({ kind: "health" });
  assert.equal(health.ok && health.health?.sessions, 0);
});

test("an agent that was stopped beyond a lease opens nothing when it goes on", async () => {
  const to = at(50);
  const sink = harness.startSink("alice", to.port);
  const traffic = harness.startTraffic("bob", to, 10_000);
  await client.ask({ ...put("call", 1, { alice: [{}, to] }), leaseMs: LEASE_MS });
  agent.signal("SIGSTOP");
  await sleep(PAST_DEAD_MAN_MS);
  const passed = sink.received();
  agent.signal("SIGCONT");
  await client.event("session.expired");
  assert.deepEqual(await harness.probes.try([flow(BOB, to)]), [false]);
  traffic.kill();
  assert.ok(passed > 1000);
  assert.equal(sink.received(), passed);
});
