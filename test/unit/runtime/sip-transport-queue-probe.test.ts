import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BUSY_DATAGRAMS,
  PROBE_LOST_MS,
  QueueProbe,
} from "../../../runtime/sip-transport-queue-probe.ts";

function probed(address = "192.0.2.1") {
  const sent: { octets: Buffer; to: unknown }[] = [];
  const socket = {
    address: () => ({ address, family: "IPv4", port: 5060 }),
    send: (octets: Buffer, port: number, to: string) => void sent.push({ octets, to: [port, to] }),
  };
  const probe = new QueueProbe(socket as unknown as ConstructorParameters<typeof QueueProbe>[0]);
  const back = (nowMs: number): boolean =>
    probe.isBack(sent.at(-1)?.octets ?? Buffer.alloc(0), () => nowMs);
  return { probe, sent, back };
}

/** One that has had its first probe back at once. */
function working() {
  const made = probed();
  made.probe.delayMs(0, 0);
  assert.ok(made.back(0));
  return made;
}

test("the wait of the last probe, until the next is back", () => {
  const { probe, sent, back } = probed();
  assert.equal(probe.delayMs(0, 0), 0);
  assert.deepEqual(sent[0]?.to, [5060, "192.0.2.1"]);
  assert.ok(back(700));
  assert.equal(probe.delayMs(800, 0), 700);
  assert.ok(back(810));
  assert.equal(probe.delayMs(900, 0), 10);
  assert.equal(sent.length, 3);
});

test("a probe that is still out counts while others are read, and only then", () => {
  const { probe, sent } = working();
  probe.delayMs(0, 50);
  assert.equal(probe.delayMs(1_500, 50 + BUSY_DATAGRAMS), 1_500);
  assert.equal(probe.delayMs(1_500, 50), 0);
  assert.equal(sent.length, 2);
});

test("a lost probe is sent anew: a full queue is the longest wait, a packet filter none", () => {
  const { probe, sent, back } = working();
  probe.delayMs(0, 0);
  assert.equal(probe.delayMs(PROBE_LOST_MS, BUSY_DATAGRAMS), PROBE_LOST_MS);
  assert.equal(sent.length, 3);
  assert.equal(probe.delayMs(2 * PROBE_LOST_MS, BUSY_DATAGRAMS), 0);
  assert.ok(back(2 * PROBE_LOST_MS + 5));
  assert.equal(probe.delayMs(2 * PROBE_LOST_MS + 6, BUSY_DATAGRAMS), 5);
});

test("where no probe ever came back, none that is lost says anything", () => {
  const { probe } = probed();
  probe.delayMs(0, 0);
  assert.equal(probe.delayMs(1_500, BUSY_DATAGRAMS), 0);
  assert.equal(probe.delayMs(PROBE_LOST_MS, 2 * BUSY_DATAGRAMS), 0);
});

test("nothing else is taken for a probe", () => {
  const { probe, sent } = probed();
  probe.delayMs(0, 0);
  const forged = Buffer.from(sent[0]?.octets ?? []);
  forged.writeUInt8(forged.readUInt8(5) ^ 1, 5);
  assert.equal(
    probe.isBack(forged, () => 1),
    false,
  );
  assert.equal(
    probe.isBack(Buffer.from("OPTIONS"), () => 1),
    false,
  );
  assert.equal(
    probe.isBack(Buffer.alloc(0), () => 1),
    false,
  );
});

test("a socket for all addresses is reached over loopback", () => {
  for (const [own, near] of [
    ["0.0.0.0", "127.0.0.1"],
    ["::", "::1"],
    ["2001:db8::1", "2001:db8::1"],
  ] as const) {
    const { probe, sent } = probed(own);
    probe.delayMs(0, 0);
    assert.deepEqual(sent[0]?.to, [5060, near]);
  }
});
