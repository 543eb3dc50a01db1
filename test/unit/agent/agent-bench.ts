/**
 * An agent's machine with a fake kernel, a recorder that takes everything and a controller: what tests of the machine
 * stand on.
 */

import type { AgentEffect, AgentInput } from "../../../agent/core/agent-effect.ts";
import { AgentMachine } from "../../../agent/core/agent-machine.ts";
import type { KernelListing } from "../../../agent/core/kernel-state.ts";
import type {
  AgentMessage,
  ControlRequest,
  OrderOutcome,
  Pinhole,
  SessionPut,
} from "../../../protocol/control/messages.ts";
import { parsePrefix } from "../../../protocol/net/address.ts";
import { FakeKernel } from "./fake-kernel.ts";

export const ALICE = "10.10.0.2";
export const BOB = "10.20.0.2";
export const BOUNDS = {
  realm: { prefixes: [parsePrefix("10.10.0.0/24")], ports: [16_384, 65_535] as [number, number] },
  limits: { sessions: 10, pinholes: 20 },
};
const RECORDING = "3f2b6c1e-8f0a-4f6e-9a44-1d2f3c4b5a69";
export const RECORDED = { recording: RECORDING, sealedOrder: "c2VhbGVk" };

export class AgentBench {
  machine = new AgentMachine(BOUNDS);
  readonly kernel = new FakeKernel();
  readonly effects: AgentEffect[] = [];
  /** What the recorder says to orders; undefined: nothing. */
  recorder: OrderOutcome | undefined = "accepted";
  now = 1_000_000;
  #nextId = 1;

  /** With capture and recorder there, and a controller greeted on connection 1. */
  static ready(): AgentBench {
    const bench = new AgentBench();
    bench.#greet();
    return bench;
  }

  /** The agent dies when all is quiet, and another takes its place. */
  restart(isAlive: boolean): void {
    this.settle();
    this.machine = new AgentMachine(BOUNDS);
    this.adopt(this.kernel.list(isAlive));
    this.#greet();
  }

  /** The agent is killed as it is: what the kernel had still to say is heard by nobody. */
  kill(): void {
    this.kernel.answers.length = 0;
    this.restart(true);
  }

  #greet(): void {
    this.feed({ kind: "firewall", ready: true });
    this.feed({ kind: "capture", ready: true });
    this.feed({ kind: "recorder", connected: true });
    this.ask({ kind: "hello", version: 1, controller: "ss1" });
  }

  adopt(listing: KernelListing): void {
    this.#perform(this.machine.adopt(listing, this.now));
    this.settle();
  }

  /** One input, and then all that kernel and recorder say to what came of it. */
  feed(input: AgentInput): void {
    this.hand(input);
    this.settle();
  }

  /** One input alone. */
  hand(input: AgentInput): void {
    this.#perform(this.machine.handle(input, this.now));
  }

  settle(): void {
    for (let next = this.kernel.answers.shift(); next; next = this.kernel.answers.shift())
      this.hand(next);
  }

  /** Moves time to each deadline on the way. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (let at = this.machine.deadline(); at !== undefined && at <= end; ) {
      this.now = Math.max(this.now, at);
      this.feed({ kind: "tick" });
      const next = this.machine.deadline();
      if (next === at) throw new Error("a deadline that a tick does not move");
      at = next;
    }
    this.now = end;
    this.feed({ kind: "tick" });
  }

  /** Sends a request; returns its reply, if there is one yet. */
  ask(request: Omit<ControlRequest, "id"> & Record<string, unknown>, connection = 1) {
    const id = this.send(request, connection);
    this.settle();
    return this.reply(id);
  }

  send(request: object, connection = 1): string {
    const id = `r${this.#nextId++}`;
    this.hand({ kind: "request", connection, request: { ...request, id } as ControlRequest });
    return id;
  }

  reply(id: string): Extract<AgentMessage, { kind: "reply" }> | undefined {
    return this.sent("reply").find((message) => message.id === id);
  }

  sent<Kind extends AgentMessage["kind"]>(kind: Kind): Extract<AgentMessage, { kind: Kind }>[] {
    return this.of("send")
      .map(({ message }) => message)
      .filter((message): message is Extract<AgentMessage, { kind: Kind }> => message.kind === kind);
  }

  of<Kind extends AgentEffect["kind"]>(kind: Kind): Extract<AgentEffect, { kind: Kind }>[] {
    return this.effects.filter(
      (effect): effect is Extract<AgentEffect, { kind: Kind }> => effect.kind === kind,
    );
  }

  close(session = "s1", connection = 1) {
    return this.ask({ kind: "session.close", session, reason: "bye" }, connection);
  }

  #perform(effects: readonly AgentEffect[]): void {
    this.effects.push(...effects);
    for (const effect of effects) {
      this.kernel.perform(effect);
      if (effect.kind === "relay-order" && this.recorder !== undefined)
        this.kernel.answers.push({
          kind: "order-reply",
          order: effect.order,
          result: this.recorder,
        });
    }
  }
}

export function pinhole(
  id: string,
  from: Pinhole["from"],
  address = ALICE,
  port = 20_000,
): Pinhole {
  return { id, from, to: { address, port }, media: "audio", component: "rtp" };
}

export function put(
  revision: number,
  pinholes: Pinhole[],
  more: Partial<SessionPut> = {},
): Omit<SessionPut, "id"> {
  return { kind: "session.put", session: "s1", revision, leaseMs: 60_000, pinholes, ...more };
}
