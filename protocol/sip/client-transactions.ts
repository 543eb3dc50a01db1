/**
 * The client transactions of one element, by branch and method (RFC 3261 §17.1.3). Pure.
 */
import type { Millis } from "../machine.ts";
import type { DeadlineQueue } from "./deadline-queue.ts";
import type { FlowId, Target } from "./flow.ts";
import { InviteClient, type InviteClientEffect } from "./invite-client.ts";
import type { SipRequest, SipResponse } from "./message.ts";
import { NonInviteClient } from "./non-invite-client.ts";
import { type ClientInput, hopCancel, type SipTimers } from "./transaction.ts";
import type { Arrival, TransactionEffect } from "./transaction-events.ts";
import { clientKey } from "./transaction-key.ts";

interface Client {
  readonly key: string;
  readonly machine: InviteClient | NonInviteClient;
  readonly request: SipRequest;
  readonly to: FlowId | Target;
  /** A CANCEL made here: nobody waits for what becomes of it. */
  readonly silent: boolean;
  flow: FlowId | undefined;
}

export class ClientTransactions {
  readonly #timers: SipTimers;
  readonly #deadlines: DeadlineQueue;
  readonly #clients = new Map<string, Client>();

  constructor(timers: SipTimers, deadlines: DeadlineQueue) {
    this.#timers = timers;
    this.#deadlines = deadlines;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** @throws TypeError for a request without branch, with one in use, or for an ACK. */
  start(
    request: SipRequest,
    to: FlowId | Target,
    options: { readonly timerC: boolean; readonly silent: boolean },
    now: Millis,
  ): readonly TransactionEffect[] {
    const key = clientKey(request);
    if (key === undefined || this.#clients.has(key)) throw new TypeError("branch of a new request");
    if (request.method === "ACK") throw new TypeError("ACK makes no transaction");
    const setting = { timers: this.#timers, reliable: true, timerC: options.timerC };
    const machine =
      request.method === "INVITE"
        ? new InviteClient(request, setting)
        : new NonInviteClient(request, setting);
    const flow = typeof to === "string" ? to : undefined;
    const bare = { ...request, body: Buffer.alloc(0) };
    const client = { key, machine, request: bare, to, silent: options.silent, flow };
    this.#clients.set(key, client);
    return this.#run(client, { kind: "start" }, now);
  }

  /** Hands a response to its transaction; one that answers nothing of ours is dropped. */
  receive(response: SipResponse, arrival: Arrival, now: Millis): readonly TransactionEffect[] {
    const key = clientKey(response);
    const client = key === undefined ? undefined : this.#clients.get(key);
    if (client === undefined) return [{ kind: "dropped", reason: "stray-response" }];
    return this.#run(client, { kind: "response", response }, now, arrival);
  }

  cancel(key: string, now: Millis): readonly TransactionEffect[] {
    const client = this.#clients.get(key);
    if (!(client?.machine instanceof InviteClient)) return [];
    return this.#report(client, client.machine.handle({ kind: "cancel" }, now), now);
  }

  noteFlow(key: string, flow: FlowId): void {
    const client = this.#clients.get(key);
    if (client !== undefined) client.flow = flow;
  }

  fail(key: string, now: Millis): readonly TransactionEffect[] {
    const client = this.#clients.get(key);
    return client === undefined ? [] : this.#run(client, { kind: "transport-failed" }, now);
  }

  closeFlow(flow: FlowId, now: Millis): readonly TransactionEffect[] {
    const closed = [...this.#clients.values()].filter((client) => client.flow === flow);
    return closed.flatMap((client) => this.#run(client, { kind: "transport-failed" }, now));
  }

  tick(key: string, now: Millis): readonly TransactionEffect[] {
    const client = this.#clients.get(key);
    return client === undefined ? [] : this.#run(client, { kind: "tick" }, now);
  }

  #run(client: Client, input: ClientInput, now: Millis, arrival?: Arrival): TransactionEffect[] {
    return this.#report(client, client.machine.handle(input, now), now, arrival);
  }

  #report(
    client: Client,
    effects: readonly InviteClientEffect[],
    now: Millis,
    arrival?: Arrival,
  ): TransactionEffect[] {
    const reported = effects.flatMap((effect) => this.#translate(client, effect, now, arrival));
    const alive = this.#clients.has(client.key);
    this.#deadlines.set(client.key, alive ? client.machine.deadline() : undefined);
    return reported;
  }

  #translate(
    client: Client,
    effect: InviteClientEffect,
    now: Millis,
    arrival: Arrival | undefined,
  ): readonly TransactionEffect[] {
    const { key, silent } = client;
    switch (effect.kind) {
      case "send":
        return [{ kind: "send", message: effect.message, to: client.flow ?? client.to, key }];
      case "send-cancel":
        return this.#sendCancel(client, now);
      case "deliver":
        if (silent || arrival === undefined) return [];
        return [{ kind: "deliver-response", key, response: effect.response, ...arrival }];
      case "failed":
        return silent ? [] : [{ kind: "failed", side: "client", key, reason: effect.reason }];
      case "ended":
        this.#clients.delete(key);
        return [];
    }
  }

  #sendCancel(client: Client, now: Millis): readonly TransactionEffect[] {
    const cancel = hopCancel(client.request);
    return this.start(cancel, client.flow ?? client.to, { timerC: false, silent: true }, now);
  }
}
