/**
 * The calls now known, found by the name that the shells use, by server transaction and by session,
 * and how many each user has. Pure. A call is forgotten a while after it has ended, and only then.
 */
import type { Machine, Millis } from "../../protocol/machine.ts";
import type { Waiting } from "../../protocol/sip/deadline-heap.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import type { TimedRequest } from "../../protocol/sip/session-timer.ts";
import type { CallEffect, CallInput } from "./call-port.ts";
import type { CallId } from "./controller-port.ts";
import type { DialogSet } from "./dialog-table.ts";
import type { Neighbour } from "./neighbourhood.ts";
import type { OrderHead } from "./order-head.ts";
import type { Party } from "./party.ts";
import type { Placing } from "./placing.ts";

/** What a record needs of its call. */
export interface CallMachine extends Machine<CallInput, CallEffect> {
  readonly isOver: boolean;
  /** When a call that is over may be forgotten. */
  readonly forgetAt: Millis | undefined;
  hasDialog(tag: string): boolean;
}

/** The INVITE of a call. */
export interface Beginning {
  readonly serverKey: string;
  readonly timed: TimedRequest | undefined;
  /** Until it has its final response. */
  asked:
    | { readonly invite: SipRequest; readonly placing: Placing; readonly from: Neighbour }
    | undefined;
}

export interface CallRecord extends Waiting {
  readonly id: CallId;
  readonly call: CallMachine;
  readonly dialogs: DialogSet;
  /** Absent in a call that a restart took over. */
  readonly beginning: Beginning | undefined;
  /** Addresses of record of our users in it. */
  readonly users: readonly string[];
  readonly parties: { readonly caller: Party; readonly callee: Party };
  readonly mustRecord: boolean;
  readonly emergency: boolean;
  readonly sessions: Set<string>;
  readonly order: OrderHead;
  /** The recording that was ordered last. */
  recording: string | undefined;
  /** It counts against the limits of its users. */
  isCounted: boolean;
  isSaved: boolean;
}

export class CallTable {
  readonly #byId = new Map<CallId, CallRecord>();
  readonly #byServer = new Map<string, CallRecord>();
  readonly #bySession = new Map<string, CallRecord>();
  readonly #counts = new Map<string, number>();
  #running = 0;

  /** Those that ended a while ago included. */
  get size(): number {
    return this.#byId.size;
  }

  /** Calls that are not over. */
  get running(): number {
    return this.#running;
  }

  add(record: CallRecord): void {
    this.#byId.set(record.id, record);
    if (record.beginning !== undefined) this.#byServer.set(record.beginning.serverKey, record);
    for (const session of record.sessions) this.#bySession.set(session, record);
    for (const aor of record.users) this.#counts.set(aor, this.callsOf(aor) + 1);
    this.#running += 1;
  }

  addSession(record: CallRecord, session: string): void {
    record.sessions.add(session);
    this.#bySession.set(session, record);
  }

  get(id: CallId): CallRecord | undefined {
    return this.#byId.get(id);
  }

  ofServer(key: string): CallRecord | undefined {
    return this.#byServer.get(key);
  }

  ofSession(session: string): CallRecord | undefined {
    return this.#bySession.get(session);
  }

  /** Calls that a user takes part in. */
  callsOf(aor: string): number {
    return this.#counts.get(aor) ?? 0;
  }

  /** The call is over: it counts no more. */
  settle(record: CallRecord): void {
    if (!record.isCounted) return;
    record.isCounted = false;
    this.#running -= 1;
    for (const aor of record.users) {
      const left = this.callsOf(aor) - 1;
      if (left > 0) this.#counts.set(aor, left);
      else this.#counts.delete(aor);
    }
  }

  forget(record: CallRecord): void {
    this.settle(record);
    this.#byId.delete(record.id);
    if (record.beginning !== undefined) this.#byServer.delete(record.beginning.serverKey);
    for (const session of record.sessions) this.#bySession.delete(session);
  }
}
