/**
 * INVITE client transaction (RFC 3261 §17.1.1, figure 5, as changed by RFC 6026 §7.2), with the
 * proxy's Timer C (§16.8) and CANCEL, which waits for a provisional response (§9.1). Pure.
 */
import { assertNever } from "../errors.ts";
import type { Machine, Millis } from "../machine.ts";
import { NO_BODY, type SipRequest, type SipResponse } from "./message.ts";
import type { Reason } from "./reason.ts";
import {
  type ClientEffect,
  type ClientInput,
  earliest,
  hopAck,
  hopCancel,
  isDue,
  isFinal,
  isSuccess,
  type TransactionSetting,
  waitMs,
} from "./transaction.ts";

export type InviteClientInput =
  | ClientInput
  /** The CANCEL, when it may go, says the reason (RFC 3326 §2). */
  | { readonly kind: "cancel"; readonly reason?: Reason };
/** `send-cancel`: now this CANCEL may go out, as a transaction of its own. */
export type InviteClientEffect =
  | ClientEffect
  | { readonly kind: "send-cancel"; readonly request: SipRequest };

export interface InviteClientSetting extends TransactionSetting {
  /** A proxy's branch is cancelled when it rings too long; a caller rings as long as he likes. */
  readonly timerC: boolean;
}

/** The request is kept as long as it, its ACK or its CANCEL may have to be sent. */
type State =
  | { kind: "idle"; request: SipRequest }
  | {
      kind: "calling";
      request: SipRequest;
      timeoutAt: Millis;
      resendAt: Millis | undefined;
      intervalMs: number;
      cancelled: boolean;
    }
  | {
      kind: "proceeding";
      request: SipRequest;
      cancelAt: Millis | undefined;
      giveUpAt: Millis | undefined;
    }
  | { kind: "completed"; endAt: Millis; ack: SipRequest }
  | { kind: "accepted"; endAt: Millis }
  | { kind: "terminated" };

const UNRELIABLE_TIMER_D_MS = 32_000; // §17.1.1.2

export class InviteClient implements Machine<InviteClientInput, InviteClientEffect> {
  readonly #setting: InviteClientSetting;
  #reason: Reason | undefined;
  #state: State;

  constructor(request: SipRequest, setting: InviteClientSetting) {
    this.#state = { kind: "idle", request };
    this.#setting = setting;
  }

  /** True until there is a final response, or none will come. */
  get isPending(): boolean {
    const { kind } = this.#state;
    return kind === "idle" || kind === "calling" || kind === "proceeding";
  }

  handle(input: InviteClientInput, now: Millis): readonly InviteClientEffect[] {
    switch (input.kind) {
      case "start":
        return this.#start(now);
      case "response":
        return this.#receive(input.response, now);
      case "cancel":
        this.#reason ??= input.reason;
        return this.#cancel(now);
      case "tick":
        return this.#tick(now);
      case "transport-failed":
        return this.isPending ? this.#fail("transport") : this.#end();
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const state = this.#state;
    switch (state.kind) {
      case "calling":
        return earliest(state.timeoutAt, state.resendAt);
      case "proceeding":
        return earliest(state.cancelAt, state.giveUpAt);
      case "completed":
      case "accepted":
        return state.endAt;
      case "idle":
      case "terminated":
        return undefined;
      default:
        return assertNever(state);
    }
  }

  #start(now: Millis): readonly InviteClientEffect[] {
    if (this.#state.kind !== "idle") return [];
    const { timers, reliable } = this.#setting;
    const message = this.#state.request;
    const request = reliable ? { ...message, body: NO_BODY } : message;
    const intervalMs = timers.t1Ms;
    const resendAt = reliable ? undefined : now + intervalMs; // Timer A
    const timeoutAt = now + waitMs(timers); // Timer B
    this.#state = { kind: "calling", request, timeoutAt, resendAt, intervalMs, cancelled: false };
    return [{ kind: "send", message }];
  }

  #receive(response: SipResponse, now: Millis): readonly InviteClientEffect[] {
    const state = this.#state;
    switch (state.kind) {
      case "calling":
      case "proceeding":
        return isFinal(response)
          ? this.#receiveFinal(state.request, response, now)
          : this.#receive1xx(state, response, now);
      case "completed":
        return isFinal(response) && !isSuccess(response)
          ? [{ kind: "send", message: state.ack }]
          : [];
      case "accepted":
        return isSuccess(response) ? [{ kind: "deliver", response }] : [];
      case "idle":
      case "terminated":
        return [];
      default:
        return assertNever(state);
    }
  }

  #receive1xx(
    state: State & { kind: "calling" | "proceeding" },
    response: SipResponse,
    now: Millis,
  ): readonly InviteClientEffect[] {
    const deliver: InviteClientEffect = { kind: "deliver", response };
    if (state.kind === "proceeding") {
      if (state.cancelAt !== undefined && response.status > 100)
        this.#state = { ...state, cancelAt: this.#timerC(now) };
      return [deliver];
    }
    const request = { ...state.request, body: NO_BODY };
    const cancelAt = this.#timerC(now);
    this.#state = { kind: "proceeding", request, cancelAt, giveUpAt: undefined };
    return state.cancelled ? [deliver, ...this.#cancel(now)] : [deliver];
  }

  #timerC(now: Millis): Millis | undefined {
    return this.#setting.timerC ? now + this.#setting.timers.timerCMs : undefined;
  }

  #receiveFinal(
    request: SipRequest,
    response: SipResponse,
    now: Millis,
  ): readonly InviteClientEffect[] {
    const deliver: InviteClientEffect = { kind: "deliver", response };
    if (isSuccess(response)) {
      this.#state = { kind: "accepted", endAt: now + waitMs(this.#setting.timers) }; // Timer M
      return [deliver];
    }
    const ack = hopAck(request, response);
    const acknowledge: InviteClientEffect = { kind: "send", message: ack };
    if (this.#setting.reliable) return [acknowledge, deliver, ...this.#end()];
    this.#state = { kind: "completed", endAt: now + UNRELIABLE_TIMER_D_MS, ack };
    return [acknowledge, deliver];
  }

  #cancel(now: Millis): readonly InviteClientEffect[] {
    const state = this.#state;
    if (state.kind === "calling") this.#state = { ...state, cancelled: true };
    if (state.kind !== "proceeding" || state.giveUpAt !== undefined) return [];
    const giveUpAt = now + waitMs(this.#setting.timers); // §9.1
    this.#state = { ...state, cancelAt: undefined, giveUpAt };
    return [{ kind: "send-cancel", request: hopCancel(state.request, this.#reason) }];
  }

  #tick(now: Millis): readonly InviteClientEffect[] {
    const state = this.#state;
    switch (state.kind) {
      case "calling":
        if (state.timeoutAt <= now) return this.#fail("timeout");
        return isDue(state.resendAt, now) ? this.#resend(state, now) : [];
      case "proceeding":
        if (isDue(state.giveUpAt, now)) return this.#fail("timeout");
        return isDue(state.cancelAt, now) ? this.#cancel(now) : [];
      case "completed":
      case "accepted":
        return state.endAt <= now ? this.#end() : [];
      case "idle":
      case "terminated":
        return [];
      default:
        return assertNever(state);
    }
  }

  #resend(state: State & { kind: "calling" }, now: Millis): readonly InviteClientEffect[] {
    const intervalMs = state.intervalMs * 2;
    this.#state = { ...state, intervalMs, resendAt: now + intervalMs };
    return [{ kind: "send", message: state.request }];
  }

  #fail(reason: "timeout" | "transport"): readonly InviteClientEffect[] {
    return [{ kind: "failed", reason }, ...this.#end()];
  }

  #end(): readonly InviteClientEffect[] {
    if (this.#state.kind === "terminated") return [];
    this.#state = { kind: "terminated" };
    return [{ kind: "ended" }];
  }
}
