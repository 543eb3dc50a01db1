import assert from "node:assert/strict";
import { test } from "node:test";
import { type Claim, Claims, overlaps } from "../../../agent/core/claims.ts";
import type { Source } from "../../../agent/core/element.ts";
import { parseAddress } from "../../../protocol/net/address.ts";

const host = (address: string): Source => ({ kind: "host", address: parseAddress(address) });
const socket = (address: string, port: number): Source => ({
  kind: "socket",
  address: parseAddress(address),
  port,
});
const opening = (from: Source, port = 20_000) => ({
  from,
  to: { address: parseAddress("10.10.0.2"), port },
});
const any: Source = { kind: "any" };

test("two pinholes overlap if one packet could pass through both", () => {
  const cases: [Source, Source, boolean][] = [
    [any, any, true],
    [any, host("10.20.0.2"), true],
    [any, socket("10.20.0.2", 1), true],
    [host("10.20.0.2"), host("10.20.0.2"), true],
    [host("10.20.0.2"), host("10.20.0.3"), false],
    [host("10.20.0.2"), socket("10.20.0.2", 1), true],
    [host("10.20.0.2"), socket("10.20.0.3", 1), false],
    [socket("10.20.0.2", 1), socket("10.20.0.2", 1), true],
    [socket("10.20.0.2", 1), socket("10.20.0.2", 2), false],
  ];
  for (const [left, right, expected] of cases) {
    assert.equal(overlaps(opening(left), opening(right)), expected);
    assert.equal(overlaps(opening(right), opening(left)), expected);
    assert.equal(overlaps(opening(left), opening(right, 20_001)), false);
  }
});

test("claims conflict with other sessions' alone, and are free again when deleted", () => {
  const claims = new Claims();
  const claim: Claim = { ...opening(host("10.20.0.2")), session: "a", pinhole: "p" };
  claims.add(claim);
  claims.add({ ...opening(host("10.20.0.3")), session: "a", pinhole: "q" });
  assert.equal(claims.size, 2);
  assert.equal(claims.conflict(opening(any), "b"), claim);
  assert.equal(claims.conflict(opening(any), "a"), undefined);
  assert.equal(claims.conflict(opening(host("10.20.0.4")), "b"), undefined);
  claims.delete(claim);
  claims.delete(claim);
  assert.equal(claims.size, 1);
  assert.equal(claims.conflict(opening(host("10.20.0.2")), "b"), undefined);
});
