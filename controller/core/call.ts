/**
 * One call, from its INVITE to its end: what is asked of the body inspector and the gateway, and
 * what may go on (RFC 3261 §16, docs/architecture.md). Its dialogs follow their own media
 * (`call-leg.ts`). Pure.
 *
 *     inspecting ─▶ opening ─▶ proceeding ─▶ answered ─▶ closed
 *         │            │            │            └ BYE, 481, no ACK
 *         └────────────┴────────────┴ refused, cancelled, final error
 *
 * The INVITE goes on only when its holes are applied. One whose body is not for us, or that asks for
 * nothing here, passes as it came. CANCEL closes nothing once the INVITE has gone on; the final
 * response does. Keys are wiped at the end.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import type { SipResponse } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import type { Offer } from "./agreement.ts";
import { CallDialogs, type DialogsSetting, type InitialOffer } from "./call-dialogs.ts";
import type {
  CallEffect,
  CallInput,
  CallRules,
  CallSetting,
  Inspection,
  LegEffect,
} from "./call-port.ts";
import type { CallSnapshot } from "./call-snapshot.ts";
import {
  type CallState,
  judgingOf,
  namesOf,
  type RestoredSetting,
  report,
  UNOPENED,
} from "./call-state.ts";
import { type Content, judgeOffer, type Names } from "./inspection.ts";
import { withRecording } from "./leg-gate.ts";
import { INSPECTION_TIMEOUT_MS } from "./leg-port.ts";
import { LegSession } from "./leg-session.ts";
import { ACK_TIMEOUT_MS } from "./negotiation.ts";
import { OwnedKeys } from "./owned-keys.ts";
import { sessionBody } from "./session-body.ts";
import { CANCELLED, NO_DIALOG, type RequestVerdict, refusalOf, verdictOfFault } from "./verdict.ts";
import { wantedOfOffer } from "./wanted.ts";

/** How long the messages of an ended call still find their way. */
export const LINGER_MS = 32_000;
/** No call lasts longer: its BYE was lost. */
export const MAX_CALL_MS = 86_400_000;

const ELSEWHERE = "answered elsewhere";
const NO_ACK = "no ACK";
/** Names the inspection of the INVITE; those of dialogs hold a blank. */
const INVITE_REF = "invite";
export class Call implements Machine<CallInput, CallEffect> {
  readonly #setting: CallSetting | RestoredSetting;
  readonly #names: Names;
  readonly #judging: DialogsSetting;
  readonly #dialogs: CallDialogs;
  readonly #keys = new OwnedKeys();
  #state: CallState = { kind: "new" };

  constructor(setting: CallSetting | RestoredSetting) {
    this.#setting = setting;
    this.#names = setting.invite === undefined ? setting.names : namesOf(setting.invite);
    this.#judging = judgingOf(setting, this.#names);
    this.#dialogs = new CallDialogs(this.#judging);
  }

  /** A call that was answered before a restart. */
  static restore({ endsAt, names, dialogs }: CallSnapshot, rules: CallRules): Call {
    const { caller, callee } = names;
    const known = { caller: caller ?? undefined, callee: callee ?? undefined };
    const call = new Call({ ...rules, names: known });
    call.#dialogs.restore(dialogs);
    const answered = { kind: "answered", initial: UNOPENED, acknowledged: true } as const;
    call.#state = { ...answered, deadline: endsAt, endsAt };
    return call;
  }

  /** True for a dialog of this call, by the tag that the callee gave. */
  hasDialog(tag: string): boolean {
    return this.#dialogs.has(tag);
  }

  get isOver(): boolean {
    return this.#state.kind === "closed";
  }

  /** Its sessions on the gateway. */
  get sessions(): readonly string[] {
    return this.#dialogs.sessions;
  }

  /** The recording of a dialog, so that the call which replaces it can name it (RFC 3891). */
  recordingOf(tag: string): string | undefined {
    return this.#dialogs.recordingOf(tag);
  }

  /** When a closed call may be forgotten. */
  get forgetAt(): Millis | undefined {
    return this.#state.kind === "closed" ? this.#state.until : undefined;
  }

  handle(input: CallInput, now: Millis): readonly CallEffect[] {
    const effects = this.#take(input, now);
    const { kind } = this.#state;
    if (kind !== "answered" || !this.#dialogs.takeChange()) return effects;
    return [...effects, { kind: "save", snapshot: this.#snapshot(this.#state.endsAt) }];
  }

  #take(input: CallInput, now: Millis): readonly CallEffect[] {
    switch (input.kind) {
      case "start":
        return this.#start(now);
      case "inspected":
        return this.#inspected(input.ref, input.inspection, now);
      case "put-result":
        return this.#settle(input, now);
      case "response":
        return this.#respond(input.response, now);
      case "cancel":
        return this.#cancel(now);
      case "acknowledged":
        return this.#acknowledge(input, now);
      case "request":
        return this.#request(input, now);
      case "request-response":
        return this.#requestResponse(input, now);
      case "request-cancelled":
        return this.#run(input.tag, { kind: "withdrawn", ref: input.ref }, now) ?? [];
      case "dialog-ended":
        return this.#endDialog(input.tag, input.reason, now);
      case "session-lost":
        return this.#loseSession(input.session, now);
      case "recording-refused":
        return this.#loseRecording(input.session, now);
      case "tick":
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const own = "deadline" in this.#state ? this.#state.deadline : this.forgetAt;
    const theirs = this.#dialogs.deadline();
    if (own === undefined || theirs === undefined) return own ?? theirs;
    return Math.min(own, theirs);
  }

  #start(now: Millis): readonly CallEffect[] {
    if (this.#setting.invite === undefined) return [];
    const { invite, linked, parties, emergency } = this.#setting;
    const told = linked === undefined ? [] : [report("info", "call-linked", { reason: linked })];
    const body = sessionBody(invite);
    if (body.kind === "absent")
      return [...told, ...this.#proceed({ offer: undefined, absent: true })];
    if (this.#judging === undefined) {
      const mustSeal = parties.caller.requireSealed || parties.callee.requireSealed;
      const isOpen = body.kind === "clear" && mustSeal && !emergency;
      return isOpen ? this.#refuse("sealing-required", now) : this.#proceed(UNOPENED);
    }
    if (body.kind === "clear") return [...told, ...this.#judge(body, now)];
    this.#state = { kind: "inspecting", deadline: now + INSPECTION_TIMEOUT_MS };
    return [...told, { kind: "inspect", ref: INVITE_REF, message: invite }];
  }

  #inspected(ref: string, inspection: Inspection, now: Millis): readonly CallEffect[] {
    if (ref !== INVITE_REF) {
      const tag = ref.slice(ref.indexOf(" ") + 1);
      const effects = this.#run(tag, { kind: "inspected", ref, inspection }, now);
      if (effects === undefined) wipe(inspection);
      return effects ?? [];
    }
    if (this.#state.kind !== "inspecting") {
      wipe(inspection);
      return [];
    }
    if (inspection.kind === "opened") return this.#judge(inspection, now);
    const verdict = verdictOfFault(inspection.code);
    const labelled = this.#setting.invite !== undefined && this.#setting.labelled;
    if (verdict !== "not-a-recipient" || labelled) return this.#decline(verdict, now);
    return [report("info", "call-plain"), ...this.#proceed(UNOPENED)];
  }

  #judge(content: Content, now: Millis): readonly CallEffect[] {
    if (content.kind === "opened" && content.firstKey !== undefined)
      this.#keys.own([content.firstKey.cek]);
    const message = this.#setting.invite;
    if (this.#judging === undefined || message === undefined) return this.#proceed(UNOPENED);
    const context = { ...this.#judging, message, by: "caller" } as const;
    const judgement = judgeOffer(content, context, now);
    if (judgement.kind === "refused") return this.#decline(judgement.verdict, now);
    this.#keys.own(judgement.value.secrets);
    return this.#open({ ...judgement.value, secrets: [] }, now);
  }

  #open(offer: Offer, now: Millis): readonly CallEffect[] {
    if (this.#judging === undefined) return this.#proceed(UNOPENED);
    const { rules } = this.#judging;
    const wanted = wantedOfOffer(offer, rules);
    if (wanted.openings.length === 0) return this.#proceed({ offer, absent: false });
    const { applyTimeoutMs: timeoutMs, mustRecord: required } = rules;
    const session = new LegSession(rules.nameSession());
    this.#dialogs.openOffer(session);
    const deadline = now + timeoutMs;
    this.#state = { kind: "opening", offer, session: session.name.session, deadline };
    return [session.put(wanted, { timeoutMs, required, background: false })];
  }

  #settle(input: CallInput & { kind: "put-result" }, now: Millis): readonly CallEffect[] {
    const { session } = input;
    const state = this.#state;
    if (state.kind !== "opening" || state.session !== session)
      return this.#watch(this.#dialogs.runSession(session, input, now), now);
    const result = withRecording(input.result, this.#judging?.rules.mustRecord ?? false);
    if (result.kind === "failed") return this.#decline(result.verdict, now);
    const opened = report("info", "call-opened", { session });
    return [opened, ...this.#proceed({ offer: state.offer, absent: false })];
  }

  #proceed(initial: InitialOffer): readonly CallEffect[] {
    this.#state = { kind: "proceeding", initial };
    return [{ kind: "forward-invite" }];
  }

  #respond(response: SipResponse, now: Millis): readonly CallEffect[] {
    const state = this.#state;
    if (state.kind === "new" || state.kind === "inspecting" || state.kind === "opening") return [];
    const forward: CallEffect = { kind: "forward-response", response };
    if (response.status >= 300) return [...this.#close(`${response.status}`, now), forward];
    const tag = messageTag(response, "To") ?? "";
    if (response.status === EARLY_DIALOG_TERMINATED)
      return [...this.#endDialog(tag, "199", now), forward];
    if (state.kind === "closed") {
      this.#dialogs.noteLate(response);
      return [forward];
    }
    const { initial } = state;
    const first = response.status >= 200 ? this.#dialogs.elect(tag, ELSEWHERE, now) : [];
    return this.#watch([...first, ...this.#dialogs.respond(response, initial, now)], now);
  }

  #watch(effects: readonly LegEffect[], now: Millis): readonly CallEffect[] {
    return effects.flatMap((effect) => this.#watchOne(effect, now));
  }

  /** Notes the 2xx that goes on: the first one answers the call. */
  #watchOne(effect: LegEffect, now: Millis): readonly CallEffect[] {
    if (effect.kind !== "forward-response" || effect.response.status < 200) return [effect];
    const deadline = now + ACK_TIMEOUT_MS;
    this.#dialogs.confirm(messageTag(effect.response, "To") ?? "", deadline);
    if (this.#state.kind !== "proceeding") return [effect];
    const { initial } = this.#state;
    const endsAt = now + MAX_CALL_MS;
    this.#state = { kind: "answered", initial, acknowledged: false, deadline, endsAt };
    return [...this.#dialogs.endUnclaimed(ELSEWHERE), effect];
  }

  #cancel(now: Millis): readonly CallEffect[] {
    switch (this.#state.kind) {
      case "proceeding":
        return [{ kind: "cancel-invite" }];
      case "inspecting":
      case "opening":
        return [...this.#close("cancelled", now), { kind: "refuse", refusal: CANCELLED }];
      default:
        return [];
    }
  }

  #acknowledge(
    { tag, side, ack }: CallInput & { kind: "acknowledged" },
    now: Millis,
  ): readonly CallEffect[] {
    const effects = this.#run(tag, { kind: "acknowledged", side, ack }, now) ?? [];
    if (side !== "caller") return effects;
    this.#dialogs.acknowledge(tag);
    if (this.#state.kind !== "answered" || this.#state.acknowledged) return effects;
    this.#state = { ...this.#state, acknowledged: true, deadline: this.#state.endsAt };
    return [report("info", "call-confirmed"), ...effects];
  }

  #request(input: CallInput & { kind: "request" }, now: Millis): readonly CallEffect[] {
    const { ref, tag, side, request } = input;
    const forward: CallEffect = { kind: "forward-request", ref };
    if (!this.#dialogs.has(tag)) return [{ kind: "refuse-request", ref, refusal: NO_DIALOG }];
    if (request.method === "BYE") return [...this.#endDialog(tag, "BYE", now), forward];
    if (this.#dialogs.isAlive(tag))
      return this.#run(tag, { kind: "request", ref, side, request }, now) ?? [forward];
    return request.method === "INVITE" || request.body.length > 0
      ? [{ kind: "refuse-request", ref, refusal: NO_DIALOG }]
      : [forward];
  }

  /** Whoever does not know a dialog, or cannot be reached within it, has left it (RFC 5057 §5.1). */
  #requestResponse(
    { ref, tag, response }: CallInput & { kind: "request-response" },
    now: Millis,
  ): readonly CallEffect[] {
    const left = response.status === 481 || response.status === 408;
    const ended = left ? this.#endDialog(tag, `${response.status}`, now) : [];
    const passed = this.#run(tag, { kind: "request-response", ref, response }, now);
    return [...ended, ...(passed ?? [{ kind: "forward-request-response", ref, response }])];
  }

  #run(
    tag: string,
    input: Parameters<CallDialogs["run"]>[1],
    now: Millis,
  ): readonly CallEffect[] | undefined {
    const effects = this.#dialogs.run(tag, input, now);
    return effects === undefined ? undefined : this.#watch(effects, now);
  }

  #endDialog(tag: string, reason: string, now: Millis): readonly CallEffect[] {
    if (this.#state.kind === "closed") return [];
    const effects = this.#watch(this.#dialogs.end(tag, reason, now), now);
    if (this.#state.kind !== "answered" || this.#dialogs.anyConfirmed) return effects;
    return [...effects, ...this.#close(reason, now)];
  }

  #loseSession(session: string, now: Millis): readonly CallEffect[] {
    const effects = this.#dialogs.runSession(session, { kind: "session-lost" }, now);
    const lost = report("error", "session-lost", { session });
    return [lost, ...this.#dialogs.endUnclaimed("lost", session), ...this.#watch(effects, now)];
  }

  #loseRecording(session: string, now: Millis): readonly CallEffect[] {
    const required = this.#judging?.rules.mustRecord ?? false;
    const told = report(required ? "error" : "warn", "not-recorded", { session });
    if (!required) return [told];
    const reason = "not recorded";
    const effects = this.#dialogs.runSession(session, { kind: "end", reason }, now);
    return [told, ...this.#dialogs.endUnclaimed(reason, session), ...this.#watch(effects, now)];
  }

  /** Refuses the INVITE, unless it is for help: that goes on, whatever could not be opened for it. */
  #decline(verdict: RequestVerdict, now: Millis): readonly CallEffect[] {
    if (!this.#setting.emergency) return this.#refuse(verdict, now);
    const told = report("error", "offer-unopened", { verdict });
    return [told, ...this.#dialogs.endUnclaimed(verdict), ...this.#proceed(UNOPENED)];
  }

  #refuse(verdict: RequestVerdict, now: Millis): readonly CallEffect[] {
    const refused = report("warn", "call-refused", { verdict });
    return [refused, ...this.#close(verdict, now), { kind: "refuse", refusal: refusalOf(verdict) }];
  }

  #close(reason: string, now: Millis): readonly CallEffect[] {
    if (this.#state.kind === "closed") return [];
    const went = this.#state.kind === "proceeding" || this.#state.kind === "answered";
    const effects = this.#watch(this.#dialogs.endAll(reason, now), now);
    this.#keys.wipeAllBut();
    this.#state = { kind: "closed", until: now + LINGER_MS };
    return [...effects, ...(went ? [report("info", "call-ended", { reason })] : [])];
  }

  #tick(now: Millis): readonly CallEffect[] {
    const state = this.#state;
    if (state.kind === "inspecting" && state.deadline <= now)
      return this.#decline("body-slow", now);
    if (state.kind === "opening" && state.deadline <= now)
      return this.#decline("gateway-slow", now);
    if (state.kind === "answered" && state.deadline <= now)
      return this.#close(state.acknowledged ? "too long" : NO_ACK, now);
    const effects = [...this.#dialogs.endUnacknowledged(NO_ACK, now), ...this.#dialogs.tick(now)];
    const watched = this.#watch(effects, now);
    const isOver = state.kind === "answered" && !this.#dialogs.anyConfirmed;
    return isOver ? [...watched, ...this.#close(NO_ACK, now)] : watched;
  }

  #snapshot(endsAt: Millis): CallSnapshot {
    const { caller = null, callee = null } = this.#names;
    return { version: 1, endsAt, names: { caller, callee }, dialogs: this.#dialogs.save() };
  }
}

/** RFC 6228. */
const EARLY_DIALOG_TERMINATED = 199;

function wipe(inspection: Inspection): void {
  if (inspection.kind === "opened") inspection.firstKey?.cek.wipe();
}
