import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_LIMITED_NAMES, RateLimit } from "../../../controller/core/rate-limit.ts";

const NOW = 1_000_000;
const MINUTE_MS = 60_000;

test("a minute's worth at once, then evenly, each name for itself", () => {
  const limit = new RateLimit();
  for (let count = 0; count < 6; count += 1) assert.equal(limit.take("a", 6, NOW), undefined);
  assert.equal(limit.take("a", 6, NOW), 10);
  assert.equal(limit.take("a", 6, NOW + 9_500), 1);
  assert.equal(limit.take("a", 6, NOW + 10_000), undefined);
  assert.equal(limit.take("a", 6, NOW + 10_000), 10);
  assert.equal(limit.take("b", 6, NOW), undefined);
});

test("what is not used gathers up to a minute's worth, and no more", () => {
  const limit = new RateLimit();
  assert.equal(limit.take("a", 2, NOW), undefined);
  const later = NOW + 60 * MINUTE_MS;
  assert.equal(limit.take("a", 2, later), undefined);
  assert.equal(limit.take("a", 2, later), undefined);
  assert.equal(limit.take("a", 2, later), 30);
});

test("another limit counts at once, and a clock that goes back gives nothing", () => {
  const limit = new RateLimit();
  for (let count = 0; count < 3; count += 1) limit.take("a", 3, NOW);
  assert.equal(limit.take("a", 1, NOW), 60);
  assert.equal(limit.take("a", 3, NOW - MINUTE_MS), 20);
});

test("so many names are counted; the one heard of longest ago is forgotten first", () => {
  const limit = new RateLimit();
  limit.take("busy", 1, NOW);
  limit.take("idle", 1, NOW);
  for (let count = 0; count < MAX_LIMITED_NAMES - 1; count += 1) {
    if (count === 100) assert.equal(limit.take("busy", 1, NOW), 60);
    limit.take(`other ${count}`, 1, NOW);
  }
  assert.equal(limit.size, MAX_LIMITED_NAMES);
  assert.equal(limit.take("busy", 1, NOW), 60);
  assert.equal(limit.take("idle", 1, NOW), undefined);
});

test("however the times fall, no minute lets through more than two minutes' worth", () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 200 });
  fc.assert(
    fc.property(gaps, fc.integer({ min: 1, max: 20 }), (steps, perMinute) => {
      const limit = new RateLimit();
      const allowed: number[] = [];
      let now = NOW;
      for (const step of steps) {
        now += step;
        if (limit.take("a", perMinute, now) === undefined) allowed.push(now);
      }
      for (const start of allowed) {
        const within = allowed.filter((at) => at >= start && at < start + MINUTE_MS);
        assert.ok(within.length <= 2 * perMinute);
      }
    }),
  );
});
