/**
 * The client transactions of one element, by branch and method (RFC 3261 §17.1.3). Pure.
 * Whether anything is sent twice depends on the hop alone. Effects are added to the list given.
 */
import type { Millis } from "../machine.ts";
import { type Deadlines, NOT_WAITING, type Waiting } from "./deadline-heap.ts";
import { type FlowId, isReliableHop, type Target } from "./flow.ts";
import { FlowMembers } from "./flow-members.ts";
import { InviteClient, type InviteClientEffect } from "./invite-client.ts";
import type { SipRequest, SipResponse } from "./message.ts";
import { NonInviteClient } from "./non-invite-client.ts";
import type { Reason } from "./reason.ts";
import type { ClientInput, SipTimers } from "./transaction.ts";
import type { Arrival, TransactionEffect } from "./transaction-events.ts";
import { clientKey } from "./transaction-key.ts";

export interface Client extends Waiting {
  readonly key: string;
  readonly machine: InviteClient | NonInviteClient;
  readonly to: FlowId | Target;
  /** A CANCEL made here: nobody waits for what becomes of it. */
  readonly silent: boolean;
  flow: FlowId | undefined;
  pending: boolean;
  ended: boolean;
}

export class ClientTransactions {
  readonly #timers: SipTimers;
  readonly #deadlines: Deadlines<Client>;
  readonly #clients = new Map<string, Client>();
  readonly #onFlow = new FlowMembers<Client>();
  #pending = 0;

  constructor(timers: SipTimers, deadlines: Deadlines<Client>) {
    this.#timers = timers;
    this.#deadlines = deadlines;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** Those without a final response. */
  get pending(): number {
    return this.#pending;
  }

  /** @throws TypeError for a request without branch, with one in use, or for an ACK. */
  start(
    request: SipRequest,
    to: FlowId | Target,
    options: { readonly timerC: boolean; readonly silent: boolean },
    now: Millis,
    effects: TransactionEffect[],
  ): void {
    const key = clientKey(request);
    if (key === undefined || this.#clients.has(key)) throw new TypeError("branch of a new request");
    if (request.method === "ACK") throw new TypeError("ACK makes no transaction");
    const reliable = isReliableHop(to);
    const setting = { timers: this.#timers, reliable, timerC: options.timerC };
    const machine =
      request.method === "INVITE"
        ? new InviteClient(request, setting)
        : new NonInviteClient(request, setting);
    const { silent } = options;
    const client: Client = {
      key,
      machine,
      to,
      silent,
      flow: undefined,
      pending: true,
      ended: false,
      place: NOT_WAITING,
    };
    this.#clients.set(key, client);
    this.#pending += 1;
    if (typeof to === "string") this.#bindFlow(client, to);
    this.#run(client, { kind: "start" }, now, effects);
  }

  /** Hands a response to its transaction; one that answers nothing of ours is dropped. */
  receive(
    response: SipResponse,
    arrival: Arrival,
    now: Millis,
    effects: TransactionEffect[],
  ): void {
    const key = clientKey(response);
    const client = key === undefined ? undefined : this.#clients.get(key);
    if (client === undefined) effects.push({ kind: "dropped", reason: "stray-response" });
    else this.#run(client, { kind: "response", response }, now, effects, arrival);
  }

  cancel(
    { key, reason }: { readonly key: string; readonly reason?: Reason },
    now: Millis,
    effects: TransactionEffect[],
  ): void {
    const client = this.#clients.get(key);
    if (client?.machine instanceof InviteClient)
      this.#report(
        client,
        client.machine.handle({ kind: "cancel", ...(reason === undefined ? {} : { reason }) }, now),
        now,
        effects,
      );
  }

  noteFlow(key: string, flow: FlowId): void {
    const client = this.#clients.get(key);
    if (client !== undefined) this.#bindFlow(client, flow);
  }

  fail(key: string, now: Millis, effects: TransactionEffect[]): void {
    const client = this.#clients.get(key);
    if (client !== undefined) this.#run(client, { kind: "transport-failed" }, now, effects);
  }

  closeFlow(flow: FlowId, now: Millis, effects: TransactionEffect[]): void {
    for (const client of this.#onFlow.of(flow))
      this.#run(client, { kind: "transport-failed" }, now, effects);
  }

  /** Its deadline has come. */
  wake(client: Client, now: Millis, effects: TransactionEffect[]): void {
    this.#run(client, { kind: "tick" }, now, effects);
  }

  #bindFlow(client: Client, flow: FlowId): void {
    if (client.flow !== undefined) this.#onFlow.delete(client.flow, client);
    client.flow = flow;
    this.#onFlow.add(flow, client);
  }

  #run(
    client: Client,
    input: ClientInput,
    now: Millis,
    effects: TransactionEffect[],
    arrival?: Arrival,
  ): void {
    this.#report(client, client.machine.handle(input, now), now, effects, arrival);
  }

  #report(
    client: Client,
    made: readonly InviteClientEffect[],
    now: Millis,
    effects: TransactionEffect[],
    arrival?: Arrival,
  ): void {
    for (const effect of made) this.#translate(client, effect, now, effects, arrival);
    if (client.pending && !client.machine.isPending) {
      client.pending = false;
      this.#pending -= 1;
    }
    this.#deadlines.set(client, client.ended ? undefined : client.machine.deadline());
  }

  #translate(
    client: Client,
    effect: InviteClientEffect,
    now: Millis,
    effects: TransactionEffect[],
    arrival: Arrival | undefined,
  ): void {
    const { key, silent } = client;
    switch (effect.kind) {
      case "send":
        effects.push({ kind: "send", message: effect.message, to: client.flow ?? client.to, key });
        break;
      case "send-cancel":
        this.#sendCancel(client, effect.request, now, effects);
        break;
      case "deliver":
        if (silent || arrival === undefined) break;
        effects.push({
          kind: "deliver-response",
          key,
          response: effect.response,
          flow: arrival.flow,
          peer: arrival.peer,
        });
        break;
      case "failed":
        if (!silent) effects.push({ kind: "failed", side: "client", key, reason: effect.reason });
        break;
      case "ended":
        client.ended = true;
        this.#clients.delete(key);
        if (client.flow !== undefined) this.#onFlow.delete(client.flow, client);
        break;
    }
  }

  #sendCancel(
    { flow, to }: Client,
    cancel: SipRequest,
    now: Millis,
    effects: TransactionEffect[],
  ): void {
    this.start(cancel, flow ?? to, { timerC: false, silent: true }, now, effects);
  }
}
