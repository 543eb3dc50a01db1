/**
 * INVITE server transaction (RFC 3261 §17.2.1, figure 7, as changed by RFC 6026 §7.1). Pure.
 */
import { assertNever } from "../errors.ts";
import type { Machine, Millis } from "../machine.ts";
import { createResponse } from "./create-response.ts";
import type { HeaderRow, SipRequest, SipResponse } from "./message.ts";
import {
  earliest,
  isDue,
  isFinal,
  isSuccess,
  type ServerEffect,
  type ServerInput,
  type TransactionSetting,
  waitMs,
} from "./transaction.ts";

type State =
  /** Until somebody answers, the request's header is kept for a 100. */
  | { kind: "proceeding"; tryingAt: Millis; headers: readonly HeaderRow[]; last: undefined }
  | { kind: "proceeding"; tryingAt: undefined; last: SipResponse }
  | {
      kind: "completed";
      last: SipResponse;
      timeoutAt: Millis;
      resendAt: Millis | undefined;
      intervalMs: number;
    }
  | { kind: "confirmed"; endAt: Millis }
  | { kind: "accepted"; endAt: Millis }
  | { kind: "terminated" };

export class InviteServer implements Machine<ServerInput, ServerEffect> {
  readonly #setting: TransactionSetting;
  #state: State;

  constructor(request: SipRequest, setting: TransactionSetting, now: Millis) {
    this.#setting = setting;
    const tryingAt = now + setting.timers.tryingMs;
    const { headers } = request;
    this.#state = { kind: "proceeding", tryingAt, headers, last: undefined };
  }

  /** True until a final response was given. */
  get isPending(): boolean {
    return this.#state.kind === "proceeding";
  }

  handle(input: ServerInput, now: Millis): readonly ServerEffect[] {
    switch (input.kind) {
      case "request":
        return input.request.method === "ACK"
          ? this.#acknowledge(input.request, now)
          : this.#absorbRetransmission();
      case "respond":
        return this.#respond(input.response, now);
      case "tick":
        return this.#tick(now);
      case "transport-failed":
        return this.#lose();
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const state = this.#state;
    switch (state.kind) {
      case "proceeding":
        return state.tryingAt;
      case "completed":
        return earliest(state.timeoutAt, state.resendAt);
      case "confirmed":
      case "accepted":
        return state.endAt;
      case "terminated":
        return undefined;
      default:
        return assertNever(state);
    }
  }

  /** A datagram that did not leave is as good as lost, and sent again when asked for. */
  #lose(): readonly ServerEffect[] {
    if (!this.#setting.reliable) return [];
    return this.isPending ? [{ kind: "failed", reason: "transport" }, ...this.#end()] : this.#end();
  }

  /** In "accepted" the INVITE is swallowed and the 2xx left to whoever answered (RFC 6026 §7.1). */
  #absorbRetransmission(): readonly ServerEffect[] {
    const state = this.#state;
    const last = state.kind === "proceeding" || state.kind === "completed" ? state.last : undefined;
    return last === undefined ? [] : [{ kind: "send", message: last }];
  }

  #acknowledge(request: SipRequest, now: Millis): readonly ServerEffect[] {
    if (this.#state.kind === "accepted") return [{ kind: "deliver-ack", request }];
    if (this.#state.kind !== "completed") return [];
    if (this.#setting.reliable) return this.#end();
    this.#state = { kind: "confirmed", endAt: now + this.#setting.timers.t4Ms }; // Timer I
    return [];
  }

  #respond(response: SipResponse, now: Millis): readonly ServerEffect[] {
    const send: ServerEffect = { kind: "send", message: response };
    if (this.#state.kind === "accepted") return isSuccess(response) ? [send] : [];
    if (this.#state.kind !== "proceeding") return [];
    const { timers, reliable } = this.#setting;
    const endAt = now + waitMs(timers); // Timers H and L
    if (!isFinal(response))
      this.#state = { kind: "proceeding", tryingAt: undefined, last: response };
    else if (isSuccess(response)) this.#state = { kind: "accepted", endAt };
    else {
      const intervalMs = timers.t1Ms;
      const resendAt = reliable ? undefined : now + intervalMs; // Timer G
      this.#state = { kind: "completed", last: response, timeoutAt: endAt, resendAt, intervalMs };
    }
    return [send];
  }

  #tick(now: Millis): readonly ServerEffect[] {
    const state = this.#state;
    switch (state.kind) {
      case "proceeding":
        return state.tryingAt !== undefined && state.tryingAt <= now
          ? this.#respond(createResponse(state, 100), now)
          : [];
      case "completed":
        if (state.timeoutAt <= now) return [{ kind: "failed", reason: "timeout" }, ...this.#end()];
        return isDue(state.resendAt, now) ? this.#resend(state, now) : [];
      case "confirmed":
      case "accepted":
        return state.endAt <= now ? this.#end() : [];
      case "terminated":
        return [];
      default:
        return assertNever(state);
    }
  }

  #resend(state: State & { kind: "completed" }, now: Millis): readonly ServerEffect[] {
    const intervalMs = Math.min(state.intervalMs * 2, this.#setting.timers.t2Ms);
    this.#state = { ...state, intervalMs, resendAt: now + intervalMs };
    return [{ kind: "send", message: state.last }];
  }

  #end(): readonly ServerEffect[] {
    if (this.#state.kind === "terminated") return [];
    this.#state = { kind: "terminated" };
    return [{ kind: "ended" }];
  }
}
