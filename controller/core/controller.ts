/**
 * The controller's core: a call-stateful proxy (RFC 3261 §16) that lets a sealed call on only with
 * its holes open. It hands what it is told to the call that it concerns, and passes on the rest.
 * Pure.
 *
 * ```text
 *   transactions ──deliver-*──▶ ┌──────┐ ──inspect-*──▶ body inspector
 *        ▲                      │ core │ ──put, close─▶ order sealer, agent client
 *        └─────transaction───── └──────┘ ◀─results───── both
 * ```
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import { DeadlineQueue } from "../../protocol/sip/deadline-queue.ts";
import type { FlowId, Target } from "../../protocol/sip/flow.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { forwardResponse, upstreamFinal } from "../../protocol/sip/proxy.ts";
import type { FailureReason } from "../../protocol/sip/transaction.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { noteContact } from "./call-contacts.ts";
import type { CallEffect } from "./call-effect.ts";
import type { CallInput } from "./call-input.ts";
import { type CallRecord, CallTable } from "./call-table.ts";
import type { ControllerEffect, ControllerInput, ControllerSetting } from "./controller-port.ts";
import type { Neighbour } from "./forward.ts";
import { Gatekeeper } from "./gatekeeper.ts";
import { newCallRecord } from "./new-call.ts";
import type { Placing } from "./placing.ts";
import { type Relay, Relays } from "./relays.ts";
import { SeenBodies } from "./seen-bodies.ts";
import { respond, Sender, transaction } from "./sender.ts";
import { type Decision, type Rejection, Triage } from "./triage.ts";
import { refusalOf } from "./verdict.ts";

/** Calls known at one time, those that ended a while ago included. */
export const MAX_CALLS = 10_000;

/** A request on its way through. */
interface Passage {
  readonly received: SipRequest;
  /** Its server transaction. */
  readonly key: string;
  readonly from: Neighbour;
  /** Without our own Route. */
  readonly request: SipRequest;
  readonly to: FlowId | Target;
  /** Where that is, for our Via. */
  readonly toward: Neighbour;
  readonly dialog?: Relay["dialog"] & {};
}

export class Controller implements Machine<ControllerInput, ControllerEffect> {
  readonly #setting: ControllerSetting;
  readonly #calls = new CallTable();
  readonly #relays = new Relays();
  readonly #seen = new SeenBodies();
  readonly #deadlines = new DeadlineQueue();
  readonly #triage: Triage;
  readonly #sender: Sender;

  constructor(setting: ControllerSetting) {
    this.#setting = setting;
    this.#sender = new Sender(setting);
    const { sip: policy, nonceKey, random } = setting;
    const gatekeeper = new Gatekeeper({ policy, nonceKey, random });
    this.#triage = new Triage({ setting, gatekeeper, calls: this.#calls });
  }

  /** Calls now known. */
  get callCount(): number {
    return this.#calls.size;
  }

  handle(input: ControllerInput, now: Millis): readonly ControllerEffect[] {
    switch (input.kind) {
      case "deliver-request":
        return this.#request(input.request, input.key, input, now);
      case "deliver-ack":
        return this.#acknowledge(input.request, input, now);
      case "deliver-cancel":
        return this.#cancel(input.key, now);
      case "deliver-response":
        return this.#respond(input.key, input.response, now);
      case "failed":
        return input.side === "client"
          ? this.#respond(input.key, input.reason, now)
          : this.#cancel(input.key, now);
      case "dropped":
        return [{ kind: "dropped", reason: input.reason }];
      case "offer-inspected":
      case "answer-inspected":
        return this.#run(this.#calls.get(input.call), input, now);
      case "put-result":
      case "session-lost":
      case "recording-refused":
        return this.#run(this.#calls.ofSession(input.session), input, now);
      case "tick":
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const times = [this.#deadlines.next(), this.#relays.deadline()];
    const set = times.filter((time) => time !== undefined);
    return set.length === 0 ? undefined : Math.min(...set);
  }

  #request(
    received: SipRequest,
    key: string,
    arrival: Arrival,
    now: Millis,
  ): readonly ControllerEffect[] {
    const decision = this.#triage.decide(received, arrival, now);
    const passage = { received, key, from: arrival.peer };
    switch (decision.kind) {
      case "drop":
        return [];
      case "reject":
        return this.#sender.turnAway(received, key, decision.rejection);
      case "answer-options":
        return [this.#sender.answerOptions(received, key)];
      case "relay":
        return this.#pass({
          ...passage,
          request: decision.request,
          to: decision.to,
          toward: decision.to,
        });
      case "place":
        return this.#place(received, key, arrival, decision.placing, now);
      case "in-dialog":
        return this.#passInDialog(passage, arrival, decision, now);
      default:
        return assertNever(decision);
    }
  }

  #place(
    invite: SipRequest,
    serverKey: string,
    arrival: Arrival,
    placing: Placing,
    now: Millis,
  ): readonly ControllerEffect[] {
    const before = this.#calls.ofCaller(invite);
    if (before !== undefined && !before.call.isOver)
      return this.#sender.turnAway(invite, serverKey, { status: 482, reason: "Loop Detected" });
    if (this.#calls.size >= (this.#setting.maxCalls ?? MAX_CALLS))
      return this.#sender.turnAway(invite, serverKey, refusalOf("overloaded"));
    const made = { invite, serverKey, arrival, placing, seen: this.#seen };
    const record = newCallRecord(made, this.#setting, now);
    this.#calls.add(record);
    return this.#run(record, { kind: "start" }, now);
  }

  #passInDialog(
    passage: Pick<Passage, "received" | "key" | "from">,
    { flow, peer }: Arrival,
    { request, to, dialog: { record, side, tag } }: Decision & { kind: "in-dialog" },
    now: Millis,
  ): readonly ControllerEffect[] {
    const toward = typeof to === "string" ? record.callerPeer : to;
    if (side === "caller") {
      record.callerFlow = flow;
      record.callerPeer = peer;
    }
    const ended = { kind: "dialog-ended", tag, reason: request.method } as const;
    const dialog = { call: record.id, tag };
    return [
      ...(request.method === "BYE" ? this.#run(record, ended, now) : []),
      ...this.#pass({ ...passage, request, to, toward, dialog }),
    ];
  }

  #pass({
    received,
    key,
    from,
    request,
    to,
    toward,
    dialog,
  }: Passage): readonly ControllerEffect[] {
    const leaving = this.#sender.leave(request, { from, to: toward });
    if (leaving === undefined) return this.#sender.turnAway(received, key, UNREACHABLE);
    const relay = { clientKey: leaving.key, serverKey: key, request: received };
    this.#relays.add(dialog === undefined ? relay : { ...relay, dialog });
    const timerC = received.method === "INVITE";
    return [transaction({ kind: "request", request: leaving.request, to, timerC })];
  }

  /** The ACK of a 2xx: no transaction, no answer. */
  #acknowledge(received: SipRequest, arrival: Arrival, now: Millis): readonly ControllerEffect[] {
    const decision = this.#triage.decide(received, arrival, now);
    if (decision.kind !== "in-dialog") return [];
    const { request, to, dialog } = decision;
    const { record, side, tag } = dialog;
    const toward = typeof to === "string" ? record.callerPeer : to;
    const leaving = this.#sender.leave(request, { from: arrival.peer, to: toward });
    if (leaving === undefined) return [];
    return [
      ...(side === "caller" ? this.#run(record, { kind: "acknowledged", tag }, now) : []),
      transaction({ kind: "send", message: leaving.request, to }),
    ];
  }

  #cancel(serverKey: string, now: Millis): readonly ControllerEffect[] {
    const record = this.#calls.ofTransaction(serverKey);
    if (record !== undefined) return this.#run(record, { kind: "cancel" }, now);
    const relay = this.#relays.ofServer(serverKey);
    return relay?.request.method === "INVITE"
      ? [transaction({ kind: "cancel", key: relay.clientKey })]
      : [];
  }

  #respond(
    key: string,
    outcome: SipResponse | FailureReason,
    now: Millis,
  ): readonly ControllerEffect[] {
    if (typeof outcome !== "string" && outcome.status === 100) return [];
    // One that lost the Vias behind ours leads nowhere; a final one is the last word all the same.
    if (typeof outcome !== "string" && forwardResponse(outcome) === undefined)
      return outcome.status < 200 ? [] : this.#respond(key, "transport", now);
    const record = this.#calls.ofTransaction(key);
    if (record !== undefined && typeof outcome !== "string") noteContact(record, outcome);
    if (record !== undefined)
      return typeof outcome === "string"
        ? this.#run(record, { kind: "no-response", reason: outcome }, now)
        : this.#run(record, { kind: "response", response: outcome }, now);
    const relay = this.#relays.ofClient(key);
    return relay === undefined ? [] : this.#passBack(relay, outcome, now);
  }

  /** Whoever does not know a dialog, or cannot be reached within it, has left it (RFC 5057 §5.1). */
  #passBack(
    relay: Relay,
    outcome: SipResponse | FailureReason,
    now: Millis,
  ): readonly ControllerEffect[] {
    const response = this.#relays.pass(relay, outcome, this.#sender.newTag(), now);
    const back = response === undefined ? [] : [respond(relay.serverKey, response)];
    const status = response?.status ?? 0;
    if (relay.dialog === undefined || (status !== 481 && status !== 408)) return back;
    const { call, tag } = relay.dialog;
    const ended = { kind: "dialog-ended", tag, reason: `${status}` } as const;
    return [...this.#run(this.#calls.get(call), ended, now), ...back];
  }

  #run(record: CallRecord | undefined, input: CallInput, now: Millis): readonly ControllerEffect[] {
    if (record === undefined) {
      if (input.kind === "offer-inspected" && input.inspection.kind === "opened")
        input.inspection.firstKey.cek.wipe();
      return [];
    }
    const effects = record.call.handle(input, now);
    this.#deadlines.set(record.id, record.call.deadline());
    return effects.flatMap((effect) => this.#perform(record, effect, now));
  }

  #perform(record: CallRecord, effect: CallEffect, now: Millis): readonly ControllerEffect[] {
    const { id, invite, placing, serverKey, order, label } = record;
    switch (effect.kind) {
      case "inspect-offer":
        return [{ kind: "inspect-offer", call: id, request: placing.request }];
      case "inspect-answer":
        return [{ ...effect, call: id }];
      case "put":
        this.#calls.addSession(record, effect.put.session);
        return [{ kind: "put", put: effect.put, order }];
      case "close":
        return [effect];
      case "report":
        return [{ ...effect, call: label }];
      case "forward-invite":
        return this.#forwardInvite(record, now);
      case "forward-response": {
        const response = upstreamFinal(invite, effect.response, { toTag: this.#sender.newTag() });
        return response === undefined ? [] : [respond(serverKey, response)];
      }
      case "cancel-invite":
        return record.clientKey === undefined
          ? []
          : [transaction({ kind: "cancel", key: record.clientKey })];
      case "refuse":
        return [this.#sender.refuse(invite, serverKey, effect.refusal)];
      default:
        return assertNever(effect);
    }
  }

  #forwardInvite(record: CallRecord, now: Millis): readonly ControllerEffect[] {
    const { request, to } = record.placing;
    const leaving = this.#sender.leave(request, { from: record.callerPeer, to, recordRoute: true });
    if (leaving === undefined)
      return this.#run(record, { kind: "no-response", reason: "transport" }, now);
    this.#calls.addClient(record, leaving.key);
    return [transaction({ kind: "request", request: leaving.request, to, timerC: true })];
  }

  #tick(now: Millis): readonly ControllerEffect[] {
    this.#relays.tick(now);
    const effects: ControllerEffect[] = [];
    for (
      let id = this.#deadlines.takeDue(now);
      id !== undefined;
      id = this.#deadlines.takeDue(now)
    ) {
      const record = this.#calls.get(id);
      if (record === undefined) continue;
      if ((record.call.forgetAt ?? Number.POSITIVE_INFINITY) <= now) this.#calls.forget(record);
      else effects.push(...this.#run(record, { kind: "tick" }, now));
    }
    return effects;
  }
}

const UNREACHABLE: Rejection = { status: 500, reason: "Server Internal Error" };
