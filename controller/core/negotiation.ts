/**
 * Offer and answer within one dialog: who has offered what, what is agreed on, and what may
 * therefore flow now (RFC 3264, RFC 6337). Pure.
 *
 *     offered ──answer──▶ agreed        the former agreement stays until the ACK, and a moment more
 *        └─failure──▶ as before
 *
 * An answer in an unreliable provisional response is a preview: the next one may replace it.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { Secret } from "../../protocol/secret.ts";
import type { Agreement, Offer } from "./agreement.ts";
import { type Carrier, INITIAL, isBinding, statusOf, viaOf } from "./carrier.ts";
import type { Side } from "./party.ts";

/** How long packets on their way still find a place that media has left. */
export const GRACE_MS = 1_000;
/** How long an answered INVITE waits for its ACK (RFC 3261 §13.3.1.4: 64*T1). */
export const ACK_TIMEOUT_MS = 32_000;
/** INVITEs and offers of one dialog under way at a time. */
export const MAX_OPEN_REQUESTS = 8;

/** An offer that waits for its answer. */
export interface Pending {
  readonly by: Side;
  /** The transaction that brought it. */
  readonly via: string;
  /** Undefined: it passed unopened, and so will its answer. */
  readonly offer: Offer | undefined;
  /** An unreliable provisional response has shown an answer. */
  readonly previewed: boolean;
}

/** What a message is to the dialog. */
export type Role =
  | { readonly kind: "offer" }
  | { readonly kind: "answer"; readonly pending: Pending; readonly binding: boolean }
  /** It confirms what a preview has said. */
  | { readonly kind: "settled" }
  /** An answer is due, and not there. */
  | { readonly kind: "absent" }
  /** An offer while another one is open (RFC 3261 §14.2, RFC 3311 §5.2). */
  | { readonly kind: "glare" }
  | { readonly kind: "none" };

/** An INVITE, or another request that brought an offer. */
interface OpenRequest {
  readonly by: Side;
  readonly isInvite: boolean;
  /** An offer came in it or in a response to it. */
  offered: boolean;
  /** What to go back to if it fails. */
  before: Agreement | undefined;
  /** Set once a 2xx has accepted an INVITE: when its ACK is waited for no longer. */
  ackBy: Millis | undefined;
}

interface Former {
  readonly agreement: Agreement;
  /** Undefined: until the INVITE that changed it is over. */
  readonly until: Millis | undefined;
}

const NONE: Role = { kind: "none" };
const OFFERING: ReadonlySet<string> = new Set(["INVITE", "UPDATE", "PRACK"]);

export class Negotiation {
  #agreed: Agreement | undefined;
  #former: Former | undefined;
  #pending: Pending | undefined;
  readonly #open = new Map<string, OpenRequest>();

  /** @param initial The INVITE's own offer; `absent`: the callee makes it. */
  constructor(initial: { readonly offer: Offer | undefined; readonly absent: boolean }) {
    const { offer, absent } = initial;
    this.#open.set(INITIAL, openRequest("caller", true, !absent, undefined));
    if (!absent) this.#pending = { by: "caller", via: INITIAL, offer, previewed: false };
  }

  /** As it was before a restart. */
  static restore(agreed: Agreement | undefined): Negotiation {
    const restored = new Negotiation({ offer: undefined, absent: true });
    restored.#open.clear();
    restored.#agreed = agreed;
    return restored;
  }

  get agreed(): Agreement | undefined {
    return this.#agreed;
  }

  get former(): Agreement | undefined {
    return this.#former?.agreement;
  }

  get pending(): Pending | undefined {
    return this.#pending;
  }

  /** Every key of what counts, or may yet be come back to. */
  get secrets(): readonly Secret[] {
    const before = [...this.#open.values()].map((request) => request.before);
    const offer = this.#pending?.offer;
    const kept = [this.#agreed, this.former, offer, ...before];
    const cek = offer?.firstKey?.cek;
    return [...kept.flatMap((each) => each?.secrets ?? []), ...(cek === undefined ? [] : [cek])];
  }

  deadline(): Millis | undefined {
    const times = [this.#former?.until, ...[...this.#open.values()].map(({ ackBy }) => ackBy)];
    const set = times.filter((time) => time !== undefined);
    return set.length === 0 ? undefined : Math.min(...set);
  }

  /** What a message is. @param described Whether it brings a session description. */
  roleOf(carrier: Carrier, described: boolean): Role {
    switch (carrier.kind) {
      case "response":
      case "request-response":
        return this.#roleOfResponse(carrier, described);
      case "request":
        return this.#roleOfRequest(carrier, described);
      case "ack":
        return this.#roleOfAck(carrier.by, described);
      default:
        return assertNever(carrier);
    }
  }

  /** True if another INVITE or offer would be one too many. */
  get isCrowded(): boolean {
    return this.#open.size >= MAX_OPEN_REQUESTS;
  }

  /** A request goes on that may come to change something. */
  begin({ by, ref, message }: Carrier & { kind: "request" }, described: boolean): void {
    const isInvite = message.method === "INVITE";
    if (isInvite) this.#dropAccepted(by);
    if (isInvite || described)
      this.#open.set(ref, openRequest(by, isInvite, described, this.#agreed));
  }

  /** True for what has to wait its turn; all else passes at once, whatever it says. */
  concerns(carrier: Carrier): boolean {
    if (carrier.kind === "request") {
      const { method, body } = carrier.message;
      return method === "INVITE" || (body.length > 0 && OFFERING.has(method));
    }
    return carrier.kind !== "request-response" || this.#open.has(carrier.ref);
  }

  /** Who sent that request. */
  senderOf(ref: string): Side | undefined {
    return this.#open.get(ref)?.by;
  }

  /** @param offer Undefined: it passes unopened. */
  offered(by: Side, via: string, offer: Offer | undefined): void {
    const request = this.#open.get(via);
    if (request !== undefined) request.offered = true;
    this.#pending = { by, via, offer, previewed: false };
  }

  /** Takes an agreement over from an answer; of an unopened one there is none. */
  answered(agreement: Agreement | undefined, carrier: Carrier, now: Millis): void {
    const pending = this.#pending;
    const binding = isBinding(carrier.message);
    this.#pending = binding || pending === undefined ? undefined : { ...pending, previewed: true };
    if (agreement === undefined || agreement === this.#agreed) return;
    if (this.#agreed !== undefined && pending?.previewed !== true) {
      const isInvite = this.#open.get(pending?.via ?? "")?.isInvite === true;
      this.#former = { agreement: this.#agreed, until: isInvite ? undefined : now + GRACE_MS };
    }
    this.#agreed = agreement;
    for (const [via, request] of this.#open) if (via !== pending?.via) request.before = agreement;
  }

  /** A final response to a request: what had not been answered by then is off. */
  finish(carrier: Carrier, now: Millis): void {
    const via = viaOf(carrier);
    const request = this.#open.get(via);
    if (request === undefined || statusOf(carrier) < 200) return;
    if (statusOf(carrier) >= 300) this.withdraw(via);
    else if (!request.isInvite) this.#open.delete(via);
    else {
      request.ackBy = now + ACK_TIMEOUT_MS;
      if (this.#pending?.via !== via) request.before = this.#agreed;
      if (this.#former !== undefined && this.#former.until === undefined)
        this.#former = { ...this.#former, until: request.ackBy };
    }
  }

  /** A request has failed: all is as it was before it. */
  withdraw(via: string): void {
    const request = this.#open.get(via);
    if (this.#pending?.via === via) this.#pending = undefined;
    this.#open.delete(via);
    if (request === undefined || request.before === this.#agreed) return;
    this.#agreed = request.before;
    if (this.#former?.until === undefined || this.#former.agreement === this.#agreed)
      this.#former = undefined;
  }

  /** The ACK of a 2xx came: what was before is over. */
  acknowledged(by: Side, now: Millis): void {
    this.#dropAccepted(by);
    if (this.#former !== undefined) this.#former = { ...this.#former, until: now + GRACE_MS };
  }

  /** Lets go of what has been left long enough, and of INVITEs that nobody acknowledged. */
  retire(now: Millis): void {
    if (this.#former?.until !== undefined && this.#former.until <= now) this.#former = undefined;
    for (const [via, { ackBy }] of this.#open)
      if (ackBy !== undefined && ackBy <= now) this.withdraw(via);
  }

  /** Nothing is agreed on any more, and nothing offered. */
  clear(keepPending = false): void {
    this.#agreed = undefined;
    this.#former = undefined;
    if (!keepPending) this.#pending = undefined;
    for (const request of this.#open.values()) request.before = undefined;
  }

  #dropAccepted(by: Side): void {
    for (const [via, request] of this.#open)
      if (request.isInvite && request.ackBy !== undefined && request.by === by)
        this.#open.delete(via);
  }

  #roleOfResponse(carrier: Carrier, described: boolean): Role {
    const pending = this.#pending;
    const via = viaOf(carrier);
    const status = statusOf(carrier);
    const binding = isBinding(carrier.message);
    if (status >= 300) return NONE;
    if (pending?.via === via && pending.by !== carrier.by) {
      if (described) return { kind: "answer", pending, binding };
      if (status < 200) return NONE;
      return { kind: pending.previewed || pending.offer === undefined ? "settled" : "absent" };
    }
    const request = this.#open.get(via);
    const mayOffer = pending === undefined && request?.isInvite === true && !request.offered;
    return mayOffer && described && binding ? { kind: "offer" } : NONE;
  }

  #roleOfRequest({ by, message }: Carrier & { kind: "request" }, described: boolean): Role {
    const pending = this.#pending;
    const offers = described && OFFERING.has(message.method);
    if (!offers && message.method !== "INVITE") return NONE;
    if (pending === undefined || pending.previewed) return described ? { kind: "offer" } : NONE;
    const answers = message.method === "PRACK" && pending.by !== by && this.#isInvite(pending);
    return answers ? { kind: "answer", pending, binding: true } : { kind: "glare" };
  }

  #roleOfAck(by: Side, described: boolean): Role {
    const pending = this.#pending;
    const request = pending === undefined ? undefined : this.#open.get(pending.via);
    const isDue = request?.isInvite === true && request.by === by && request.ackBy !== undefined;
    if (pending === undefined || pending.by === by || !isDue) return NONE;
    if (described) return { kind: "answer", pending, binding: true };
    return { kind: pending.offer === undefined ? "settled" : "absent" };
  }

  #isInvite({ via }: Pending): boolean {
    return this.#open.get(via)?.isInvite === true;
  }
}

const openRequest = (
  by: Side,
  isInvite: boolean,
  offered: boolean,
  before: Agreement | undefined,
): OpenRequest => ({ by, isInvite, offered, before, ackBy: undefined });
