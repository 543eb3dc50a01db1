/**
 * What hangs on each connection, so that its end is told to those it concerns and to nobody else.
 * Pure. UDP flows never end and are not kept.
 */
import { type FlowId, isReliableHop } from "./flow.ts";

export class FlowMembers<T> {
  readonly #byFlow = new Map<FlowId, Set<T>>();

  add(flow: FlowId, member: T): void {
    if (!isReliableHop(flow)) return;
    const members = this.#byFlow.get(flow);
    if (members === undefined) this.#byFlow.set(flow, new Set([member]));
    else members.add(member);
  }

  delete(flow: FlowId, member: T): void {
    const members = this.#byFlow.get(flow);
    if (members?.delete(member) === true && members.size === 0) this.#byFlow.delete(flow);
  }

  /** The members of a flow as they are now; the list stays as it is when they leave. */
  of(flow: FlowId): readonly T[] {
    return [...(this.#byFlow.get(flow) ?? [])];
  }
}
