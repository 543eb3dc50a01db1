import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_RATED_ADDRESSES, MessageRate } from "../../../runtime/sip-transport-rate.ts";

const admitted = (rate: MessageRate, address: string, nowMs: number, messages: number): number =>
  Array.from({ length: messages }, () => rate.admit(address, nowMs)).filter(Boolean).length;

test("an address may burst, then sends at its rate; another has its own bucket", () => {
  const rate = new MessageRate({ messagesPerSecond: 10, messageBurst: 5 });
  assert.equal(admitted(rate, "192.0.2.1", 0, 8), 5);
  assert.equal(admitted(rate, "192.0.2.2", 0, 8), 5);
  assert.equal(admitted(rate, "192.0.2.1", 99, 1), 0);
  assert.equal(admitted(rate, "192.0.2.1", 100, 3), 1);
  assert.equal(admitted(rate, "192.0.2.1", 60_000, 8), 5);
});

test("a stream pays later what it has sent too much", () => {
  const rate = new MessageRate({ messagesPerSecond: 10, messageBurst: 5 });
  assert.equal(rate.charge("192.0.2.1", 5, 0), 0);
  assert.equal(rate.charge("192.0.2.1", 20, 0), 2_000);
  assert.equal(rate.charge("192.0.2.1", 1, 2_100), 0);
});

test("without a limit nothing is remembered", () => {
  const rate = new MessageRate({
    messagesPerSecond: Number.POSITIVE_INFINITY,
    messageBurst: 1,
  });
  assert.equal(admitted(rate, "192.0.2.1", 0, 1_000), 1_000);
  assert.equal(rate.charge("192.0.2.1", 1_000, 0), 0);
  assert.equal(rate.size, 0);
});

test("a hundred thousand senders fill a bounded memory", () => {
  const rate = new MessageRate({ messagesPerSecond: 10, messageBurst: 5 });
  for (let sender = 0; sender < 100_000; sender += 1)
    assert.ok(rate.admit(`2001:db8::${sender.toString(16)}`, sender / 100));
  assert.equal(rate.size, MAX_RATED_ADDRESSES);
});
