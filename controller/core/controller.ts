/**
 * The controller's core: a call-stateful proxy and registrar (RFC 3261 §10, §16) that lets media
 * in only with its holes open. It hands what it is told to the part that it concerns. Pure.
 *
 * ```text
 *   transactions ──deliver-*──▶ triage ─▶ calls ──inspect──▶ body inspector
 *        ▲                        │         │ ──put, close──▶ order sealer, agent client
 *        │                        ▼         ▼
 *        └──transaction──────── forwards, registrations ──store-*──▶ database
 *                                 certificates ──open-*, certify, verify-*, sign-*──▶ desks
 * ```
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import type { FailureReason } from "../../protocol/sip/transaction.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import type { Binding } from "./bindings.ts";
import { admitCall } from "./call-limits.ts";
import { CallLinks } from "./call-links.ts";
import type { CallInput } from "./call-port.ts";
import { Calls } from "./calls.ts";
import type {
  ControllerEffect,
  ControllerInput,
  ControllerRules,
  ControllerSetting,
} from "./controller-port.ts";
import { isOutside } from "./dialog-guard.ts";
import { DialogTable } from "./dialog-table.ts";
import { type ForwardEffect, Forwards } from "./forwards.ts";
import { Gatekeeper, type GatekeeperSetting } from "./gatekeeper.ts";
import { Neighbourhood } from "./neighbourhood.ts";
import { noteCallee, noteSender } from "./note-party.ts";
import type { Owner } from "./owner.ts";
import { Registrations } from "./registrations.ts";
import { Relays } from "./relays.ts";
import type { SavedCall } from "./saved-call.ts";
import { SeenBodies } from "./seen-bodies.ts";
import { Sender } from "./sender.ts";
import type { Site } from "./site.ts";
import { type Decision, Triage } from "./triage.ts";
import { UserCertificates } from "./user-certificates.ts";

/** Calls that run at one time. */
export const MAX_CALLS = 10_000;
/** 64*T1, as long as T1 is what RFC 3261 says. */
export const ACCEPTED_MS = 32_000;

export class Controller implements Machine<ControllerInput, ControllerEffect> {
  readonly #setting: ControllerSetting;
  readonly #seen = new SeenBodies();
  readonly #dialogs = new DialogTable();
  readonly #forwards: Forwards<Owner>;
  readonly #calls: Calls;
  readonly #relays: Relays;
  readonly #registrations: Registrations;
  readonly #certificates: UserCertificates;
  readonly #links: CallLinks;
  readonly #triage: Triage;
  readonly #sender: Sender;
  #rules: ControllerRules;
  #site: Site;

  constructor(setting: ControllerSetting) {
    this.#setting = setting;
    this.#rules = setting;
    this.#site = siteOf(setting, this.#firstGatekeeper(setting));
    const { random, acceptedMs = ACCEPTED_MS, keepsCalls = false, tellsInfo = true } = setting;
    const site = () => this.#site;
    const settle = (effects: readonly ForwardEffect<Owner>[], now: Millis) =>
      this.#settle(effects, now);
    this.#sender = new Sender({ random, rules: () => this.#rules });
    const neighbourhood = () => this.#site.neighbourhood;
    this.#forwards = new Forwards({ sender: this.#sender, neighbourhood, random, acceptedMs });
    const shared = { dialogs: this.#dialogs, forwards: this.#forwards, settle };
    const making = () => ({ rules: this.#rules, seen: this.#seen, random });
    this.#calls = new Calls({ ...shared, sender: this.#sender, making, keepsCalls, tellsInfo });
    this.#relays = new Relays({ ...shared, neighbourhood, random });
    this.#registrations = new Registrations({
      site,
      sender: this.#sender,
      limits: setting.registrar,
    });
    const recordingOf = (id: string | undefined) => this.#calls.get(id)?.recording;
    this.#links = new CallLinks({ dialogs: this.#dialogs, recordingOf });
    const bindingsOf = (aor: string, now: Millis) => this.#registrations.lookup(aor, now);
    this.#triage = new Triage({ site, dialogs: this.#dialogs, bindingsOf });
    this.#certificates = new UserCertificates({ site, sender: this.#sender, random, bindingsOf });
  }

  /** Calls now known. */
  get callCount(): number {
    return this.#calls.size;
  }

  /** Requests that wait for a final response. */
  get pendingCount(): number {
    return this.#forwards.pendingCount;
  }

  /** Takes over what an earlier run stored. */
  restore(
    bindings: readonly Binding[],
    calls: readonly { readonly id: string; readonly saved: SavedCall }[],
  ): void {
    this.#registrations.load(bindings);
    for (const { id, saved } of calls) this.#calls.restore(id, saved, this.#site);
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
        return this.#respond(input.key, input.response, input, now);
      case "failed":
        return input.side === "client"
          ? this.#fail(input.key, input.reason, now)
          : this.#cancel(input.key, now);
      case "dropped":
        return [{ kind: "dropped", reason: input.reason }];
      case "inspected":
        return this.#calls.run(this.#calls.get(input.call), input, now);
      case "put-result":
      case "session-lost":
      case "recording-refused":
        return this.#calls.run(this.#calls.ofSession(input.session), input, now);
      case "located":
        return this.#located(input, now);
      case "flow-closed":
        return this.#loseFlow(input.flow);
      case "registration-opened":
        return this.#registrations.opened(input.ref, input.outcome, now);
      case "certified":
        return this.#told(this.#registrations.certified(input.ref, input.outcome, now), now);
      case "asker-verified":
        return this.#certificates.verified(input.ref, input.outcome, now);
      case "answer-signed":
        return this.#certificates.signed(input.ref, input.outcome);
      case "certificates-revoked":
        return this.#told(this.#registrations.sweep(), now);
      case "reload":
        this.#rules = input.rules;
        this.#site = siteOf(input.rules, this.#site.gatekeeper);
        return [...this.#registrations.sweep(), ...this.#certificates.reload(now)];
      case "tick":
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    let earliest = Number.POSITIVE_INFINITY;
    for (const part of this.#parts) earliest = Math.min(earliest, part.deadline() ?? earliest);
    return earliest === Number.POSITIVE_INFINITY ? undefined : earliest;
  }

  #firstGatekeeper({ sip: policy, nonceKey, random }: ControllerSetting): Gatekeeper {
    const isInService: GatekeeperSetting["isInService"] = (certificate, now) =>
      this.#registrations.isInService(certificate, now);
    const neighbourhood = new Neighbourhood(policy);
    return new Gatekeeper({ policy, neighbourhood, nonceKey, random, isInService });
  }

  get #parts() {
    return [this.#calls, this.#forwards, this.#dialogs, this.#registrations, this.#certificates];
  }

  #request(
    received: SipRequest,
    key: string,
    arrival: Arrival,
    now: Millis,
  ): readonly ControllerEffect[] {
    const watched = this.#certificates.receive({ received, key, arrival }, now);
    if (watched !== undefined) return watched;
    const decision = this.#triage.decide(received, arrival, now);
    switch (decision.kind) {
      case "drop":
        return [];
      case "reject":
        return this.#sender.turnAway(received, key, decision.rejection);
      case "answer-options":
        return [this.#sender.answerOptions(received, key)];
      case "register":
        return this.#told(
          this.#registrations.register({ received, key, arrival, user: decision.user }, now),
          now,
        );
      case "register-sealed": {
        const sealed = { received, key, arrival, user: decision.user };
        return this.#registrations.registerSealed(sealed, now);
      }
      case "query-certificates":
        return this.#certificates.query({ received, key, arrival, ...decision.asked }, now);
      case "watch-certificates":
        return this.#certificates.watch({ received, key, arrival, ...decision.asked }, now);
      case "place":
        return this.#place(received, key, arrival, decision, now);
      case "relay":
        return this.#relays.begin({ received, key, arrival, relaying: decision.relaying }, now);
      case "in-dialog":
        return this.#passInDialog(received, key, arrival, decision, now);
      default:
        return assertNever(decision);
    }
  }

  #place(
    invite: SipRequest,
    serverKey: string,
    arrival: Arrival,
    { placing }: Decision & { kind: "place" },
    now: Millis,
  ): readonly ControllerEffect[] {
    const before = this.#dialogs.ofCaller(invite);
    // A dialog without a call is a subscription: an INVITE by its names would take it over.
    const isRunning =
      before !== undefined &&
      (before.call === undefined || this.#calls.get(before.call)?.call.isOver === false);
    const limits = { maxCalls: this.#setting.maxCalls ?? MAX_CALLS, calls: this.#calls, isRunning };
    const refused = admitCall(placing, limits);
    if (refused !== undefined) return this.#sender.turnAway(invite, serverKey, refused);
    const linked = this.#links.linkOf(invite, placing.origin, now);
    return this.#calls.place({ invite, serverKey, arrival, placing, linked }, now);
  }

  #passInDialog(
    received: SipRequest,
    key: string,
    arrival: Arrival,
    { passing }: Decision & { kind: "in-dialog" },
    now: Millis,
  ): readonly ControllerEffect[] {
    noteSender(passing, arrival);
    this.#links.note(received, passing.place, now);
    const record = this.#calls.get(passing.place.set.call);
    return record === undefined
      ? this.#relays.pass({ received, key, arrival, passing }, now)
      : this.#calls.request(record, key, { received, passing, arrival }, now);
  }

  /** The ACK of a 2xx: no transaction, no answer. */
  #acknowledge(received: SipRequest, arrival: Arrival, now: Millis): readonly ControllerEffect[] {
    const decision = this.#triage.decide(received, arrival, now);
    if (decision.kind !== "in-dialog") return [];
    const { request, place } = decision.passing;
    const { set, side, tag } = place;
    const input: CallInput = { kind: "acknowledged", tag, side, ack: request };
    return [
      ...this.#relays.acknowledge(decision.passing, arrival),
      ...this.#calls.run(this.#calls.get(set.call), input, now),
    ];
  }

  #cancel(key: string, now: Millis): readonly ControllerEffect[] {
    return this.#calls.cancel(key, now) ?? this.#settle(this.#forwards.cancel(key, now), now);
  }

  #respond(
    client: string,
    response: SipResponse,
    arrival: Arrival,
    now: Millis,
  ): readonly ControllerEffect[] {
    const place = this.#forwards.placeOf(client);
    if (place === undefined) return this.#certificates.respond(client, response, now) ?? [];
    const { owner } = place.forwarding;
    const ended =
      response.status >= 300 && owner.kind === "invite"
        ? this.#calls.failBranch(owner.record, response, now)
        : [];
    if (response.status > 100 && response.status < 300)
      noteCallee(owner, response, place.hop, arrival);
    const passed = this.#settle(this.#forwards.receive(client, response, now), now);
    return ended.length === 0 ? passed : [...ended, ...passed];
  }

  #fail(client: string, reason: FailureReason, now: Millis): readonly ControllerEffect[] {
    return (
      this.#certificates.failed(client, reason) ??
      this.#settle(this.#forwards.failed(client, reason, now), now)
    );
  }

  #loseFlow(flow: FlowId): readonly ControllerEffect[] {
    this.#dialogs.closeFlow(flow);
    this.#certificates.dropFlow(flow);
    return this.#registrations.dropFlow(flow);
  }

  /** Names that strangers choose lead outside or nowhere; those of our own routes, where they say. */
  #located(
    { ref, targets }: ControllerInput & { kind: "located" },
    now: Millis,
  ): readonly ControllerEffect[] {
    const isTrusted = this.#forwards.isToTrunk(ref);
    const allowed = isTrusted
      ? targets
      : targets.filter(({ address }) => isOutside(this.#site, address));
    return (
      this.#relays.located(ref, allowed) ??
      this.#settle(this.#forwards.located(ref, allowed, now), now)
    );
  }

  /** What was done to bindings, and what comes of it. */
  #told(effects: readonly ControllerEffect[], now: Millis): readonly ControllerEffect[] {
    return this.#certificates.told(effects, now);
  }

  /** Hands responses to whoever the request was for. */
  #settle(effects: readonly ForwardEffect<Owner>[], now: Millis): readonly ControllerEffect[] {
    const settled: ControllerEffect[] = [];
    for (const effect of effects)
      if (effect.kind === "respond")
        settled.push(...this.#calls.answer(effect.forwarding, effect.response, now));
      else settled.push(effect);
    return settled;
  }

  #tick(now: Millis): readonly ControllerEffect[] {
    this.#dialogs.tick(now);
    return [
      ...this.#settle(this.#forwards.tick(now), now),
      ...this.#calls.tick(now),
      ...this.#told(this.#registrations.expire(now), now),
      ...this.#certificates.tick(now),
    ];
  }
}

/** What is left of a gatekeeper stays: nonces that were given out are still good. */
function siteOf(rules: ControllerRules, before: Gatekeeper): Site {
  const { sip: policy, media, authority } = rules;
  const neighbourhood = new Neighbourhood(policy);
  const gatekeeper = before.with(policy, neighbourhood);
  return { policy, neighbourhood, gatekeeper, media, authority };
}
