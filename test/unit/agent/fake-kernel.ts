/**
 * The kernel's sets as the agent's machine sees them: transactions, counters, last counts. Queues what the kernel would
 * say, so that a test decides when the machine hears it.
 */
import type { AgentEffect, AgentInput } from "../../../agent/core/agent-effect.ts";
import {
  addCounts,
  type Count,
  elementName,
  FILTER_SETS,
  NO_COUNT,
  type SetName,
  serializeLabel,
  TALLY_SETS,
} from "../../../agent/core/element.ts";
import { parseTableListing } from "../../../agent/core/kernel-listing.ts";
import type { KernelListing } from "../../../agent/core/kernel-state.ts";
import type { Change } from "../../../agent/core/rules.ts";

interface Held {
  readonly change: Extract<Change, { op: "add" }>;
  count: Count;
}

export class FakeKernel {
  readonly held = new Map<string, Held>();
  /** What it has to say, in order. */
  readonly answers: AgentInput[] = [];
  /** Refuses the next transactions, with this reason. */
  refusals: string[] = [];
  /** Keeps last counts to itself. */
  isMute = false;

  perform(effect: AgentEffect): void {
    if (effect.kind === "rebuild") {
      this.held.clear();
      for (const change of effect.changes) this.#change(change);
    }
    if (effect.kind !== "apply") return;
    const { batch, changes } = effect;
    const reason = this.refusals.shift() ?? this.#fault(changes);
    if (reason !== undefined) {
      this.answers.push({ kind: "apply-failed", batch, reason });
      return;
    }
    for (const change of changes) this.#change(change);
    this.answers.push({ kind: "applied", batch });
  }

  /** A packet of 100 octets for an element; true if it passed. */
  pass(name: string): boolean {
    const held = this.held.get(name);
    if (held === undefined) return false;
    held.count = addCounts(held.count, { packets: 1, bytes: 100 });
    return true;
  }

  /** Names of the elements that let packets through. */
  open(): string[] {
    return [...this.held.keys()].filter((name) => FILTER_SETS.some((set) => name.startsWith(set)));
  }

  /** As nft would list the table. */
  list(isAlive: boolean): KernelListing {
    const sets = [...FILTER_SETS, ...TALLY_SETS].map((name) => ({
      set: { name, elem: this.#listSet(name) },
    }));
    const alive = { set: { name: "alive", elem: isAlive ? [{ elem: { val: "udp" } }] : [] } };
    return parseTableListing(JSON.stringify({ nftables: [...sets, alive] }));
  }

  #listSet(name: SetName): object[] {
    return [...this.held.values()]
      .filter(({ change }) => change.element.set === name)
      .map(({ change, count }) => {
        const concat = change.element.key
          .split(" . ")
          .map((part) => (/^(0x)?[\da-f]+$/.test(part) ? Number(part) : part));
        return { elem: { val: { concat }, comment: serializeLabel(change.label), counter: count } };
      });
  }

  #fault(changes: readonly Change[]): string | undefined {
    const names = new Set(this.held.keys());
    for (const { op, element } of changes) {
      const name = elementName(element);
      if (op === "add" && names.has(name)) return "File exists";
      if (op === "delete" && !names.delete(name)) return "No such file or directory";
      if (op === "add") names.add(name);
    }
    return undefined;
  }

  #change(change: Change): void {
    const name = elementName(change.element);
    if (change.op === "add") {
      this.held.set(name, { change, count: change.count ?? NO_COUNT });
      return;
    }
    const { count = NO_COUNT } = this.held.get(name) ?? {};
    this.held.delete(name);
    if (!this.isMute && !name.startsWith("tally"))
      this.answers.push({ kind: "final", element: change.element, ...count });
  }
}
