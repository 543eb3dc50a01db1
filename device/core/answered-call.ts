/**
 * A call that we have answered: the 200 goes out again until its ACK comes, over any transport
 * (RFC 3261 §13.3.1.4); then the call is up. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { messageCSeq } from "../../protocol/sip/cseq.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { DEFAULT_SIP_TIMERS, waitMs } from "../../protocol/sip/transaction.ts";
import { type CallEffect, type CallInput, effects } from "./call.ts";
import type { DialogLeg } from "./dialog-leg.ts";

export interface Answer {
  /** Of the INVITE's transaction. */
  readonly key: string;
  readonly response: SipResponse;
  readonly leg: DialogLeg;
  readonly sealed: boolean;
}

const { t1Ms: T1_MS, t2Ms: T2_MS } = DEFAULT_SIP_TIMERS;
/** How long an ACK is waited for. */
export const ACK_WAIT_MS = waitMs(DEFAULT_SIP_TIMERS);

type State =
  | {
      readonly kind: "waiting";
      readonly resendAt: Millis;
      readonly intervalMs: number;
      readonly giveUpAt: Millis;
      readonly hungUp: boolean;
    }
  | { readonly kind: "up" };

export class AnsweredCall {
  readonly #answer: Answer;
  #state: State;

  constructor(answer: Answer, now: Millis) {
    this.#answer = answer;
    const giveUpAt = now + ACK_WAIT_MS;
    this.#state = {
      ...{ kind: "waiting", resendAt: now + T1_MS, intervalMs: T1_MS, giveUpAt, hungUp: false },
    };
  }

  holds(message: SipRequest): boolean {
    return this.#answer.leg.holds(message);
  }

  deadline(): Millis | undefined {
    const state = this.#state;
    return state.kind === "waiting" ? Math.min(state.resendAt, state.giveUpAt) : undefined;
  }

  send(): CallEffect {
    return effects.respond(this.#answer.key, this.#answer.response);
  }

  handle(input: CallInput, now: Millis): readonly CallEffect[] {
    const { leg } = this.#answer;
    const state = this.#state;
    if (state.kind === "waiting" && input.kind === "ack") return this.#acknowledge(state, input);
    if (state.kind === "waiting" && input.kind === "tick") return this.#tick(state, now);
    if (input.kind === "command") return input.verb === "hangup" ? this.#hangUp() : [];
    if (input.kind === "request" && input.request.method === "BYE") this.#state = { kind: "up" };
    return leg.handle(input);
  }

  #acknowledge(
    { hungUp }: State & { kind: "waiting" },
    { request }: CallInput & { kind: "ack" },
  ): readonly CallEffect[] {
    const { leg, response, sealed } = this.#answer;
    if (messageCSeq(request).number !== messageCSeq(response).number) return [];
    this.#state = { kind: "up" };
    if (hungUp) return leg.hangUp();
    return [effects.event({ event: "answered", sealed }), { kind: "media-play" }];
  }

  /** A callee sends no BYE before the ACK (RFC 3261 §15). */
  #hangUp(): readonly CallEffect[] {
    if (this.#state.kind === "up") return this.#answer.leg.hangUp();
    this.#state = { ...this.#state, hungUp: true };
    return [];
  }

  #tick(state: State & { kind: "waiting" }, now: Millis): readonly CallEffect[] {
    if (state.giveUpAt <= now) {
      this.#state = { kind: "up" };
      const failure = { reason: "our answer was never acknowledged", status: 408 };
      return this.#answer.leg.hangUp(failure);
    }
    if (state.resendAt > now) return [];
    const intervalMs = Math.min(2 * state.intervalMs, T2_MS);
    this.#state = { ...state, intervalMs, resendAt: now + intervalMs };
    return [this.send()];
  }
}
