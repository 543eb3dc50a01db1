/**
 * One dialog of a call, early or confirmed: it alone has its offers and answers, its session on the
 * gateway and its keys, so that two phones that ring for one offer never mix (RFC 3261 §12.1.2,
 * RFC 4568 §7.3). Pure.
 *
 * Messages that may change media leave in the order they came. One with an offer waits until its
 * holes are applied, or is refused. One with an answer waits until the answer is opened, judged and
 * applied, or until it turned out that it will not be: a proxy cannot refuse an answer, so it goes on
 * all the same, and what was open for this dialog is shut.
 *
 *     message ──▶ queue ──▶ inspecting ──▶ opening ──▶ forward
 *                               │             │
 *                               ├─────────────┴──▶ offer: as before, refuse
 *                               └─────────────┴──▶ answer: shut, forward, alarm
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import type { Secret } from "../../protocol/secret.ts";
import { type Agreement, sameAgreement, saveAgreement } from "./agreement.ts";
import type { Inspection, LegEffect, Report } from "./call-port.ts";
import type { SavedDialog } from "./call-snapshot.ts";
import {
  type Carrier,
  carrierOf,
  forwardOf,
  isRepeated,
  refuse,
  statusOf,
  viaOf,
} from "./carrier.ts";
import { HeldMessages, isRequest } from "./held-messages.ts";
import type { Content } from "./inspection.ts";
import { judgeMatter } from "./judge-matter.ts";
import { KnownAnswers } from "./known-answers.ts";
import { LegGate, withRecording } from "./leg-gate.ts";
import {
  ANSWER_TIMEOUT_MS,
  INSPECTION_TIMEOUT_MS,
  isRefusable,
  type LegInput,
  type LegSetting,
  type Matter,
  type Task,
  type Work,
} from "./leg-port.ts";
import type { LegSession, Wanted } from "./leg-session.ts";
import type { Negotiation } from "./negotiation.ts";
import { OwnedKeys } from "./owned-keys.ts";
import { sessionBody } from "./session-body.ts";
import {
  CANCELLED,
  GLARE,
  type RequestVerdict,
  refusalOf,
  type Verdict,
  verdictOfFault,
} from "./verdict.ts";
import { wantedOf } from "./wanted.ts";

export class CallLeg implements Machine<LegInput, LegEffect> {
  readonly #setting: LegSetting;
  readonly #negotiation: Negotiation;
  readonly #keys = new OwnedKeys();
  #work: Work = { kind: "idle" };
  readonly #queue = new HeldMessages();
  readonly #gate: LegGate;
  #firstKey: FirstKey | undefined;
  readonly #known = new KnownAnswers();
  #inspections = 0;
  #isChanged = false;
  /** Nothing has been looked after since a restart. */
  #isRestored: boolean;

  /** @param session Of a dialog that was there before a restart. */
  constructor(setting: LegSetting, negotiation: Negotiation, session?: LegSession) {
    this.#setting = setting;
    this.#negotiation = negotiation;
    this.#gate = new LegGate(setting, session);
    this.#isRestored = session !== undefined;
    this.#firstKey = negotiation.pending?.offer?.firstKey;
  }

  /** The session it has claimed, if any. */
  get session(): string | undefined {
    return this.#gate.session;
  }

  get recording(): string | undefined {
    return this.#gate.recording;
  }

  /** True once after each change of what is to be kept. */
  takeChange(): boolean {
    const isChanged = this.#isChanged;
    this.#isChanged = false;
    return this.#gate.takeChange() || isChanged;
  }

  save(): Pick<SavedDialog, "agreed" | "session"> {
    const { agreed } = this.#negotiation;
    return {
      session: this.#gate.save(),
      agreed: agreed === undefined ? null : saveAgreement(agreed),
    };
  }

  handle(input: LegInput, now: Millis): readonly LegEffect[] {
    const effects = [...this.#take(input, now), ...this.#narrow()];
    this.#isRestored = false;
    this.#keys.wipeAllBut(this.#liveKeys());
    return effects;
  }

  #take(input: LegInput, now: Millis): readonly LegEffect[] {
    switch (input.kind) {
      case "response":
      case "request":
      case "request-response":
      case "acknowledged":
        return this.#receive(carrierOf(input, this.#negotiation), now);
      case "inspected":
        return this.#read(input.ref, input.inspection, now);
      case "put-result":
        return this.#settle(input, now);
      case "withdrawn":
        return this.#withdraw(input.ref, now);
      case "session-lost":
        return this.#lose(now);
      case "end":
        return this.#end(input.reason);
      case "tick":
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const work = "until" in this.#work ? this.#work.until : undefined;
    const stale = this.#isRestored && !this.#gate.has(this.#wanted) ? 0 : undefined;
    const times = [work, stale, this.#negotiation.deadline(), this.#queue.deadline()];
    const set = times.filter((time) => time !== undefined);
    return set.length === 0 ? undefined : Math.min(...set);
  }

  #receive(carrier: Carrier, now: Millis): readonly LegEffect[] {
    if (!this.#negotiation.concerns(carrier)) return forwardOf(carrier);
    const worked = this.#work.kind === "idle" ? undefined : this.#work.matter.carrier;
    if (worked !== undefined && isRepeated(worked, carrier)) return [];
    switch (this.#queue.push({ carrier, deadline: now + ANSWER_TIMEOUT_MS })) {
      case "held":
        return this.#advance(now);
      case "full":
        return carrier.kind === "request" ? [refuse(carrier.ref, refusalOf("overloaded"))] : [];
      case "again":
        return [];
    }
  }

  #advance(now: Millis): readonly LegEffect[] {
    const effects: LegEffect[] = [];
    while (this.#work.kind === "idle") {
      const task = this.#queue.shift();
      if (task === undefined) break;
      effects.push(...this.#begin(task, now));
    }
    return effects;
  }

  #begin(task: Task, now: Millis): readonly LegEffect[] {
    const { carrier } = task;
    const body = sessionBody(carrier.message);
    const role = this.#negotiation.roleOf(carrier, body.kind !== "absent");
    if (carrier.kind === "request") {
      if (role.kind === "glare") return [refuse(carrier.ref, GLARE)];
      if (this.#negotiation.isCrowded) return [refuse(carrier.ref, refusalOf("overloaded"))];
      this.#negotiation.begin(carrier, role.kind === "offer");
    }
    if (role.kind === "absent") return [...this.#shut("answer-absent"), ...this.#pass(task, now)];
    if (role.kind === "settled") this.#negotiation.answered(undefined, carrier, now);
    if ((role.kind !== "offer" && role.kind !== "answer") || body.kind === "absent")
      return this.#pass(task, now);
    const matter = { ...task, role };
    if (role.kind === "answer" && role.pending.offer === undefined) {
      this.#negotiation.answered(undefined, carrier, now);
      return this.#pass(task, now);
    }
    if (body.kind === "sealed") return this.#inspect(matter, now);
    return this.#judge(matter, body, now);
  }

  #inspect(matter: Matter, now: Millis): readonly LegEffect[] {
    const { role, carrier } = matter;
    if (role.kind === "answer" && role.pending.previewed && this.#known.has(carrier.message.body)) {
      this.#negotiation.answered(undefined, carrier, now);
      return this.#pass(matter, now);
    }
    this.#inspections += 1;
    const ref = `${this.#inspections} ${this.#setting.tag}`;
    const until = isRefusable(matter) ? now + INSPECTION_TIMEOUT_MS : matter.deadline;
    this.#work = { kind: "inspecting", matter, ref, until };
    const offered = role.kind === "answer" ? role.pending.offer?.firstKey : undefined;
    const firstKey = offered ?? this.#firstKey;
    const { message } = carrier;
    return [{ kind: "inspect", ref, message, ...(firstKey === undefined ? {} : { firstKey }) }];
  }

  #read(ref: string, inspection: Inspection, now: Millis): readonly LegEffect[] {
    if (inspection.kind === "opened" && inspection.firstKey !== undefined)
      this.#keys.own([inspection.firstKey.cek]);
    if (this.#work.kind !== "inspecting" || this.#work.ref !== ref) return [];
    const { matter } = this.#work;
    this.#work = { kind: "idle" };
    const effects =
      inspection.kind === "opened"
        ? this.#judge(matter, inspection, now)
        : this.#reject(matter, verdictOfFault(inspection.code), now);
    return [...effects, ...this.#advance(now)];
  }

  #judge(matter: Matter, content: Content, now: Millis): readonly LegEffect[] {
    const judgement = judgeMatter(matter, content, this.#negotiation, this.#setting, now);
    if (judgement.kind === "refused") return this.#reject(matter, judgement.verdict, now);
    const { value } = judgement;
    this.#keys.own(value.secrets);
    if ("streams" in value) {
      const { agreed } = this.#negotiation;
      const isSame = agreed !== undefined && sameAgreement(agreed, value);
      return this.#open(matter, isSame ? agreed : value, now);
    }
    this.#negotiation.offered(value.by, viaOf(matter.carrier), value);
    return this.#open(matter, undefined, now);
  }

  /** Asks the gateway for what it does not have yet. */
  #open(matter: Matter, agreement: Agreement | undefined, now: Millis): readonly LegEffect[] {
    const { rules } = this.#setting;
    const wanted = wantedOf(this.#negotiation, rules, agreement);
    if (this.#gate.has(wanted)) return this.#commit(matter, agreement, now);
    const until = isRefusable(matter) ? now + rules.applyTimeoutMs : matter.deadline;
    this.#work = { kind: "opening", matter, agreement, until };
    return this.#gate.put(wanted, Math.max(1, until - now));
  }

  #settle(
    { session, revision, result }: LegInput & { kind: "put-result" },
    now: Millis,
  ): readonly LegEffect[] {
    if (!this.#gate.isLatest(session, revision)) return [];
    const judged = withRecording(result, this.#setting.rules.mustRecord);
    if (this.#work.kind !== "opening")
      return judged.kind === "failed" && judged.verdict === "not-recorded"
        ? this.#shut(judged.verdict)
        : [];
    const { matter, agreement } = this.#work;
    this.#work = { kind: "idle" };
    const event = matter.role.kind === "offer" ? "offer-applied" : "answer-applied";
    const effects: readonly LegEffect[] =
      judged.kind === "failed"
        ? this.#reject(matter, judged.verdict, now)
        : [
            { kind: "report", level: "info", event, session },
            ...this.#commit(matter, agreement, now),
          ];
    return [...effects, ...this.#advance(now)];
  }

  /** What was offered or answered holds from now on. */
  #commit(matter: Matter, agreement: Agreement | undefined, now: Millis): readonly LegEffect[] {
    const { role, carrier } = matter;
    if (role.kind === "answer") {
      if (agreement !== this.#negotiation.agreed) {
        this.#known.forget();
        this.#isChanged = true;
      }
      this.#negotiation.answered(agreement, carrier, now);
      if (!role.binding && agreement?.sealed === true) this.#known.add(carrier.message.body);
    } else this.#firstKey = this.#negotiation.pending?.offer?.firstKey ?? this.#firstKey;
    return this.#pass(matter, now);
  }

  #pass({ carrier }: Task, now: Millis): readonly LegEffect[] {
    if (carrier.kind === "ack") this.#negotiation.acknowledged(carrier.by, now);
    else if (carrier.kind !== "request") this.#negotiation.finish(carrier, now);
    return forwardOf(carrier);
  }

  /** An offer in a request is refused, and nothing was; anything else goes on, and is shut out. */
  #reject(matter: Matter, verdict: Verdict, now: Millis): readonly LegEffect[] {
    const { role, carrier } = matter;
    if (role.kind === "offer" && this.#mayPassUnopened(matter, verdict)) {
      this.#negotiation.offered(carrier.by, viaOf(carrier), undefined);
      const level = verdict === "not-a-recipient" ? "info" : "error";
      return [this.#report(level, "offer-unopened", verdict), ...this.#pass(matter, now)];
    }
    if (carrier.kind === "request" && role.kind === "offer") {
      this.#negotiation.withdraw(carrier.ref);
      const told = this.#report("warn", "offer-refused", verdict);
      const closed = this.#closeIfEmpty(verdict);
      return [...closed, told, refuse(carrier.ref, refusalOf(verdict as RequestVerdict))];
    }
    const mayTryAgain = verdict === "gateway-refused" && role.kind === "answer" && !role.binding;
    return [...this.#shut(verdict, verdict, mayTryAgain), ...this.#pass(matter, now)];
  }

  /** A body for others in a dialog that has nothing open, and whatever an emergency call says. */
  #mayPassUnopened({ carrier }: Matter, verdict: Verdict): boolean {
    if (this.#setting.rules.emergency && carrier.kind === "request") return true;
    const { agreed } = this.#negotiation;
    return verdict === "not-a-recipient" && (agreed?.openings.length ?? 0) === 0;
  }

  #withdraw(ref: string, now: Millis): readonly LegEffect[] {
    if (this.#queue.drop(ref)) return [refuse(ref, CANCELLED)];
    if (this.#work.kind === "idle" || !isRequest(this.#work.matter, ref)) return [];
    this.#work = { kind: "idle" };
    this.#negotiation.withdraw(ref);
    return [...this.#closeIfEmpty("cancelled"), refuse(ref, CANCELLED), ...this.#advance(now)];
  }

  /** A dialog that has agreed on nothing needs no session. */
  #closeIfEmpty(reason: string): readonly LegEffect[] {
    return this.#negotiation.agreed === undefined ? this.#close(reason) : [];
  }

  #shut(verdict: Verdict, reason: string = verdict, mayTryAgain = false): readonly LegEffect[] {
    this.#gate.adoptOffered();
    const level = this.session === undefined ? "warn" : "error";
    const told = this.#report(level, "answer-shut", verdict);
    this.#negotiation.clear(mayTryAgain);
    return [...this.#close(reason), told];
  }

  /** Nothing comes any more of what was asked for in it. */
  #lose(now: Millis): readonly LegEffect[] {
    if (this.session === undefined) return [];
    const effects = this.#shut("gateway-refused", "lost");
    if (this.#work.kind !== "opening") return effects;
    const { matter } = this.#work;
    this.#work = { kind: "idle" };
    const left = isRefusable(matter)
      ? this.#reject(matter, "gateway-refused", now)
      : this.#pass(matter, now);
    return [...effects, ...left, ...this.#advance(now)];
  }

  #close(reason: string): readonly LegEffect[] {
    this.#known.forget();
    return this.#gate.close(reason);
  }

  /** Final responses that are still held go on; all else that waits is of no use any more. */
  #end(reason: string): readonly LegEffect[] {
    const worked = this.#work.kind === "idle" ? [] : [this.#work.matter];
    const tasks = [...worked, ...this.#queue.takeAll()];
    this.#work = { kind: "idle" };
    this.#firstKey = undefined;
    this.#negotiation.clear();
    return [
      ...this.#close(reason),
      ...tasks.flatMap(({ carrier }) => {
        if (carrier.kind === "request") return [refuse(carrier.ref, CANCELLED)];
        return statusOf(carrier) < 200 ? [] : forwardOf(carrier);
      }),
    ];
  }

  #tick(now: Millis): readonly LegEffect[] {
    this.#negotiation.retire(now);
    if (this.#work.kind === "idle") return [];
    const { kind, matter, until } = this.#work;
    if (Math.min(until, this.#queue.deadline() ?? until) > now) return [];
    this.#work = { kind: "idle" };
    const verdict = kind === "opening" ? "gateway-slow" : "body-slow";
    return [...this.#reject(matter, verdict, now), ...this.#advance(now)];
  }

  /** Between two messages nothing is open that is not wanted. */
  #narrow(): readonly LegEffect[] {
    if (this.#work.kind !== "idle" || this.session === undefined) return [];
    return this.#gate.narrow(this.#wanted);
  }

  #liveKeys(): readonly Secret[] {
    const next = this.#work.kind === "opening" ? (this.#work.agreement?.secrets ?? []) : [];
    const own = this.#firstKey === undefined ? [] : [this.#firstKey.cek];
    return [...this.#negotiation.secrets, ...next, ...own];
  }

  get #wanted(): Wanted {
    return wantedOf(this.#negotiation, this.#setting.rules);
  }

  #report(level: Report["level"], event: Report["event"], verdict: Verdict): Report {
    const named = this.session === undefined ? {} : { session: this.session };
    return { kind: "report", level, event, verdict, ...named };
  }
}
