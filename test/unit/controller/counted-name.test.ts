import assert from "node:assert/strict";
import { test } from "node:test";
import { COUNTED_NAME_MAX_LENGTH, countedName } from "../../../controller/core/counted-name.ts";
import { GuessLimit, MAX_GUESSES } from "../../../controller/core/guess-limit.ts";
import { RateLimit } from "../../../controller/core/rate-limit.ts";
import { NOW } from "./register-fixture.ts";

const LONG = "a".repeat(30_000);

test("a name costs so much memory and no more, and is still its own", () => {
  const longest = "a".repeat(COUNTED_NAME_MAX_LENGTH);
  assert.equal(countedName(longest), longest);
  assert.ok(countedName(`${longest}a`).length <= COUNTED_NAME_MAX_LENGTH);
  assert.notEqual(countedName(`${LONG}a`), countedName(`${LONG}b`));
  assert.equal(countedName(LONG), countedName(LONG));
});

for (const [name, count] of [
  ["rates", () => new RateLimit().take(LONG, 1, NOW)],
  ["guesses", () => new GuessLimit().wrong("192.0.2.1", LONG, NOW)],
] as const)
  test(`${name}: no map keeps what a stranger sent at its length`, (context) => {
    const kept: number[] = [];
    const set = Map.prototype.set;
    function noted(this: Map<unknown, unknown>, key: unknown, value: unknown) {
      kept.push(String(key).length);
      return set.call(this, key, value);
    }
    context.mock.method(Map.prototype, "set", noted);
    count();
    assert.ok(kept.length > 0 && Math.max(...kept) <= COUNTED_NAME_MAX_LENGTH);
  });

test("long names are counted each for itself", () => {
  const rates = new RateLimit();
  assert.equal(rates.take(LONG, 1, NOW), undefined);
  assert.equal(rates.take(LONG, 1, NOW), 60);
  assert.equal(rates.take(`${LONG}b`, 1, NOW), undefined);
  const guesses = new GuessLimit();
  for (let guess = 0; guess < MAX_GUESSES; guess += 1) guesses.wrong("192.0.2.1", LONG, NOW);
  assert.equal(guesses.isExhausted("192.0.2.1", LONG, NOW), true);
  assert.equal(guesses.isExhausted("192.0.2.1", `${LONG}b`, NOW), false);
  guesses.right("192.0.2.1", LONG);
  assert.equal(guesses.isExhausted("192.0.2.1", LONG, NOW), false);
});
