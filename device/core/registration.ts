/**
 * One phone's registration: made, kept up, and taken away (RFC 3261 §10.2, RFC 5626 §4). Pure.
 *
 * ```text
 * unregistered ─▶ trying ─granted─▶ registered ──a tenth before the end──▶ trying
 *                   │ ▲                 │
 *            failed │ │ time            │ connection gone
 *                   ▼ │                 ▼
 *                 waiting ◀── (or at once, if it held for long)
 * ```
 *
 * What stands at the registrar outlives a try that fails: it ends when its time is up. One REGISTER
 * with its challenges is a `RegistrationAttempt`; an answer that does not prove itself changes
 * nothing.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import { earliest, isDue } from "../../protocol/sip/transaction.ts";
import { type AttemptOutcome, RegistrationAttempt } from "./registration-attempt.ts";
import type { RegistrationEvent } from "./registration-event.ts";
import type { Failure } from "./registration-failure.ts";
import type {
  OwnContact,
  RegistrationEffect,
  RegistrationInput,
  RegistrationSetting,
} from "./registration-port.ts";
import { newCallId } from "./registration-request.ts";
import { refreshAfter, retryAt, STEADY_MS } from "./registration-retry.ts";
import { showCertificate } from "./shown-certificate.ts";

type State =
  | { readonly kind: "unregistered" }
  | { readonly kind: "trying"; readonly attempt: RegistrationAttempt }
  | { readonly kind: "registered"; readonly refreshAt: Millis }
  | { readonly kind: "waiting"; readonly retryAt: Millis }
  | { readonly kind: "over" };

/** What the registrar has of us. */
interface Standing {
  readonly contact: OwnContact;
  readonly flow: FlowId;
  /** By our own clock. */
  readonly until: Millis;
}

export class Registration implements Machine<RegistrationInput, RegistrationEffect> {
  readonly #setting: RegistrationSetting;
  readonly #callId: string;
  #state: State = { kind: "unregistered" };
  #standing: Standing | undefined;
  /** What the registrar still has of us, though its connection is gone. */
  #left: Standing | undefined;
  /** Connections that went while a REGISTER was out: its answer may have come by one of them. */
  readonly #lost = new Set<FlowId>();
  #cseq = 0;
  #refs = 0;
  #failures = 0;
  /** Since when every REGISTER has gone well. */
  #wellSince: Millis | undefined;

  constructor(setting: RegistrationSetting) {
    this.#setting = setting;
    this.#callId = newCallId(setting.random);
  }

  handle(input: RegistrationInput, now: Millis): readonly RegistrationEffect[] {
    switch (input.kind) {
      case "register":
        return this.#state.kind === "unregistered" ? this.#try(undefined, now) : [];
      case "remove":
        return this.#remove(input.contact, now);
      case "tick":
        return this.#tick(now);
      case "flow-closed":
        return this.#flowClosed(input.flow, now);
      case "contact":
      case "claimed":
      case "sealed":
      case "opened":
      case "stored":
      case "not-done":
      case "response":
      case "transaction-failed":
        return this.#inAttempt((attempt) => attempt.handle(input, now), now);
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const state = this.#state;
    const own =
      state.kind === "registered"
        ? state.refreshAt
        : state.kind === "waiting"
          ? state.retryAt
          : undefined;
    return state.kind === "over" ? undefined : earliest(own, this.#standing?.until);
  }

  /** @param contact where we are already known to be; asked for if absent. */
  #try(contact: OwnContact | undefined, now: Millis): readonly RegistrationEffect[] {
    const attempt = this.#newAttempt(false);
    this.#lost.clear();
    this.#state = { kind: "trying", attempt };
    const { aor } = this.#setting;
    const event = told({ event: "registering", aor, callId: this.#callId });
    return [event, ...this.#inAttempt(() => attempt.start(contact, now), now)];
  }

  #remove(named: OwnContact | undefined, now: Millis): readonly RegistrationEffect[] {
    const { aor } = this.#setting;
    const state = this.#state;
    if (state.kind === "over") return [];
    const tried = state.kind === "trying" ? state.attempt.contact : undefined;
    const left = isDue(this.#left?.until, now) ? undefined : this.#left;
    const contact = named ?? this.#standing?.contact ?? tried ?? left?.contact;
    if (state.kind === "trying") state.attempt.abandon();
    if (contact === undefined) return this.#end("well", { event: "unregistered", aor });
    const attempt = this.#newAttempt(true);
    this.#state = { kind: "trying", attempt };
    return this.#inAttempt(() => attempt.start(contact, now), now);
  }

  #newAttempt(removal: boolean): RegistrationAttempt {
    this.#refs += 1;
    return new RegistrationAttempt(this.#setting, {
      ref: this.#refs,
      callId: this.#callId,
      nextCSeq: () => {
        this.#cseq += 1;
        return this.#cseq;
      },
      removal,
    });
  }

  /** Lets the attempt go on, and takes over from it when it is done. */
  #inAttempt(
    step: (attempt: RegistrationAttempt) => readonly RegistrationEffect[],
    now: Millis,
  ): readonly RegistrationEffect[] {
    if (this.#state.kind !== "trying") return [];
    const { attempt } = this.#state;
    const effects = step(attempt);
    const { outcome } = attempt;
    return outcome === undefined ? effects : [...effects, ...this.#concluded(outcome, now)];
  }

  #concluded(outcome: AttemptOutcome, now: Millis): readonly RegistrationEffect[] {
    const { aor, once } = this.#setting;
    switch (outcome.kind) {
      case "failed":
        return this.#failed(outcome.failure, outcome.removal, now);
      case "removed":
        this.#standing = undefined;
        return this.#end("well", { event: "unregistered", aor });
      case "granted": {
        const { granted, grantedMs, at, flow } = outcome;
        const { contact, expiresAt, answer } = granted;
        if (this.#isSteady(now)) this.#failures = 0;
        this.#wellSince ??= at;
        this.#standing = { contact, flow, until: at + grantedMs };
        this.#left = undefined;
        const refreshAt = at + refreshAfter(grantedMs);
        const certificate = answer.certificate && showCertificate(answer.certificate);
        const registered: RegistrationEvent = {
          ...{ event: "registered", aor, contact: contact.uri, expiresAt, refreshAt },
          ...(certificate !== undefined && { certificate }),
        };
        if (once) return this.#end("well", registered);
        this.#state = { kind: "registered", refreshAt };
        const lost = this.#lost.has(flow) ? this.#flowClosed(flow, now) : [];
        return [told(registered), ...lost];
      }
      default:
        return assertNever(outcome);
    }
  }

  #failed(failure: Failure, removal: boolean, now: Millis): readonly RegistrationEffect[] {
    const { retryAfterMs, ...why } = failure;
    if (removal || this.#setting.once)
      return this.#end("failed", { event: "registration-failed", ...why });
    const again = this.#waitOn(retryAfterMs, now);
    return [told({ event: "registration-failed", ...why, retryAt: again })];
  }

  /** Counts a failure and waits accordingly (RFC 5626 §4.5). */
  #waitOn(retryAfterMs: number | undefined, now: Millis): Millis {
    this.#failures = this.#isSteady(now) ? 1 : this.#failures + 1;
    this.#wellSince = undefined;
    const at = retryAt(now, this.#failures, retryAfterMs, this.#setting.random);
    this.#state = { kind: "waiting", retryAt: at };
    return at;
  }

  #isSteady(now: Millis): boolean {
    return this.#wellSince !== undefined && now - this.#wellSince >= STEADY_MS;
  }

  #flowClosed(flow: FlowId, now: Millis): readonly RegistrationEffect[] {
    if (this.#state.kind === "trying") this.#lost.add(flow);
    if (this.#state.kind !== "registered" || this.#standing?.flow !== flow) return [];
    if (this.#standing.contact.isFlow) [this.#left, this.#standing] = [this.#standing, undefined];
    const lost = told({ event: "flow-lost" });
    if (!this.#isSteady(now)) {
      this.#waitOn(undefined, now);
      return [lost];
    }
    this.#failures = 0;
    this.#wellSince = undefined;
    return [lost, ...this.#try(undefined, now)];
  }

  #tick(now: Millis): readonly RegistrationEffect[] {
    const state = this.#state;
    const gone: RegistrationEffect[] = [];
    if (isDue(this.#standing?.until, now) && state.kind !== "over") {
      this.#standing = undefined;
      gone.push(told({ event: "registration-expired" }));
    }
    if (state.kind === "registered" && isDue(state.refreshAt, now))
      return [...gone, ...this.#try(this.#standing?.contact, now)];
    if (state.kind === "waiting" && isDue(state.retryAt, now))
      return [...gone, ...this.#try(undefined, now)];
    return gone;
  }

  #end(outcome: "well" | "failed", event: RegistrationEvent): readonly RegistrationEffect[] {
    this.#state = { kind: "over" };
    return [told(event), { kind: "over", outcome }];
  }
}

const told = (event: RegistrationEvent): RegistrationEffect => ({ kind: "event", event });
