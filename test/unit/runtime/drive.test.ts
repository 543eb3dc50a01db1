import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { Machine, Millis } from "../../../protocol/machine.ts";
import { drive, type Tick } from "../../../runtime/drive.ts";

type Input = { kind: "add"; word: string } | Tick;

class Echo implements Machine<Input, string> {
  #wakeAt: Millis | undefined;

  handle(input: Input, now: Millis): readonly string[] {
    if (input.kind === "tick") {
      this.#wakeAt = undefined;
      return [`tick at ${now}`];
    }
    this.#wakeAt = now + 100;
    return [`${input.word} 1`, `${input.word} 2`];
  }

  deadline(): Millis | undefined {
    return this.#wakeAt;
  }
}

test("an input made while effects are performed waits until they are done", () => {
  const seen: string[] = [];
  const driven = drive<Input, string>(new Echo(), (effect) => {
    seen.push(effect);
    if (effect === "a 1") driven.feed({ kind: "add", word: "b" });
  });
  driven.feed({ kind: "add", word: "a" });
  driven.stop();
  assert.deepEqual(seen, ["a 1", "a 2", "b 1", "b 2"]);
});

test("the machine is woken at its deadline, and not after stop", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    let now = 1000;
    const seen: string[] = [];
    const driven = drive<Input, string>(
      new Echo(),
      (effect) => seen.push(effect),
      () => now,
    );
    driven.feed({ kind: "add", word: "a" });
    mock.timers.tick(99);
    assert.equal(seen.length, 2);
    now = 1100;
    mock.timers.tick(1);
    assert.equal(seen.at(-1), "tick at 1100");
    driven.feed({ kind: "add", word: "b" });
    driven.stop();
    mock.timers.tick(1000);
    assert.equal(seen.at(-1), "b 2");
  } finally {
    mock.timers.reset();
  }
});

test("a deadline that has moved is kept, earlier or later, with one timer", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    let now = 1000;
    const seen: string[] = [];
    const driven = drive<Input, string>(
      new Echo(),
      (effect) => seen.push(effect),
      () => now,
    );
    const pass = (ms: number): void => {
      now += ms;
      mock.timers.tick(ms);
    };
    driven.feed({ kind: "add", word: "a" });
    pass(60);
    driven.feed({ kind: "add", word: "b" });
    pass(99);
    assert.equal(seen.at(-1), "b 2");
    pass(1);
    assert.equal(seen.at(-1), "tick at 1160");
    pass(1000);
    assert.equal(seen.length, 5);
  } finally {
    mock.timers.reset();
  }
});

test("deadlines within one grain are met together, none early and none a grain late", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    let now = 1_000;
    const woken: number[] = [];
    const drives = [1, 2].map(() =>
      drive<Input, string>(
        new Echo(),
        (effect) => effect.startsWith("tick") && woken.push(now),
        () => now,
        20,
      ),
    );
    const pass = (ms: number): void => {
      now += ms;
      mock.timers.tick(ms);
    };
    pass(1);
    drives[0]?.feed({ kind: "add", word: "a" });
    pass(10);
    drives[1]?.feed({ kind: "add", word: "b" });
    pass(108);
    assert.deepEqual(woken, []);
    pass(1);
    assert.deepEqual(woken, [1_120, 1_120]);
    pass(100);
    drives[0]?.feed({ kind: "add", word: "c" });
    pass(100);
    assert.deepEqual(woken.slice(2), [1_320], "on the grain it is met at once");
  } finally {
    mock.timers.reset();
  }
});
