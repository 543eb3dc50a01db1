import assert from "node:assert/strict";
import { test } from "node:test";
import { Pending } from "../../../controller/core/pending.ts";

test("what waits is taken once, by its name", () => {
  const pending = new Pending<string>("x ", 2, 100);
  const first = pending.add("one", 0);
  const second = pending.add("two", 50);
  assert.notEqual(first, second);
  assert.equal(pending.isFull, true);
  assert.equal(pending.add("three", 50), undefined);
  assert.equal(pending.take(first ?? ""), "one");
  assert.equal(pending.take(first ?? ""), undefined);
  assert.equal(pending.size, 1);
  assert.equal(pending.deadline(), 150);
  assert.notEqual(pending.add("three", 50), first, "a name is not given again");
});

test("what waited too long is taken at its time, the rest is not", () => {
  const pending = new Pending<string>("x ", 9, 100);
  pending.add("one", 0);
  pending.add("two", 50);
  assert.deepEqual(pending.takeDue(99), []);
  assert.deepEqual(pending.takeDue(100), ["one"]);
  assert.equal(pending.deadline(), 150);
  assert.deepEqual(pending.takeDue(1000), ["two"]);
  assert.equal(pending.deadline(), undefined);
});

test("some are taken by what they are", () => {
  const pending = new Pending<number>("x ", 9, 100);
  for (const value of [1, 2, 3, 4]) pending.add(value, 0);
  assert.deepEqual(
    pending.takeWhere((value) => value % 2 === 0),
    [2, 4],
  );
  assert.equal(pending.size, 2);
});
