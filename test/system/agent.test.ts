import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  ALICE,
  BOB,
  type ControlClient,
  flow,
  type Harness,
  openHarness,
  put,
  STRANGER,
} from "./agent-harness.ts";

let harness: Harness;
let client: ControlClient;

before(async () => {
  harness = await openHarness();
  await harness.startAgent();
  client = await harness.connect();
  await client.hello();
});
after(() => harness?.close());

test("media passes exactly through what was put, and is counted to the last packet", async () => {
  const { probes } = harness;
  const [bob, stranger] = [flow(BOB, ALICE), flow(STRANGER, ALICE)];
  const closedOnes = [flow(BOB, { ...ALICE, port: ALICE.port + 2 }), flow(ALICE, BOB)];
  assert.deepEqual(await probes.try([bob, stranger, ...closedOnes]), [false, false, false, false]);

  const first = await client.ask(put("call", 1, { alice: [{}, ALICE] }));
  assert.deepEqual(first, { kind: "reply", id: first.id, ok: true, applied: 1 });
  assert.deepEqual(await probes.try([bob, stranger, ...closedOnes]), [true, true, false, false]);

  const narrow = {
    alice: [{ address: BOB.address }, ALICE],
    bob: [{ address: ALICE.address }, BOB],
  } as const;
  const second = await client.ask(put("call", 2, narrow as never));
  assert.equal(second.ok && second.applied, 2);
  assert.deepEqual(await probes.try([bob, stranger, ...closedOnes]), [true, false, false, true]);

  const closed = await client.ask({
    kind: "session.close",
    session: "call",
    reason: "bye",
  } as never);
  const udp = 20 + 8 + 16;
  assert.deepEqual(closed, {
    kind: "reply",
    id: closed.id,
    ok: true,
    counters: { alice: { packets: 3, bytes: 3 * udp }, bob: { packets: 1, bytes: udp } },
    exact: true,
  });
  assert.deepEqual(await probes.try([bob, stranger, ...closedOnes]), [false, false, false, false]);
});
