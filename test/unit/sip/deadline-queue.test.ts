import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DeadlineQueue } from "../../../protocol/sip/deadline-queue.ts";

test("keys come due in order, moved and removed ones where they now belong", () => {
  const key = fc.constantFrom("a", "b", "c", "d", "e");
  const change = fc.tuple(key, fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined }));
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 300 }),
      fc.integer({ min: 0, max: 20 }),
      (changes, now) => {
        const queue = new DeadlineQueue();
        const model = new Map<string, number>();
        for (const [name, at] of changes) {
          queue.set(name, at);
          if (at === undefined) model.delete(name);
          else model.set(name, at);
        }
        const due = [...model].filter(([, at]) => at <= now).map(([name]) => name);
        const left = [...model.values()].filter((at) => at > now);
        const taken: string[] = [];
        for (let name = queue.takeDue(now); name !== undefined; name = queue.takeDue(now))
          taken.push(name);
        assert.deepEqual([...taken].sort(), due.sort());
        const times = taken.map((name) => model.get(name) ?? 0);
        assert.deepEqual(
          times,
          times.toSorted((a, b) => a - b),
        );
        assert.equal(queue.next(), left.length === 0 ? undefined : Math.min(...left));
      },
    ),
  );
});

test("deadlines far ahead that were given up are not kept until then", () => {
  const queue = new DeadlineQueue();
  queue.set("stays", 7);
  for (let call = 0; call < 10_000; call += 1) {
    queue.set(`call ${call}`, 86_400_000 + call);
    queue.set(`call ${call}`, undefined);
    assert.equal(queue.size, 1);
  }
  assert.equal(queue.takeDue(7), "stays");
});
