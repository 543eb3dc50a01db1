/**
 * Runs a pure machine with real time: feeds inputs in order, performs what it returns, wakes it at
 * its deadline. Touches the clock and one timer.
 */
import type { Machine, Millis } from "../protocol/machine.ts";

export interface Drive<Input> {
  /** Hands the machine an input; one that comes while effects are performed waits its turn. */
  feed(input: Input): void;
  stop(): void;
}

/** The input every driven machine understands. */
export interface Tick {
  readonly kind: "tick";
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * @param grainMs Deadlines are met at multiples of it, so late by less than it: many that lie close
 *   together, of several machines even, cost one timer.
 */
export function drive<Input, Effect>(
  machine: Machine<Input | Tick, Effect>,
  perform: (effect: Effect) => void,
  clock: () => Millis = Date.now,
  grainMs = 1,
): Drive<Input> {
  const waiting: (Input | Tick)[] = [];
  let running = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let armedFor: Millis = 0;

  const feed = (input: Input | Tick): void => {
    if (stopped) return;
    if (running) {
      waiting.push(input);
      return;
    }
    running = true;
    try {
      for (let next: Input | Tick | undefined = input; next !== undefined; next = waiting.shift())
        for (const effect of machine.handle(next, clock())) perform(effect);
    } finally {
      running = false;
      rearm();
    }
  };

  /** A timer that fires too early costs less than one that is moved with every input. */
  const rearm = (): void => {
    const deadline = stopped ? undefined : machine.deadline();
    if (deadline === undefined) {
      disarm();
      return;
    }
    const wakeAt = Math.ceil(deadline / grainMs) * grainMs;
    if (timer !== undefined && wakeAt >= armedFor) return;
    clearTimeout(timer);
    armedFor = wakeAt;
    timer = setTimeout(wake, Math.min(Math.max(0, wakeAt - clock()), MAX_TIMER_MS));
  };

  const wake = (): void => {
    timer = undefined;
    const deadline = machine.deadline();
    if (deadline !== undefined && deadline > clock()) rearm();
    else feed({ kind: "tick" });
  };

  const disarm = (): void => {
    clearTimeout(timer);
    timer = undefined;
  };

  const stop = (): void => {
    stopped = true;
    disarm();
  };

  return { feed, stop };
}
