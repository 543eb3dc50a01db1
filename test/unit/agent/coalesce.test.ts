import assert from "node:assert/strict";
import { test } from "node:test";
import { Subject } from "rxjs";
import { coalesceMap } from "../../../agent/io/coalesce.ts";

test("what comes while work is under way is worked on together, in order", async () => {
  const source = new Subject<number>();
  const calls: (readonly number[])[] = [];
  const finish: (() => void)[] = [];
  const results: number[] = [];
  let isComplete = false;
  source
    .pipe(
      coalesceMap((values) => {
        calls.push(values);
        return new Promise<number>((resolve) => finish.push(() => resolve(values.length)));
      }),
    )
    .subscribe({
      next: (result) => results.push(result),
      complete: () => {
        isComplete = true;
      },
    });
  for (const value of [1, 2, 3]) source.next(value);
  assert.deepEqual(calls, [[1]]);
  finish.shift()?.();
  await new Promise(setImmediate);
  assert.deepEqual(calls, [[1], [2, 3]]);
  source.next(4);
  source.complete();
  finish.shift()?.();
  await new Promise(setImmediate);
  assert.equal(isComplete, false);
  finish.shift()?.();
  await new Promise(setImmediate);
  assert.deepEqual([calls, results, isComplete], [[[1], [2, 3], [4]], [1, 2, 1], true]);
});

test("an error of source or work ends it, an idle end completes it", async () => {
  const errors: unknown[] = [];
  for (const failing of [true, false]) {
    const source = new Subject<number>();
    source
      .pipe(
        coalesceMap(async () => {
          throw new Error("work");
        }),
      )
      .subscribe({ error: (error) => errors.push(error.message) });
    if (failing) source.error(new Error("source"));
    else source.next(1);
    await new Promise(setImmediate);
  }
  assert.deepEqual(errors, ["source", "work"]);
  let isComplete = false;
  const source = new Subject<number>();
  source.pipe(coalesceMap(async () => 1)).subscribe({
    complete: () => {
      isComplete = true;
    },
  });
  source.complete();
  assert.equal(isComplete, true);
});
