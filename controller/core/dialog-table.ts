/**
 * Between whom dialogs run, so that a request of one comes from a party of it and goes to the other
 * (RFC 3261 §12.2). All dialogs that one request made are found by its Call-ID and the caller's tag.
 * Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { DeadlineQueue } from "../../protocol/sip/deadline-queue.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import { headerValue, type SipMessage, type SipRequest } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import type { Neighbour } from "./neighbourhood.ts";
import type { Whom } from "./next-hops.ts";
import type { Side } from "./party.ts";

/** One end of a dialog, as it was last seen. */
export interface Leg {
  readonly whom: Whom;
  /** Where it is; the connection that it used last, authenticated. */
  flow: FlowId | undefined;
  peer: Neighbour;
  /** Canonical host of its Contact. */
  contact: string | undefined;
}

/** The dialogs that one request made. */
export interface DialogSet {
  readonly callId: string;
  readonly callerTag: string;
  readonly caller: Leg;
  /** By the tag that each gave. */
  readonly callees: Map<string, Leg>;
  /** The call that its INVITE is of; without one it ends by itself. */
  readonly call?: string;
  /** Of a dialog without INVITE: where its request went, since NOTIFY may come before any response. */
  readonly asked: Leg[];
}

/** A request of a dialog: which, and which of its parties is named as the sender. */
export interface DialogPlace {
  readonly set: DialogSet;
  readonly side: Side;
  /** The callee's tag. */
  readonly tag: string;
}

/** Dialogs that one request may make. */
export const MAX_CALLEES = 16;
/** Connections that are known to be gone; one that is forgotten is tried in vain. */
export const MAX_CLOSED_FLOWS = 10_000;

export class DialogTable {
  readonly #sets = new Map<string, DialogSet>();
  readonly #ends = new DeadlineQueue();
  readonly #closed = new Set<FlowId>();

  get size(): number {
    return this.#sets.size;
  }

  /** @param endsAt For dialogs of no call. */
  add(set: DialogSet, endsAt?: Millis): void {
    const key = keyOf(set.callId, set.callerTag);
    this.#sets.set(key, set);
    if (endsAt !== undefined) this.#ends.set(key, endsAt);
  }

  /** The dialogs that this caller made with this Call-ID. */
  ofCaller(message: SipMessage): DialogSet | undefined {
    return this.#sets.get(keyOf(callIdOf(message), messageTag(message, "From") ?? ""));
  }

  /** The dialog of a request with both tags; a tag that is not known yet only where one may come. */
  find(request: SipRequest): DialogPlace | undefined {
    const [from, to] = [messageTag(request, "From") ?? "", messageTag(request, "To") ?? ""];
    const callId = callIdOf(request);
    const made = this.#sets.get(keyOf(callId, from));
    if (made?.callees.has(to) === true) return { set: made, side: "caller", tag: to };
    const taken = this.#sets.get(keyOf(callId, to));
    if (taken === undefined) return undefined;
    const known = taken.callees.has(from) || taken.asked.length > 0;
    return known ? { set: taken, side: "callee", tag: from } : undefined;
  }

  /** The dialogs that have one of these two tags as the caller's and the other as a callee's. */
  ofTags(callId: string, one: string, other: string): DialogSet | undefined {
    const made = this.#sets.get(keyOf(callId, one));
    if (made?.callees.has(other) === true) return made;
    const taken = this.#sets.get(keyOf(callId, other));
    return taken?.callees.has(one) === true ? taken : undefined;
  }

  /** A connection is gone: no party is reached by it any more. */
  closeFlow(flow: FlowId): void {
    this.#closed.add(flow);
    const [oldest] = this.#closed;
    if (this.#closed.size > MAX_CLOSED_FLOWS && oldest !== undefined) this.#closed.delete(oldest);
  }

  /** The other party of a request's dialog, without a connection that is gone. */
  receiverOf(place: DialogPlace): Leg | undefined {
    const leg = receiverOf(place);
    if (leg?.flow !== undefined && this.#closed.has(leg.flow)) leg.flow = undefined;
    return leg;
  }

  /** Prolongs a dialog of no call. */
  touch({ callId, callerTag, call }: DialogSet, endsAt: Millis): void {
    if (call === undefined) this.#ends.set(keyOf(callId, callerTag), endsAt);
  }

  remove(set: DialogSet): void {
    const key = keyOf(set.callId, set.callerTag);
    // The caller may have used the same Call-ID anew meanwhile.
    if (this.#sets.get(key) !== set) return;
    this.#sets.delete(key);
    this.#ends.set(key, undefined);
  }

  deadline(): Millis | undefined {
    return this.#ends.next();
  }

  tick(now: Millis): void {
    for (let key = this.#ends.takeDue(now); key !== undefined; key = this.#ends.takeDue(now))
      this.#sets.delete(key);
  }
}

/** The party that a request of a dialog names as its sender. */
export const senderOf = ({ set, side, tag }: DialogPlace): Whom =>
  (side === "caller" ? set.caller : (set.callees.get(tag) ?? set.asked[0]))?.whom ?? NOBODY;

/** The other party. */
export const receiverOf = ({ set, side, tag }: DialogPlace): Leg | undefined =>
  side === "caller" ? set.callees.get(tag) : set.caller;

const NOBODY: Whom = {};

export const callIdOf = (message: SipMessage): string => headerValue(message, "Call-ID") ?? "";

/** NUL stands in neither. */
const keyOf = (callId: string, tag: string): string => `${callId}\0${tag}`;
