import assert from "node:assert/strict";
import { test } from "node:test";
import { FairQueue } from "../../../controller/io/fair-queue.ts";

/** A queue whose pieces of work end when told, and who was begun so far. */
function makeQueue(limits = { running: 1, waiting: 3, waitingOfOne: 2 }) {
  const queue = new FairQueue(limits);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  /** Whether there was room for it. */
  const ask = (name: string, source = name): boolean =>
    queue.run(source, () => {
      begun.push(name);
      return new Promise<void>((resolve) => ends.set(name, resolve));
    }) !== undefined;
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { queue, begun, ask, end };
}

test("only so many pieces are at work at one time", async () => {
  const { queue, begun, ask, end } = makeQueue({ running: 2, waiting: 3, waitingOfOne: 2 });
  for (const name of ["a", "b", "c"]) ask(name);
  assert.deepEqual(begun, ["a", "b"]);
  await end("b");
  assert.deepEqual(begun, ["a", "b", "c"]);
  assert.equal(queue.size, 2);
});

test("sources take turns, however much one of them asks for", async () => {
  const { begun, ask, end } = makeQueue();
  ask("a1", "a");
  ask("a2", "a");
  ask("a3", "a");
  ask("b1", "b");
  for (const name of ["a1", "a2", "b1", "a3"]) await end(name);
  assert.deepEqual(begun, ["a1", "a2", "b1", "a3"]);
});

test("what finds no room is refused at once: of one source, and of all", () => {
  const { queue, ask } = makeQueue();
  for (const name of ["a1", "a2", "a3"]) assert.ok(ask(name, "a"));
  assert.ok(!ask("a4", "a"));
  assert.ok(ask("b1", "b"));
  assert.ok(!ask("c1", "c"));
  assert.equal(queue.size, 4);
});

test("work that fails tells who asked for it, and makes room", async () => {
  const { queue, ask, begun } = makeQueue();
  const failing = queue.run("a", () => Promise.reject(new Error("no")));
  ask("b");
  await assert.rejects(failing ?? Promise.resolve(), /no/);
  assert.deepEqual(begun, ["b"]);
});
