/**
 * The calls: what each asks for is done, what comes for each is handed to it (design of the sealed
 * call in docs/architecture.md). Pure.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { DeadlineHeap } from "../../protocol/sip/deadline-heap.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { labelOf } from "./call-label.ts";
import type { CallEffect, CallInput } from "./call-port.ts";
import { type CallRecord, CallTable } from "./call-table.ts";
import type { ControllerEffect } from "./controller-port.ts";
import { type DialogTable, senderOf } from "./dialog-table.ts";
import type { ForwardEffect, Forwarding, Forwards } from "./forwards.ts";
import { type CallMaking, type NewCall, newCallRecord, restoredCallRecord } from "./new-call.ts";
import type { Owner } from "./owner.ts";
import { SAVED_CALL_VERSION, type SavedCall, saveLeg } from "./saved-call.ts";
import { respond, type Sender } from "./sender.ts";
import { SESSION_EXPIRED, SessionClock } from "./session-clock.ts";
import type { Site } from "./site.ts";
import type { Passing } from "./triage.ts";
import type { Refusal } from "./verdict.ts";

/** A request of a call's dialog, until its final response. */
interface Passage {
  readonly record: CallRecord;
  readonly received: SipRequest;
  readonly passing: Passing;
  readonly arrival: Arrival;
}

export interface CallsSetting {
  readonly dialogs: DialogTable;
  readonly forwards: Forwards<Owner>;
  readonly sender: Sender;
  readonly making: () => CallMaking;
  readonly keepsCalls: boolean;
  /** Whether anybody reads what is merely good to know. */
  readonly tellsInfo: boolean;
  /** Hands responses among the effects to their owners. */
  readonly settle: (
    effects: readonly ForwardEffect<Owner>[],
    now: Millis,
  ) => readonly ControllerEffect[];
}

export class Calls {
  readonly #setting: CallsSetting;
  readonly #table = new CallTable();
  readonly #deadlines = new DeadlineHeap<CallRecord>();
  readonly #passages = new Map<string, Passage>();
  readonly #clock = new SessionClock();

  constructor(setting: CallsSetting) {
    this.#setting = setting;
  }

  get size(): number {
    return this.#table.size;
  }

  get running(): number {
    return this.#table.running;
  }

  callsOf(aor: string): number {
    return this.#table.callsOf(aor);
  }

  get(id: string | undefined): CallRecord | undefined {
    return id === undefined ? undefined : this.#table.get(id);
  }

  ofSession(session: string): CallRecord | undefined {
    return this.#table.ofSession(session);
  }

  deadline(): Millis | undefined {
    const [call, session] = [this.#deadlines.next(), this.#clock.deadline()];
    return call === undefined || session === undefined
      ? (call ?? session)
      : Math.min(call, session);
  }

  place(made: NewCall, now: Millis): readonly ControllerEffect[] {
    const record = newCallRecord(made, this.#setting.making(), now);
    this.#table.add(record);
    this.#setting.dialogs.add(record.dialogs);
    return this.run(record, { kind: "start" }, now);
  }

  /** Takes over a call of before a restart. */
  restore(id: string, saved: SavedCall, site: Site): void {
    const record = restoredCallRecord(id, saved, this.#setting.making(), site);
    this.#table.add(record);
    this.#setting.dialogs.add(record.dialogs);
    this.#deadlines.set(record, record.call.deadline());
  }

  /** A request of one of its dialogs, from a party of it. */
  request(
    record: CallRecord,
    key: string,
    passage: Omit<Passage, "record">,
    now: Millis,
  ): readonly ControllerEffect[] {
    const { request, place } = passage.passing;
    this.#passages.set(key, { ...passage, record });
    const input = { kind: "request", ref: key, tag: place.tag, side: place.side, request } as const;
    return this.run(record, input, now);
  }

  /** CANCEL of the INVITE with that server transaction; undefined if it is none of a call. */
  cancel(key: string, now: Millis): readonly ControllerEffect[] | undefined {
    const record = this.#table.ofServer(key);
    if (record !== undefined) return this.run(record, { kind: "cancel" }, now);
    const passage = this.#passages.get(key);
    if (passage === undefined) return undefined;
    const { tag } = passage.passing.place;
    const { forwards, settle } = this.#setting;
    return [
      ...this.run(passage.record, { kind: "request-cancelled", ref: key, tag }, now),
      ...settle(forwards.cancel(key, now), now),
    ];
  }

  /** A response for a request of a call: to its INVITE, or within one of its dialogs. */
  answer(
    { owner, key }: Pick<Forwarding<Owner>, "owner" | "key">,
    response: SipResponse,
    now: Millis,
  ): readonly ControllerEffect[] {
    switch (owner.kind) {
      case "invite":
        return this.run(owner.record, { kind: "response", response }, now);
      case "request": {
        const { record, tag } = owner;
        return this.run(record, { kind: "request-response", ref: key, tag, response }, now);
      }
      default:
        return [respond(key, response)];
    }
  }

  /** A branch refused: the early dialog that it made, if any, is over. */
  failBranch(record: CallRecord, response: SipResponse, now: Millis): readonly ControllerEffect[] {
    const tag = messageTag(response, "To") ?? "";
    if (!record.call.hasDialog(tag)) return [];
    return this.run(record, { kind: "dialog-ended", tag, reason: `${response.status}` }, now);
  }

  run(record: CallRecord | undefined, input: CallInput, now: Millis): readonly ControllerEffect[] {
    if (record === undefined) {
      if (input.kind === "inspected" && input.inspection.kind === "opened")
        input.inspection.firstKey?.cek.wipe();
      return [];
    }
    const asked = record.call.handle(input, now);
    this.#deadlines.set(record, record.call.deadline());
    const effects: ControllerEffect[] = [];
    for (const effect of asked) effects.push(...this.#perform(record, effect, now));
    if (record.call.isOver && record.isCounted) effects.push(...this.#end(record));
    return effects;
  }

  tick(now: Millis): readonly ControllerEffect[] {
    const effects: ControllerEffect[] = [];
    for (let due = this.#clock.takeDue(now); due !== undefined; due = this.#clock.takeDue(now)) {
      const ended = { kind: "dialog-ended", tag: due.tag, reason: SESSION_EXPIRED } as const;
      effects.push(...this.run(this.#table.get(due.call), ended, now));
    }
    for (let due = this.#deadlines.takeDue(now); due; due = this.#deadlines.takeDue(now))
      effects.push(...this.#wake(due, now));
    return effects;
  }

  #wake(record: CallRecord, now: Millis): readonly ControllerEffect[] {
    if ((record.call.forgetAt ?? Number.POSITIVE_INFINITY) > now)
      return this.run(record, { kind: "tick" }, now);
    this.#table.forget(record);
    this.#setting.dialogs.remove(record.dialogs);
    return [];
  }

  #end(record: CallRecord): readonly ControllerEffect[] {
    this.#table.settle(record);
    for (const tag of record.dialogs.callees.keys()) this.#clock.stop({ call: record.id, tag });
    if (!record.isSaved) return [];
    record.isSaved = false;
    return [{ kind: "forget-call", call: record.id }];
  }

  #perform(record: CallRecord, effect: CallEffect, now: Millis): readonly ControllerEffect[] {
    switch (effect.kind) {
      case "inspect":
        return [{ ...effect, call: record.id }];
      case "put":
        this.#table.addSession(record, effect.put.session);
        record.recording = effect.put.recording;
        return [{ kind: "put", put: effect.put, order: record.order }];
      case "close":
        return [effect];
      case "report":
        if (effect.level === "info" && !this.#setting.tellsInfo) return [];
        return [{ ...effect, call: labelOf(record.dialogs.callId) }];
      case "forward-invite":
        return this.#forwardInvite(record, now);
      case "forward-response":
        return this.#passBack(record, effect.response, now);
      case "cancel-invite": {
        const { forwards, settle } = this.#setting;
        const key = record.beginning?.serverKey;
        return key === undefined ? [] : settle(forwards.cancel(key, now), now);
      }
      case "refuse":
        return this.#refuse(record, effect.refusal);
      case "forward-request":
        return this.#forwardRequest(effect.ref, now);
      case "refuse-request": {
        const passage = this.#take(effect.ref);
        return passage === undefined
          ? []
          : [this.#setting.sender.refuse(passage.received, effect.ref, effect.refusal)];
      }
      case "forward-request-response":
        return this.#passBackWithin(effect.ref, effect.response, now);
      case "save":
        if (!this.#setting.keepsCalls) return [];
        record.isSaved = true;
        return [{ kind: "save-call", call: record.id, saved: savedCall(record, effect.snapshot) }];
      default:
        return assertNever(effect);
    }
  }

  #refuse({ beginning }: CallRecord, refusal: Refusal): readonly ControllerEffect[] {
    if (beginning?.asked === undefined) return [];
    const { invite } = beginning.asked;
    beginning.asked = undefined;
    return [this.#setting.sender.refuse(invite, beginning.serverKey, refusal)];
  }

  #passBack(record: CallRecord, response: SipResponse, now: Millis): readonly ControllerEffect[] {
    if (record.beginning === undefined) return [];
    const { serverKey, timed } = record.beginning;
    if (response.status >= 200) record.beginning.asked = undefined;
    if (response.status < 200 || response.status >= 300) return [respond(serverKey, response)];
    const dialog = { call: record.id, tag: messageTag(response, "To") ?? "" };
    return [respond(serverKey, this.#clock.pass(response, dialog, timed, now))];
  }

  #passBackWithin(ref: string, response: SipResponse, now: Millis): readonly ControllerEffect[] {
    const passage = response.status < 200 ? this.#passages.get(ref) : this.#take(ref);
    if (passage === undefined) return [respond(ref, response)];
    const { record, passing } = passage;
    const dialog = { call: record.id, tag: passing.place.tag };
    return [respond(ref, this.#clock.pass(response, dialog, passing.timed, now))];
  }

  #take(ref: string): Passage | undefined {
    const passage = this.#passages.get(ref);
    this.#passages.delete(ref);
    return passage;
  }

  #forwardInvite(record: CallRecord, now: Millis): readonly ControllerEffect[] {
    if (record.beginning?.asked === undefined) return [];
    const { serverKey } = record.beginning;
    const { invite, placing, from } = record.beginning.asked;
    const { request, plan } = placing;
    const { forwards, settle } = this.#setting;
    const begun = forwards.begin(
      {
        key: serverKey,
        received: invite,
        request,
        from,
        plan,
        recordRoute: true,
        owner: { kind: "invite", record },
        sender: record.dialogs.caller.whom,
      },
      now,
    );
    return settle(begun, now);
  }

  #forwardRequest(ref: string, now: Millis): readonly ControllerEffect[] {
    const passage = this.#passages.get(ref);
    if (passage === undefined) return [];
    const { record, received, passing, arrival } = passage;
    const { forwards, settle } = this.#setting;
    const { request, plan, place } = passing;
    const begun = forwards.begin(
      {
        key: ref,
        received,
        request,
        from: arrival.peer,
        plan,
        recordRoute: false,
        owner: { kind: "request", record, tag: place.tag },
        sender: senderOf(place),
      },
      now,
    );
    return settle(begun, now);
  }
}

function savedCall(record: CallRecord, call: SavedCall["call"]): SavedCall {
  const { dialogs, users, parties, mustRecord, emergency, sessions, order } = record;
  return {
    version: SAVED_CALL_VERSION,
    callId: dialogs.callId,
    callerTag: dialogs.callerTag,
    caller: saveLeg(dialogs.caller),
    callees: [...dialogs.callees].map(([tag, leg]) => [tag, saveLeg(leg)] as const),
    ...{ users, parties, mustRecord, emergency, order, call },
    sessions: [...sessions],
  };
}
