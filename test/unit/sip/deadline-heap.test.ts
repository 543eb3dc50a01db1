import assert from "node:assert/strict";
import { test } from "node:test";
import { DeadlineHeap, NOT_WAITING, type Waiting } from "../../../protocol/sip/deadline-heap.ts";

const named = (name: number): Waiting & { readonly name: number } => ({ name, place: NOT_WAITING });

test("thousands come due in order, wherever they were moved to, and can wait again", () => {
  const heap = new DeadlineHeap<ReturnType<typeof named>>();
  const items = Array.from({ length: 5_000 }, (_, name) => named(name));
  const first = (name: number) => (name * 7_919) % 10_007;
  const moved = (name: number) => (name * 104_729) % 9_973;
  for (const item of items) heap.set(item, first(item.name));
  for (const item of items) if (item.name % 3 === 0) heap.set(item, moved(item.name));
  for (const item of items) if (item.name % 3 === 1) heap.set(item, undefined);
  const left = items.filter(({ name }) => name % 3 !== 1);
  const times = left.map(({ name }) => (name % 3 === 0 ? moved(name) : first(name)));
  assert.equal(heap.size, left.length);
  assert.equal(heap.next(), Math.min(...times));
  const taken: number[] = [];
  for (let due = heap.takeDue(20_000); due; due = heap.takeDue(20_000)) {
    assert.equal(due.place, NOT_WAITING);
    taken.push(due.name % 3 === 0 ? moved(due.name) : first(due.name));
  }
  assert.deepEqual(
    taken,
    times.toSorted((one, other) => one - other),
  );
  assert.equal(heap.next(), undefined);
  for (const item of left.slice(0, 2)) heap.set(item, item.name);
  assert.equal(heap.takeDue(-1), undefined);
  assert.equal(heap.takeDue(0), left[0]);
});
