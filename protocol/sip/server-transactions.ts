/**
 * The server transactions of one element (RFC 3261 §17.2.3); CANCEL finds its INVITE here and is
 * answered (§9.2). Pure.
 */
import type { Millis } from "../machine.ts";
import { createResponse } from "./create-response.ts";
import type { DeadlineQueue } from "./deadline-queue.ts";
import type { FlowId } from "./flow.ts";
import { InviteServer } from "./invite-server.ts";
import type { SipRequest, SipResponse } from "./message.ts";
import { NonInviteServer } from "./non-invite-server.ts";
import type { ServerEffect, ServerInput, SipTimers } from "./transaction.ts";
import type { Arrival, TransactionEffect } from "./transaction-events.ts";
import { serverKey } from "./transaction-key.ts";

interface Server extends Arrival {
  readonly key: string;
  readonly machine: InviteServer | NonInviteServer;
}

export class ServerTransactions {
  readonly #timers: SipTimers;
  readonly #deadlines: DeadlineQueue;
  readonly #newTag: () => string;
  readonly #servers = new Map<string, Server>();

  constructor(timers: SipTimers, deadlines: DeadlineQueue, newTag: () => string) {
    this.#timers = timers;
    this.#deadlines = deadlines;
    this.#newTag = newTag;
  }

  get size(): number {
    return this.#servers.size;
  }

  /** A request belongs to a transaction that exists: its retransmission, or the ACK of a refusal. */
  isKnown(request: SipRequest, { peer }: Arrival): boolean {
    return this.#servers.has(serverKey(request, peer));
  }

  /** Takes a well-formed request, new or not; its top Via is already stamped. */
  receive(request: SipRequest, arrival: Arrival, now: Millis): readonly TransactionEffect[] {
    const key = serverKey(request, arrival.peer);
    const known = this.#servers.get(key);
    if (known !== undefined) return this.#run(known, { kind: "request", request }, now);
    if (request.method === "ACK") return [{ kind: "deliver-ack", request, ...arrival }];
    const server = { key, machine: this.#machineFor(request, now), ...arrival };
    this.#servers.set(key, server);
    this.#deadlines.set(key, server.machine.deadline());
    return request.method === "CANCEL"
      ? this.#receiveCancel(request, server, now)
      : [{ kind: "deliver-request", key, request, ...arrival }];
  }

  respond(key: string, response: SipResponse, now: Millis): readonly TransactionEffect[] {
    const server = this.#servers.get(key);
    return server === undefined ? [] : this.#run(server, { kind: "respond", response }, now);
  }

  /**
   * Responds and remembers nothing, as RFC 3261 §26.3.2.4 wants it towards whoever has not proved
   * to be anybody: transports here are reliable, and an ACK that is dropped does no harm.
   */
  refuse(key: string, response: SipResponse, now: Millis): readonly TransactionEffect[] {
    const effects = this.respond(key, response, now);
    this.#servers.delete(key);
    this.#deadlines.set(key, undefined);
    return effects;
  }

  fail(key: string, now: Millis): readonly TransactionEffect[] {
    const server = this.#servers.get(key);
    return server === undefined ? [] : this.#run(server, { kind: "transport-failed" }, now);
  }

  closeFlow(flow: FlowId, now: Millis): readonly TransactionEffect[] {
    const closed = [...this.#servers.values()].filter((server) => server.flow === flow);
    return closed.flatMap((server) => this.#run(server, { kind: "transport-failed" }, now));
  }

  tick(key: string, now: Millis): readonly TransactionEffect[] {
    const server = this.#servers.get(key);
    return server === undefined ? [] : this.#run(server, { kind: "tick" }, now);
  }

  #machineFor(request: SipRequest, now: Millis): InviteServer | NonInviteServer {
    const setting = { timers: this.#timers, reliable: true };
    return request.method === "INVITE"
      ? new InviteServer(request, setting, now)
      : new NonInviteServer(setting);
  }

  /** One that matches no INVITE goes to the user: a proxy passes it on, a device says 481. */
  #receiveCancel(request: SipRequest, server: Server, now: Millis): readonly TransactionEffect[] {
    const { key, flow, peer } = server;
    const invite = this.#servers.get(serverKey(request, peer, "INVITE"));
    if (!(invite?.machine instanceof InviteServer))
      return [{ kind: "deliver-request", key, request, flow, peer }];
    const ok = createResponse(request, 200, { toTag: this.#newTag() });
    const answered = this.#run(server, { kind: "respond", response: ok }, now);
    return invite.machine.isPending
      ? [...answered, { kind: "deliver-cancel", key: invite.key, request, flow, peer }]
      : answered;
  }

  #run(server: Server, input: ServerInput, now: Millis): TransactionEffect[] {
    const effects = server.machine.handle(input, now);
    const reported = effects.flatMap((effect) => this.#translate(server, effect));
    const alive = this.#servers.has(server.key);
    this.#deadlines.set(server.key, alive ? server.machine.deadline() : undefined);
    return reported;
  }

  #translate(server: Server, effect: ServerEffect): readonly TransactionEffect[] {
    const { key, flow, peer } = server;
    switch (effect.kind) {
      case "send":
        return [{ kind: "send", message: effect.message, to: flow, key }];
      case "deliver-ack":
        return [{ kind: "deliver-ack", request: effect.request, flow, peer }];
      case "failed":
        return [{ kind: "failed", side: "server", key, reason: effect.reason }];
      case "ended":
        this.#servers.delete(key);
        return [];
    }
  }
}
