/**
 * Messages of one dialog that wait for their turn, in the order they came. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { isRepeated, statusOf } from "./carrier.ts";
import type { Task } from "./leg-port.ts";

/** Messages that wait at a time; a provisional response beyond is dropped. */
export const MAX_HELD_MESSAGES = 8;

export class HeldMessages {
  #held: readonly Task[] = [];

  /** `again`: it waits already. A final response is never one too many. */
  push(task: Task): "held" | "again" | "full" {
    if (this.#held.some(({ carrier }) => isRepeated(carrier, task.carrier))) return "again";
    if (this.#held.length >= MAX_HELD_MESSAGES && statusOf(task.carrier) < 200) return "full";
    this.#held = [...this.#held, task];
    return "held";
  }

  shift(): Task | undefined {
    const [first, ...rest] = this.#held;
    this.#held = rest;
    return first;
  }

  /** True if that request was among them. */
  drop(ref: string): boolean {
    const left = this.#held.filter((task) => !isRequest(task, ref));
    const isDropped = left.length < this.#held.length;
    this.#held = left;
    return isDropped;
  }

  takeAll(): readonly Task[] {
    const all = this.#held;
    this.#held = [];
    return all;
  }

  /** When the first of them has waited long enough. */
  deadline(): Millis | undefined {
    return this.#held[0]?.deadline;
  }
}

export const isRequest = ({ carrier }: Task, ref: string): boolean =>
  carrier.kind === "request" && carrier.ref === ref;
