/**
 * The server transactions of one element (RFC 3261 §17.2.3); CANCEL finds its INVITE here and is
 * answered (§9.2). Pure. Effects are added to the list given.
 */
import type { Millis } from "../machine.ts";
import { createResponse } from "./create-response.ts";
import { type Deadlines, NOT_WAITING, type Waiting } from "./deadline-heap.ts";
import { type FlowId, isReliableHop, type Target } from "./flow.ts";
import { FlowMembers } from "./flow-members.ts";
import { InviteServer } from "./invite-server.ts";
import type { SipRequest, SipResponse } from "./message.ts";
import { NonInviteServer } from "./non-invite-server.ts";
import { lostFlowHop, responseHop } from "./response-hop.ts";
import type { ServerEffect, ServerInput, SipTimers } from "./transaction.ts";
import type { Arrival, TransactionEffect } from "./transaction-events.ts";
import { serverKey } from "./transaction-key.ts";
import type { Via } from "./via.ts";

export interface Server extends Arrival, Waiting {
  readonly key: string;
  readonly machine: InviteServer | NonInviteServer;
  /** The stamped top Via, where the flow may get lost. */
  readonly via: Via | undefined;
  /** Where responses go. */
  to: FlowId | Target;
  pending: boolean;
  ended: boolean;
}

/** A well-formed request with its stamped top Via and the key of its transaction. */
export interface KeyedRequest extends Arrival {
  readonly request: SipRequest;
  readonly via: Via;
  readonly key: string;
}

export class ServerTransactions {
  readonly #timers: SipTimers;
  readonly #deadlines: Deadlines<Server>;
  readonly #newTag: () => string;
  readonly #servers = new Map<string, Server>();
  readonly #onFlow = new FlowMembers<Server>();
  #pending = 0;

  constructor(timers: SipTimers, deadlines: Deadlines<Server>, newTag: () => string) {
    this.#timers = timers;
    this.#deadlines = deadlines;
    this.#newTag = newTag;
  }

  get size(): number {
    return this.#servers.size;
  }

  /** Those without a final response. */
  get pending(): number {
    return this.#pending;
  }

  /** A transaction exists: a request with its key is a retransmission, or the ACK of a refusal. */
  has(key: string): boolean {
    return this.#servers.has(key);
  }

  /** Takes a request, new or not. */
  receive(keyed: KeyedRequest, now: Millis, effects: TransactionEffect[]): void {
    const { key, request, flow, peer } = keyed;
    const known = this.#servers.get(key);
    if (known !== undefined) this.#run(known, { kind: "request", request }, now, effects);
    else if (request.method === "ACK") effects.push({ kind: "deliver-ack", request, flow, peer });
    else {
      const server = this.#create(keyed, now);
      if (request.method === "CANCEL") this.#receiveCancel(keyed, server, now, effects);
      else effects.push({ kind: "deliver-request", key, request, flow, peer });
    }
  }

  respond(key: string, response: SipResponse, now: Millis, effects: TransactionEffect[]): void {
    const server = this.#servers.get(key);
    if (server !== undefined) this.#run(server, { kind: "respond", response }, now, effects);
  }

  /**
   * Responds and remembers nothing, as RFC 3261 §26.3.2.4 wants it towards whoever has not proved
   * to be anybody: a request sent again is refused again, and an ACK that is dropped does no harm.
   */
  refuse(key: string, response: SipResponse, now: Millis, effects: TransactionEffect[]): void {
    const server = this.#servers.get(key);
    if (server === undefined) return;
    this.#run(server, { kind: "respond", response }, now, effects);
    if (!server.ended) this.#end(server);
    this.#deadlines.set(server, undefined);
  }

  fail(key: string, now: Millis, effects: TransactionEffect[]): void {
    const server = this.#servers.get(key);
    if (server !== undefined) this.#run(server, { kind: "transport-failed" }, now, effects);
  }

  /** Responses to what came by it now look for their own way (RFC 3261 §18.2.2). */
  closeFlow(flow: FlowId): void {
    for (const server of this.#onFlow.of(flow))
      if (server.via !== undefined) server.to = lostFlowHop(server.via, server);
  }

  failFlow(flow: FlowId, now: Millis, effects: TransactionEffect[]): void {
    for (const server of this.#onFlow.of(flow))
      this.#run(server, { kind: "transport-failed" }, now, effects);
  }

  /** Its deadline has come. */
  wake(server: Server, now: Millis, effects: TransactionEffect[]): void {
    this.#run(server, { kind: "tick" }, now, effects);
  }

  #create({ request, via, key, flow, peer }: KeyedRequest, now: Millis): Server {
    const reliable = isReliableHop(flow);
    const setting = { timers: this.#timers, reliable };
    const machine =
      request.method === "INVITE"
        ? new InviteServer(request, setting, now)
        : new NonInviteServer(setting);
    const to = responseHop(via, { flow, peer });
    const kept = reliable ? via : undefined;
    const server: Server = {
      key,
      machine,
      via: kept,
      flow,
      peer,
      to,
      pending: true,
      ended: false,
      place: NOT_WAITING,
    };
    this.#servers.set(key, server);
    this.#pending += 1;
    this.#onFlow.add(flow, server);
    this.#deadlines.set(server, machine.deadline());
    return server;
  }

  /** One that matches no INVITE goes to the user: a proxy passes it on, a device says 481. */
  #receiveCancel(
    { key, request, via, flow, peer }: KeyedRequest,
    server: Server,
    now: Millis,
    effects: TransactionEffect[],
  ): void {
    const invite = this.#servers.get(serverKey(request, via, peer, "INVITE"));
    if (!(invite?.machine instanceof InviteServer)) {
      effects.push({ kind: "deliver-request", key, request, flow, peer });
      return;
    }
    const response = createResponse(request, 200, { toTag: this.#newTag() });
    this.#run(server, { kind: "respond", response }, now, effects);
    if (invite.machine.isPending)
      effects.push({ kind: "deliver-cancel", key: invite.key, request, flow, peer });
  }

  #run(server: Server, input: ServerInput, now: Millis, effects: TransactionEffect[]): void {
    for (const effect of server.machine.handle(input, now))
      this.#translate(server, effect, effects);
    if (server.pending && !server.machine.isPending) this.#settle(server);
    this.#deadlines.set(server, server.ended ? undefined : server.machine.deadline());
  }

  #translate(server: Server, effect: ServerEffect, effects: TransactionEffect[]): void {
    const { key, to, flow, peer } = server;
    switch (effect.kind) {
      case "send":
        effects.push({ kind: "send", message: effect.message, to, key });
        break;
      case "deliver-ack":
        effects.push({ kind: "deliver-ack", request: effect.request, flow, peer });
        break;
      case "failed":
        effects.push({ kind: "failed", side: "server", key, reason: effect.reason });
        break;
      case "ended":
        this.#end(server);
        break;
    }
  }

  #settle(server: Server): void {
    server.pending = false;
    this.#pending -= 1;
  }

  #end(server: Server): void {
    if (server.pending) this.#settle(server);
    server.ended = true;
    this.#servers.delete(server.key);
    this.#onFlow.delete(server.flow, server);
  }
}
