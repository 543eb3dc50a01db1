/**
 * All transactions of one element (RFC 3261 §17, RFC 6026). Pure.
 *
 * ```text
 * transport ──received──▶ ┌───────────────────┐ ──deliver-*──▶ user (proxy core or device)
 *           ◀───send───── │ transaction layer │ ◀─request, respond, cancel, send──
 * ```
 *
 * Only well-formed messages reach the user; a request that cannot be understood gets 400, a
 * response that answers nothing of ours is dropped (RFC 6026 §8.7). Responses return by the flow
 * their request came by. Every transport here is reliable, so nothing is retransmitted.
 */
import { assertNever } from "../errors.ts";
import type { Machine, Millis } from "../machine.ts";
import { messageFault } from "./check-message.ts";
import { ClientTransactions } from "./client-transactions.ts";
import { createResponse } from "./create-response.ts";
import { DeadlineQueue } from "./deadline-queue.ts";
import type { FlowId, Target } from "./flow.ts";
import type { SipMessage, SipRequest } from "./message.ts";
import { ServerTransactions } from "./server-transactions.ts";
import type { SipTimers } from "./transaction.ts";
import type {
  Arrival,
  DropReason,
  TransactionEffect,
  TransactionInput,
} from "./transaction-events.ts";
import { stampVia } from "./transaction-key.ts";

export interface TransactionLayerSetting {
  readonly timers: SipTimers;
  /** For the To tags of responses made here. */
  readonly random: (size: number) => Buffer;
  /** Transactions at one time; new requests beyond get 503. */
  readonly maxTransactions?: number;
}

export const MAX_TRANSACTIONS = 20_000;
const OVERLOAD_RETRY_AFTER_S = "5";
const TAG_BYTES = 8;

export class TransactionLayer implements Machine<TransactionInput, TransactionEffect> {
  readonly #maxTransactions: number;
  readonly #newTag: () => string;
  readonly #deadlines = new DeadlineQueue();
  readonly #clients: ClientTransactions;
  readonly #servers: ServerTransactions;

  constructor({ timers, random, maxTransactions }: TransactionLayerSetting) {
    this.#maxTransactions = maxTransactions ?? MAX_TRANSACTIONS;
    this.#newTag = () => random(TAG_BYTES).toString("hex");
    this.#clients = new ClientTransactions(timers, this.#deadlines);
    this.#servers = new ServerTransactions(timers, this.#deadlines, this.#newTag);
  }

  /** Transactions now alive. */
  get size(): number {
    return this.#clients.size + this.#servers.size;
  }

  /** @throws TypeError for a request without branch, or with one in use. */
  handle(input: TransactionInput, now: Millis): readonly TransactionEffect[] {
    switch (input.kind) {
      case "received":
        return this.#receive(input.message, { flow: input.flow, peer: input.peer }, now);
      case "request":
        return this.#request(input.request, input.to, input.timerC ?? false, now);
      case "respond":
        return input.forget === true
          ? this.#servers.refuse(input.key, input.response, now)
          : this.#servers.respond(input.key, input.response, now);
      case "cancel":
        return this.#clients.cancel(input.key, now);
      case "send":
        return [{ kind: "send", message: input.message, to: input.to }];
      case "sent":
        this.#clients.noteFlow(input.key, input.flow);
        return [];
      case "transport-failed":
        return [...this.#clients.fail(input.key, now), ...this.#servers.fail(input.key, now)];
      case "flow-closed":
        return [
          ...this.#clients.closeFlow(input.flow, now),
          ...this.#servers.closeFlow(input.flow, now),
        ];
      case "tick":
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    return this.#deadlines.next();
  }

  #receive(message: SipMessage, arrival: Arrival, now: Millis): readonly TransactionEffect[] {
    if (messageFault(message) !== undefined)
      return message.kind === "request"
        ? this.#refuse(message, 400, arrival, "malformed")
        : [{ kind: "dropped", reason: "malformed" }];
    if (message.kind === "response") return this.#clients.receive(message, arrival, now);
    const request = stampVia(message, arrival.peer);
    const isNew = !this.#servers.isKnown(request, arrival);
    if (isNew && request.method !== "ACK" && this.size >= this.#maxTransactions)
      return this.#refuse(request, 503, arrival, "overload");
    return this.#servers.receive(request, arrival, now);
  }

  /** Answers without a transaction: nothing is remembered of what could not be taken. */
  #refuse(
    request: SipRequest,
    status: 400 | 503,
    { flow }: Arrival,
    reason: DropReason,
  ): readonly TransactionEffect[] {
    const dropped: TransactionEffect = { kind: "dropped", reason };
    if (request.method === "ACK") return [dropped];
    const message = createResponse(request, status, {
      toTag: this.#newTag(),
      headers: status === 503 ? [["Retry-After", OVERLOAD_RETRY_AFTER_S]] : [],
    });
    return [{ kind: "send", message, to: flow }, dropped];
  }

  #request(
    request: SipRequest,
    to: FlowId | Target,
    timerC: boolean,
    now: Millis,
  ): readonly TransactionEffect[] {
    return this.#clients.start(request, to, { timerC, silent: false }, now);
  }

  #tick(now: Millis): readonly TransactionEffect[] {
    const effects: TransactionEffect[] = [];
    for (let key = this.#deadlines.takeDue(now); key; key = this.#deadlines.takeDue(now))
      effects.push(...this.#clients.tick(key, now), ...this.#servers.tick(key, now));
    return effects;
  }
}
