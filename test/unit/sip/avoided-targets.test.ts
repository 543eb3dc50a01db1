/** Dead servers are asked last for a while (RFC 3263 §4.3), in bounded memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AvoidedTargets, DEAD_MS, MAX_AVOIDED } from "../../../protocol/sip/avoided-targets.ts";
import type { Target } from "../../../protocol/sip/flow.ts";

const target = (address: string, port = 5060): Target => ({ transport: "udp", address, port });
const [a, b, c] = [target("192.0.2.1"), target("192.0.2.2"), target("2001:db8::3")];

test("a dead server comes last until its time is over", () => {
  const avoided = new AvoidedTargets();
  avoided.avoid(a, undefined, 0);
  assert.deepEqual(avoided.order([a, b, c], DEAD_MS - 1), [b, c, a]);
  assert.deepEqual(avoided.order([a, b, c], DEAD_MS), [a, b, c]);
  assert.equal(avoided.size, 0);
});

test("one that asks for rest gets what it asked for", () => {
  const avoided = new AvoidedTargets();
  avoided.avoid(b, 5, 0);
  assert.deepEqual(avoided.order([b, a], 4_999), [a, b]);
  assert.deepEqual(avoided.order([b, a], 5_000), [b, a]);
});

test("where all are dead, all are tried, in their order", () => {
  const avoided = new AvoidedTargets();
  for (const each of [c, b, a]) avoided.avoid(each, undefined, 0);
  assert.deepEqual(avoided.order([a, b, c], 1), [a, b, c]);
  assert.deepEqual(avoided.order([a], 1), [a]);
});

test("another port or transport of the same host is another server", () => {
  const avoided = new AvoidedTargets();
  avoided.avoid(a, undefined, 0);
  const others = [target("192.0.2.1", 5070), { ...a, transport: "tcp" } as const, b];
  assert.deepEqual(avoided.order(others, 1), others);
});

test("memory is bounded: the first noted goes", () => {
  const avoided = new AvoidedTargets();
  for (let port = 1; port <= MAX_AVOIDED + 10; port += 1)
    avoided.avoid(target("192.0.2.9", port), undefined, 0);
  assert.equal(avoided.size, MAX_AVOIDED);
  const [first, last] = [target("192.0.2.9", 1), target("192.0.2.9", MAX_AVOIDED + 10)];
  assert.deepEqual(avoided.order([last, first], 1), [first, last]);
});
