import assert from "node:assert/strict";
import { test } from "node:test";
import {
  GUESS_WINDOW_MS,
  GuessLimit,
  MAX_ADDRESS_GUESSES,
  MAX_GUESSERS,
  MAX_GUESSES,
} from "../../../controller/core/guess-limit.ts";
import { NOW } from "./register-fixture.ts";

const [HERE, THERE] = ["192.0.2.1", "192.0.2.2"];

test("so many wrong guesses, and no more are looked at until the time is over", () => {
  const limit = new GuessLimit();
  for (let guess = 0; guess < MAX_GUESSES; guess += 1) {
    assert.equal(limit.isExhausted(HERE, "alice", NOW + guess), false);
    limit.wrong(HERE, "alice", NOW + guess);
  }
  assert.equal(limit.isExhausted(HERE, "alice", NOW + GUESS_WINDOW_MS - 1), true);
  assert.equal(limit.isExhausted(THERE, "alice", NOW), false, "from elsewhere");
  assert.equal(limit.isExhausted(HERE, "bob", NOW), false, "another user");
  assert.equal(limit.isExhausted(HERE, "alice", NOW + GUESS_WINDOW_MS), false);
  limit.wrong(HERE, "alice", NOW + GUESS_WINDOW_MS);
  assert.equal(limit.isExhausted(HERE, "alice", NOW + GUESS_WINDOW_MS), false, "begins anew");
});

test("the right password forgives what was mistyped", () => {
  const limit = new GuessLimit();
  for (let guess = 0; guess < MAX_GUESSES - 1; guess += 1) limit.wrong(HERE, "alice", NOW);
  limit.right(HERE, "alice");
  limit.wrong(HERE, "alice", NOW);
  assert.equal(limit.isExhausted(HERE, "alice", NOW), false);
});

test("nor can an address guess for ever by changing the name, or by being right once for itself", () => {
  const limit = new GuessLimit();
  for (let guess = 0; guess < MAX_ADDRESS_GUESSES; guess += 1) {
    assert.equal(limit.isExhausted(HERE, "alice", NOW), false);
    limit.wrong(HERE, `${guess}`, NOW);
    limit.right(HERE, `${guess}`);
  }
  assert.equal(limit.isExhausted(HERE, "alice", NOW), true);
  assert.equal(limit.isExhausted(THERE, "alice", NOW), false);
  assert.equal(limit.isExhausted(HERE, "alice", NOW + GUESS_WINDOW_MS), false);
});

test("what is counted is bounded, and goes with its time", () => {
  const limit = new GuessLimit();
  for (let n = 0; n < MAX_GUESSERS + 5; n += 1) limit.wrong(`2001:db8::${n}`, "alice", NOW);
  assert.equal(limit.size, 2 * MAX_GUESSERS);
  limit.wrong(HERE, "late", NOW + GUESS_WINDOW_MS);
  assert.equal(limit.size, 2);
});
