/**
 * All transactions of one element (RFC 3261 §17, RFC 6026). Pure.
 *
 * ```text
 * transport ──received──▶ ┌───────────────────┐ ──deliver-*──▶ user (proxy core or device)
 *           ◀───send───── │ transaction layer │ ◀─request, respond, cancel, send──
 * ```
 *
 * Only well-formed messages reach the user; a request that cannot be understood gets 400, a
 * response that answers nothing of ours is dropped (RFC 6026 §8.7). What is sent over UDP is sent
 * again until it is answered; over TCP and TLS nothing is. Responses return by the flow their
 * request came by, or find another way when that is gone (RFC 3261 §18.2.2).
 */
import { assertNever, isProtocolError } from "../errors.ts";
import type { Machine, Millis } from "../machine.ts";
import { messageFault } from "./check-message.ts";
import { type Client, ClientTransactions } from "./client-transactions.ts";
import { createResponse } from "./create-response.ts";
import { DeadlineHeap } from "./deadline-heap.ts";
import { MergedRequests } from "./merged-requests.ts";
import { type SipMessage, type SipRequest, withFirstValue } from "./message.ts";
import { messageTag } from "./name-addr.ts";
import { responseHop } from "./response-hop.ts";
import { type Server, ServerTransactions } from "./server-transactions.ts";
import type { SipTimers } from "./transaction.ts";
import type {
  Arrival,
  DropReason,
  TransactionEffect,
  TransactionInput,
} from "./transaction-events.ts";
import { isClientKey, serverKey, stampedVia, stampVia } from "./transaction-key.ts";
import { serializeVia, topVia, type Via } from "./via.ts";

export interface TransactionLayerSetting {
  readonly timers: SipTimers;
  /** For the To tags of responses made here. */
  readonly random: (size: number) => Buffer;
  /** Transactions without a final response at one time; new requests beyond get 503. */
  readonly maxTransactions?: number;
  /** Requests that may use the places kept for dialogs and pass an overload: emergency calls. */
  readonly isUrgent?: (request: SipRequest) => boolean;
  /**
   * A user agent refuses what has come to it before by another way with 482 (RFC 3261 §8.2.2.2);
   * to a proxy such requests are separate.
   */
  readonly refuseMerged?: boolean;
  /** A request whose connection is gone has failed, instead of being answered by another way. */
  readonly abandonLostFlows?: boolean;
}

export const MAX_TRANSACTIONS = 20_000;
/**
 * Transactions that have their answer and only wait for copies of it, for each one of those: over
 * UDP most stay for 64*T1.
 */
export const MAX_SETTLED_SHARE = 10;
/** Of the places, the part that is kept for requests inside a dialog, so that calls can end. */
export const DIALOG_SHARE = 0.2;
const OVERLOAD_RETRY_AFTER_S = "5";
const TAG_BYTES = 8;

export class TransactionLayer implements Machine<TransactionInput, TransactionEffect> {
  readonly #maxTransactions: number;
  readonly #maxOutsideDialog: number;
  readonly #maxAlive: number;
  readonly #isUrgent: (request: SipRequest) => boolean;
  readonly #newTag: () => string;
  readonly #deadlines = new DeadlineHeap<Client | Server>();
  readonly #clients: ClientTransactions;
  readonly #servers: ServerTransactions;
  readonly #merges: MergedRequests | undefined;
  readonly #abandonLostFlows: boolean;
  #isOverloaded = false;

  constructor(setting: TransactionLayerSetting) {
    const { timers, random, maxTransactions = MAX_TRANSACTIONS } = setting;
    this.#maxTransactions = maxTransactions;
    this.#maxOutsideDialog = Math.ceil(maxTransactions * (1 - DIALOG_SHARE));
    this.#maxAlive = maxTransactions * (1 + MAX_SETTLED_SHARE);
    this.#isUrgent = setting.isUrgent ?? (() => false);
    this.#abandonLostFlows = setting.abandonLostFlows === true;
    this.#newTag = () => random(TAG_BYTES).toString("hex");
    this.#clients = new ClientTransactions(timers, this.#deadlines);
    this.#servers = new ServerTransactions(timers, this.#deadlines, this.#newTag);
    this.#merges = setting.refuseMerged === true ? new MergedRequests() : undefined;
  }

  /** Transactions now alive. */
  get size(): number {
    return this.#clients.size + this.#servers.size;
  }

  /** @throws TypeError for a request without branch, or with one in use. */
  handle(input: TransactionInput, now: Millis): readonly TransactionEffect[] {
    const effects: TransactionEffect[] = [];
    switch (input.kind) {
      case "received":
        this.#receive(input.message, input, now, effects);
        break;
      case "request": {
        const options = { timerC: input.timerC ?? false, silent: false };
        this.#clients.start(input.request, input.to, options, now, effects);
        break;
      }
      case "respond":
        if (input.forget === true) this.#servers.refuse(input.key, input.response, now, effects);
        else this.#servers.respond(input.key, input.response, now, effects);
        break;
      case "cancel":
        this.#clients.cancel(input, now, effects);
        break;
      case "send":
        effects.push({ kind: "send", message: input.message, to: input.to });
        break;
      case "sent":
        this.#clients.noteFlow(input.key, input.flow);
        break;
      case "transport-failed":
        if (isClientKey(input.key)) this.#clients.fail(input.key, now, effects);
        else this.#servers.fail(input.key, now, effects);
        break;
      case "flow-closed":
        this.#clients.closeFlow(input.flow, now, effects);
        if (this.#abandonLostFlows) this.#servers.failFlow(input.flow, now, effects);
        else this.#servers.closeFlow(input.flow);
        break;
      case "overload":
        this.#isOverloaded = input.isOn;
        break;
      case "tick":
        this.#tick(now, effects);
        break;
      default:
        assertNever(input);
    }
    return effects;
  }

  deadline(): Millis | undefined {
    return this.#deadlines.next();
  }

  #receive(
    message: SipMessage,
    { flow, peer }: Arrival,
    now: Millis,
    effects: TransactionEffect[],
  ): void {
    const arrival = { flow, peer };
    if (messageFault(message) !== undefined)
      if (message.kind === "request")
        this.#refuse(stamped(message, arrival), 400, "malformed", effects);
      else effects.push({ kind: "dropped", reason: "malformed" });
    else if (message.kind === "response") this.#clients.receive(message, arrival, now, effects);
    else this.#receiveRequest(message, arrival, now, effects);
  }

  #receiveRequest(
    message: SipRequest,
    { flow, peer }: Arrival,
    now: Millis,
    effects: TransactionEffect[],
  ): void {
    const received = topVia(message);
    const via = stampedVia(received, peer);
    const request = via === received ? message : withFirstValue(message, "Via", serializeVia(via));
    const key = serverKey(request, via, peer);
    const keyed = { request, via, key, flow, peer };
    const isNew = request.method !== "ACK" && !this.#servers.has(key);
    if (isNew && this.#isTooMuch(request)) this.#refuse(keyed, 503, "overload", effects);
    else if (isNew && this.#merges?.isMerged(request, key, this.#servers) === true)
      this.#refuse(keyed, 482, "merged", effects);
    else this.#servers.receive(keyed, now, effects);
  }

  /** A CANCEL frees more than it takes, and what belongs to a dialog has places of its own. */
  #isTooMuch(request: SipRequest): boolean {
    const pending = this.#clients.pending + this.#servers.pending;
    if (pending >= this.#maxTransactions || this.size >= this.#maxAlive) return true;
    if (!this.#isOverloaded && pending < this.#maxOutsideDialog) return false;
    if (request.method === "CANCEL" || messageTag(request, "To") !== undefined) return false;
    return !this.#isUrgent(request);
  }

  /** Answers without a transaction: nothing is remembered of what could not be taken. */
  #refuse(
    { request, via, ...arrival }: Refused,
    status: 400 | 482 | 503,
    reason: DropReason,
    effects: TransactionEffect[],
  ): void {
    if (request.method !== "ACK") {
      const message = createResponse(request, status, {
        toTag: this.#newTag(),
        headers: status === 503 ? [["Retry-After", OVERLOAD_RETRY_AFTER_S]] : [],
      });
      const to = via === undefined ? arrival.flow : responseHop(via, arrival);
      effects.push({ kind: "send", message, to });
    }
    effects.push({ kind: "dropped", reason });
  }

  #tick(now: Millis, effects: TransactionEffect[]): void {
    for (let due = this.#deadlines.takeDue(now); due; due = this.#deadlines.takeDue(now))
      if ("silent" in due) this.#clients.wake(due, now, effects);
      else this.#servers.wake(due, now, effects);
  }
}

interface Refused extends Arrival {
  readonly request: SipRequest;
  /** Absent where it cannot be read. */
  readonly via?: Via;
}

/** Of a malformed request the Via may be what is wrong with it. */
function stamped(request: SipRequest, arrival: Arrival): Refused {
  try {
    const noted = stampVia(request, arrival.peer);
    return { request: noted, via: topVia(noted), ...arrival };
  } catch (error) {
    if (isProtocolError(error)) return { request, ...arrival };
    throw error;
  }
}
