import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { rightsOf } from "../../lab/gateway.ts";
import type { LabProcess } from "../../lab/lab-process.ts";
import type { Network } from "../../lab/network.ts";
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

const PROBE_BYTES = 20 + 8 + 16;
/** 30 ms on an idle machine, far more on a busy one; to start a capture anew would take seconds there. */
const RESTART_MS = 3_000;
const RECORDING = {
  recording: { recording: "3f2b6c1e-8f0a-4f6e-9a44-1d2f3c4b5a69", sealedOrder: "c2VhbGVk" },
};
const bob = flow(BOB, ALICE);
const stranger = flow(STRANGER, ALICE);

/** Gives alice, bob and the gateway between them IPv6 addresses. */
/** Without a link-local address that is past its duplicate check a router asks for no neighbour. */
async function addSix(network: Network): Promise<void> {
  const ip = (host: "alice" | "bob" | "gateway", ...argv: string[]) =>
    network.run(host, ["ip", "-6", ...argv]);
  for (const [host, net] of [
    ["alice", 10],
    ["bob", 20],
  ] as const) {
    ip("gateway", "address", "add", `2001:db8:${net}::1/64`, "dev", host, "nodad");
    ip(host, "address", "add", `2001:db8:${net}::2/64`, "dev", "eth0", "nodad");
    ip(host, "route", "add", "default", "via", `2001:db8:${net}::1`);
  }
  network.run("gateway", ["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]);
  for (const [at, device] of [
    ["gateway", "alice"],
    ["gateway", "bob"],
    ["alice", "eth0"],
    ["bob", "eth0"],
  ] as const)
    await waitFor("link-local address", () => {
      const links = network.run(at, [
        "ip",
        "-6",
        "address",
        "show",
        "dev",
        device,
        "scope",
        "link",
      ]);
      return links.includes("inet6") && !links.includes("tentative");
    });
}

let harness: Harness;
let agent: LabProcess;
let client: ControlClient;

before(async () => {
  harness = await openHarness();
  agent = await harness.startAgent();
  client = await harness.connect();
  await client.hello();
});
afterEach(async () => {
  await client.ask({ kind: "session.close", session: "call", reason: "test" });
  harness.recorder.answer = "accepted";
});
after(() => harness?.close());

test("media passes exactly through what was put, and is counted to the last packet", async () => {
  const { probes } = harness;
  const flows = [bob, stranger, flow(BOB, { ...ALICE, port: ALICE.port + 2 }), flow(ALICE, BOB)];
  assert.deepEqual(await probes.try(flows), [false, false, false, false]);

  const first = await client.ask(put("call", 1, { alice: [{}, ALICE] }));
  assert.deepEqual(first, { kind: "reply", id: first.id, ok: true, applied: 1 });
  assert.deepEqual(await probes.try(flows), [true, true, false, false]);

  const second = await client.ask(
    put("call", 2, {
      alice: [{ address: BOB.address }, ALICE],
      bob: [{ address: ALICE.address }, BOB],
    }),
  );
  assert.equal(second.ok && second.applied, 2);
  assert.deepEqual(await probes.try(flows), [true, false, false, true]);

  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  assert.deepEqual(closed, {
    kind: "reply",
    id: closed.id,
    ok: true,
    counters: {
      alice: { packets: 3, bytes: 3 * PROBE_BYTES },
      bob: { packets: 1, bytes: PROBE_BYTES },
    },
    exact: true,
  });
  assert.deepEqual(await probes.try(flows), [false, false, false, false]);
});

test("a pinhole for one socket admits no other port", async () => {
  await client.ask(put("call", 1, { alice: [BOB, ALICE] }));
  const otherPort = flow({ ...BOB, port: BOB.port + 1 }, ALICE);
  assert.deepEqual(await harness.probes.try([bob, otherPort, stranger]), [true, false, false]);
});

test("IPv6 is the same: any host, one host, one socket", async () => {
  const { network, recorder } = harness;
  const [alice6, bob6] = ["2001:db8:10::2", "2001:db8:20::2"];
  await addSix(network);
  const sink = harness.startSink("alice", 26_000);
  const to = { address: alice6, port: 26_000 };
  const copies = () => recorder.captured().filter(({ destination }) => destination === alice6);
  const traffic = harness.startTraffic("bob", to, 400);
  await sleep(300);
  assert.equal(sink.received(), 0);
  for (const [revision, from] of [{}, { address: bob6 }].entries()) {
    const before = copies().length;
    const reply = await client.ask(put("call", revision + 1, { alice: [from, to] }));
    assert.equal(reply.ok, true);
    await waitFor("copies", () => copies().length > before + 100);
  }
  await client.ask(put("call", 3, { alice: [{ address: bob6, port: 9 }, to] }));
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  traffic.kill();
  assert.ok(closed.ok && closed.exact);
  const { packets } = closed.counters?.["alice"] ?? {};
  assert.equal(sink.received(), packets);
  await waitFor("every copy", () => copies().length === packets);
});

test("what is no UDP of the realm's media ports is left alone", async () => {
  const ports = [5060, 53, 16_383].map((port) => flow(BOB, { ...ALICE, port }));
  assert.deepEqual(await harness.probes.try(ports), [true, true, true]);
});

test("a refused put changes nothing", async () => {
  await client.ask(put("call", 1, { alice: [{ address: BOB.address }, ALICE] }));
  const rules = () => harness.nft("list", "set", "inet", "keyhole", "peer4");
  const before = rules();
  const refused = [
    [put("call", 2, { alice: [{}, ALICE], far: [{}, BOB] }), "ERR_CONTROL_REALM", "pinholes.1"],
    [
      put("call", 2, { a: [{}, { ...ALICE, port: 1023 }] }),
      "ERR_CONTROL_REALM",
      "pinholes.0.to.port",
    ],
    [
      put("call", 2, { a: [{}, { ...ALICE, address: "127.0.0.1" }] }),
      "ERR_CONTROL_REALM",
      "pinholes.0.to.address",
    ],
    [
      put("call", 2, { a: [{ address: "224.0.0.1" }, ALICE] }),
      "ERR_CONTROL_REALM",
      "pinholes.0.from.address",
    ],
    [put("other", 1, { a: [{}, ALICE] }), "ERR_CONTROL_STATE", "pinholes.0"],
    [{ ...put("call", 2, {}), colour: 1 }, "ERR_CONTROL_VALUE", "colour"],
  ] as const;
  for (const [request, code, path] of refused) {
    const reply = await client.ask(request);
    assert.ok(!reply.ok);
    assert.deepEqual([reply.error.code, reply.error.path], [code, path]);
  }
  assert.equal(rules(), before);
  assert.deepEqual(await harness.probes.try([bob, stranger]), [true, false]);
});

test("a malformed or oversized line costs an error, not the connection or a session", async () => {
  await client.ask(put("call", 1, { alice: [{}, ALICE] }));
  for (const [line, code] of [
    ["{not json}\n", "ERR_CONTROL_SYNTAX"],
    [`${"x".repeat(200_000)}\n`, "ERR_CONTROL_LIMIT"],
    [Buffer.from([0xff, 0xfe, 0x0a]), "ERR_CONTROL_SYNTAX"],
    ['{"kind":"session.put","id":null}\n', "ERR_CONTROL_VALUE"],
  ] as const) {
    const seen = client.messages.length;
    client.write(line);
    const reply = await waitFor("an error", () => client.messages[seen]);
    assert.ok(reply.kind === "reply" && !reply.ok);
    assert.equal(reply.error.code, code);
  }
  assert.equal(client.isOpen, true);
  assert.deepEqual(await harness.probes.try([bob]), [true]);
  const health = await client.ask({ kind: "health" });
  assert.deepEqual(health.ok && health.health, {
    firewall: true,
    capture: true,
    recorder: true,
    sessions: 1,
    pinholes: 1,
  });
});

test("exactly the admitted packets reach the recorder, whose order comes before them", async () => {
  const { recorder, probes } = harness;
  const to = { ...ALICE, port: 22_000 }; // a port of its own: copies come up to a second late
  const [admitted, dropped] = [flow(BOB, to), flow(STRANGER, to)];
  const seen = recorder.messages.length;
  const copies = () =>
    recorder.captured().filter(({ destinationPort }) => destinationPort === to.port);
  const pinholes = { alice: [{ address: BOB.address }, to] } as const;
  const reply = await client.ask(put("call", 1, pinholes, RECORDING));
  assert.equal(reply.ok && reply.recording, "accepted");
  await probes.try([admitted, dropped, admitted, dropped, admitted]);
  await waitFor("three copies", () => copies().length >= 3);
  const told = recorder.messages.slice(seen).map(({ kind }) => kind);
  assert.equal(told.filter((kind) => kind === "order" || kind === "batch")[0], "order");
  assert.equal((await client.event("pinhole.active")).pinhole, "alice");

  await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  await waitFor("close", () => recorder.of("close").at(-1)?.reason === "bye");
  assert.deepEqual(
    copies().map(({ source, destination }) => [source, destination]),
    Array(3).fill([BOB.address, ALICE.address]),
  );
  assert.deepEqual(recorder.of("close").at(-1), {
    kind: "close",
    session: "call",
    reason: "bye",
    counters: { alice: { packets: 3, bytes: 3 * PROBE_BYTES, to } },
    exact: true,
  });
});

test("the last count is exact while packets keep coming: each passed, counted and copied packet is one", async () => {
  const { recorder } = harness;
  const to = { ...ALICE, port: 24_000 };
  const traffic = harness.startTraffic("bob", to, 4000);
  const sink = harness.startSink("alice", to.port);
  const copies = () =>
    recorder.captured().filter(({ destinationPort }) => destinationPort === to.port);
  await client.ask(put("call", 1, { alice: [{}, to] }, RECORDING));
  await waitFor("traffic", () => copies().length > 1000);
  await client.ask(put("call", 2, { alice: [{ address: BOB.address }, to] }, RECORDING));
  await waitFor("more traffic", () => copies().length > 2000);
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  traffic.kill();
  assert.ok(closed.ok && closed.exact === true);
  const { packets = 0 } = closed.counters?.["alice"] ?? {};
  assert.ok(packets > 2000);
  await waitFor("every copy", () => copies().length >= packets);
  assert.equal(copies().length, packets);
  assert.equal(sink.received(), packets);
});

test("a controller that restarts puts its session again as it was: no second order, the counts go on", async () => {
  const { recorder, probes } = harness;
  const to = { ...ALICE, port: 25_000 };
  const wanted = put("call", 1, { alice: [{}, to] }, RECORDING);
  await client.ask(wanted);
  assert.deepEqual(await probes.try([flow(BOB, to)]), [true]);
  const [orders, closes] = [recorder.of("order").length, recorder.of("close").length];
  client.close();
  client = await harness.connect();
  await client.hello();
  await client.ask({ kind: "sync.begin", epoch: "2" });
  const again = await client.ask(wanted);
  assert.deepEqual(again.ok && [again.applied, again.recording], [1, "accepted"]);
  const synced = await client.ask({ kind: "sync.end", count: 1 });
  assert.deepEqual(synced.ok && synced.closed, []);
  assert.deepEqual(await probes.try([flow(STRANGER, to)]), [true]);
  const closed = await client.ask({ kind: "session.close", session: "call", reason: "bye" });
  assert.deepEqual(closed.ok && [closed.counters?.["alice"]?.packets, closed.exact], [2, true]);
  await waitFor("close", () => recorder.of("close").length > closes);
  assert.equal(recorder.of("order").length, orders);
});

test("a recorder that refuses or does not answer is told in the reply; who must be recorded gets no hole", async () => {
  const { recorder, probes } = harness;
  recorder.answer = { refused: "no such controller" };
  const refused = await client.ask(put("call", 1, { alice: [{}, ALICE] }, RECORDING));
  assert.deepEqual(refused.ok && refused.recording, { refused: "no such controller" });
  await client.ask({ kind: "session.close", session: "call", reason: "test" });

  recorder.answer = undefined;
  const silent = await client.ask(put("call", 1, { alice: [{}, ALICE] }, RECORDING));
  assert.deepEqual(silent.ok && silent.recording, { refused: "recorder did not answer" });
  await client.ask({ kind: "session.close", session: "call", reason: "test" });

  const required = { recording: { ...RECORDING.recording, required: true } };
  const reply = await client.ask(put("call", 1, { alice: [{}, ALICE] }, required));
  assert.deepEqual(!reply.ok && reply.error.path, "recording");
  assert.deepEqual(await probes.try([bob]), [false]);
});

test("a killed capture is back within a moment, its gap is stated, no hole closes", async () => {
  const { recorder, probes } = harness;
  recorder.messages.length = 0;
  await client.ask(put("call", 1, { alice: [{}, ALICE] }, RECORDING));
  await probes.try([bob]);
  const [capture] = childrenOf(agent.pid).filter(({ command }) =>
    command.includes("capture-child"),
  );
  assert.ok(capture, "the first started captures, the second stands by");
  const killedAt = Date.now();
  process.kill(capture.pid, "SIGKILL");
  assert.deepEqual(await probes.try([bob]), [true]);
  const gap = await waitFor("gap", () => recorder.of("gap")[0]);
  const loss = await client.event("loss");
  assert.equal(gap.reason, "capture restarted");
  assert.deepEqual([loss.fromMicros, loss.toMicros], [gap.fromMicros, gap.toMicros]);
  assert.ok(gap.fromMicros <= killedAt * 1000 && gap.toMicros >= killedAt * 1000);
  assert.ok(gap.toMicros / 1000 - killedAt < RESTART_MS, "ready again within a moment");

  const before = recorder.captured().length;
  await probes.try([bob, bob]);
  await waitFor("copies again", () => recorder.captured().length >= before + 2);
});

test("the agent keeps CAP_NET_ADMIN alone, and so do its children", () => {
  const netAdmin = 1n << 12n;
  const children = childrenOf(agent.pid);
  assert.ok(children.length >= 3, "nft, its monitor and the capture");
  for (const pid of [agent.pid, ...children.map((child) => child.pid)]) {
    const { uid, capabilities, noNewPrivileges } = rightsOf(pid);
    const { effective, permitted, bounding, ambient } = capabilities;
    assert.deepEqual([effective, permitted, bounding, ambient], Array(4).fill(netAdmin));
    assert.deepEqual([uid, noNewPrivileges], [6102, true]);
  }
});
