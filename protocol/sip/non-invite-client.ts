/**
 * Client transaction of every method but INVITE and ACK (RFC 3261 §17.1.2, figure 6). Pure.
 */
import { assertNever } from "../errors.ts";
import type { Machine, Millis } from "../machine.ts";
import { NO_BODY, type SipRequest, type SipResponse } from "./message.ts";
import {
  type ClientEffect,
  type ClientInput,
  earliest,
  isDue,
  isFinal,
  type TransactionSetting,
  waitMs,
} from "./transaction.ts";

/** The request is kept as long as it may have to be sent again. */
type State =
  | { kind: "idle"; request: SipRequest }
  | {
      kind: "trying" | "proceeding";
      request: SipRequest;
      timeoutAt: Millis;
      resendAt: Millis | undefined;
      intervalMs: number;
    }
  | { kind: "completed"; endAt: Millis }
  | { kind: "terminated" };

export class NonInviteClient implements Machine<ClientInput, ClientEffect> {
  readonly #setting: TransactionSetting;
  #state: State;

  constructor(request: SipRequest, setting: TransactionSetting) {
    this.#state = { kind: "idle", request };
    this.#setting = setting;
  }

  /** True until there is a final response, or none will come. */
  get isPending(): boolean {
    const { kind } = this.#state;
    return kind === "idle" || kind === "trying" || kind === "proceeding";
  }

  handle(input: ClientInput, now: Millis): readonly ClientEffect[] {
    switch (input.kind) {
      case "start":
        return this.#start(now);
      case "response":
        return this.#receive(input.response, now);
      case "tick":
        return this.#tick(now);
      case "transport-failed":
        return this.#state.kind === "completed" ? this.#end() : this.#fail("transport");
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const state = this.#state;
    switch (state.kind) {
      case "trying":
      case "proceeding":
        return earliest(state.timeoutAt, state.resendAt);
      case "completed":
        return state.endAt;
      case "idle":
      case "terminated":
        return undefined;
      default:
        return assertNever(state);
    }
  }

  #start(now: Millis): readonly ClientEffect[] {
    if (this.#state.kind !== "idle") return [];
    const message = this.#state.request;
    const { timers, reliable } = this.#setting;
    const intervalMs = timers.t1Ms;
    const resendAt = reliable ? undefined : now + intervalMs; // Timer E
    const request = reliable ? { ...message, body: NO_BODY } : message;
    const timeoutAt = now + waitMs(timers);
    this.#state = { kind: "trying", request, timeoutAt, resendAt, intervalMs };
    return [{ kind: "send", message }];
  }

  #receive(response: SipResponse, now: Millis): readonly ClientEffect[] {
    const state = this.#state;
    if (state.kind !== "trying" && state.kind !== "proceeding") return [];
    const deliver: ClientEffect = { kind: "deliver", response };
    if (!isFinal(response)) {
      this.#state = { ...state, kind: "proceeding" };
      return [deliver];
    }
    if (this.#setting.reliable) return [deliver, ...this.#end()];
    this.#state = { kind: "completed", endAt: now + this.#setting.timers.t4Ms }; // Timer K
    return [deliver];
  }

  #tick(now: Millis): readonly ClientEffect[] {
    const state = this.#state;
    if (state.kind === "completed" && state.endAt <= now) return this.#end();
    if (state.kind !== "trying" && state.kind !== "proceeding") return [];
    if (state.timeoutAt <= now) return this.#fail("timeout"); // Timer F
    if (!isDue(state.resendAt, now)) return [];
    const { t2Ms } = this.#setting.timers;
    const intervalMs = state.kind === "proceeding" ? t2Ms : Math.min(state.intervalMs * 2, t2Ms);
    this.#state = { ...state, intervalMs, resendAt: now + intervalMs };
    return [{ kind: "send", message: state.request }];
  }

  #fail(reason: "timeout" | "transport"): readonly ClientEffect[] {
    if (this.#state.kind === "terminated") return [];
    return [{ kind: "failed", reason }, ...this.#end()];
  }

  #end(): readonly ClientEffect[] {
    this.#state = { kind: "terminated" };
    return [{ kind: "ended" }];
  }
}
