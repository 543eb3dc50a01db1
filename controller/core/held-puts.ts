/**
 * Puts that wait for another session to make room: one a session, each until its deadline. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { WantedSession } from "./agent-client-port.ts";

export interface HeldPut {
  readonly wanted: WantedSession;
  readonly deadline: Millis;
}

export class HeldPuts {
  readonly #held = new Map<string, HeldPut>();

  hold(put: HeldPut): void {
    this.#held.set(put.wanted.session, put);
  }

  drop(session: string): void {
    this.#held.delete(session);
  }

  /** Takes all, whatever stands in their way. */
  takeAll(): readonly HeldPut[] {
    return this.#take(() => true);
  }

  /**
   * Takes those that nothing obstructs any more, one by one: `send` of one may put it in the way of
   * the next.
   */
  release<T>(
    isObstructed: (wanted: WantedSession) => boolean,
    send: (put: HeldPut) => readonly T[],
  ) {
    return [...this.#held.values()].flatMap((put) => {
      if (isObstructed(put.wanted)) return [];
      this.drop(put.wanted.session);
      return send(put);
    });
  }

  takeLate(now: Millis): readonly HeldPut[] {
    return this.#take(({ deadline }) => deadline <= now);
  }

  deadlines(): readonly Millis[] {
    return [...this.#held.values()].map(({ deadline }) => deadline);
  }

  #take(fits: (put: HeldPut) => boolean): readonly HeldPut[] {
    const taken = [...this.#held.values()].filter(fits);
    for (const { wanted } of taken) this.drop(wanted.session);
    return taken;
  }
}
