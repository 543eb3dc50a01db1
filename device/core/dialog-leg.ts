/**
 * A call once its dialog is confirmed, the same on both sides: requests inside it, and BYE either
 * way (RFC 3261 §12.2, §15). Pure.
 *
 * ```text
 *        BYE received
 * up ───────────────────────────────▶ over
 *  └──hangUp──▶ closing ──answer to BYE, BYE received, timeout──▶ over
 * ```
 */
import { isProtocolError } from "../../protocol/errors.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { messageCSeq } from "../../protocol/sip/cseq.ts";
import {
  ackInDialog,
  type Dialog,
  isInDialog,
  receiveInDialog,
  requestInDialog,
} from "../../protocol/sip/dialog.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { nextHop } from "../../protocol/sip/next-hop.ts";
import { isFinal } from "../../protocol/sip/transaction.ts";
import { clientKey } from "../../protocol/sip/transaction-key.ts";
import {
  type CallEffect,
  type CallInput,
  type CallOutcome,
  type CallParty,
  effects,
  type NextHop,
} from "./call.ts";
import type { CallEvent } from "./call-event.ts";
import { ALLOW, newVia, withCredentialsOf } from "./call-messages.ts";

/** Why a call ends badly. */
export interface CallFailure {
  readonly reason: string;
  readonly status?: number;
  readonly warning?: string;
}

type State =
  | { readonly kind: "up" }
  | {
      readonly kind: "closing";
      readonly bye: SipRequest;
      readonly byeKey: string;
      readonly failure: CallFailure | undefined;
      readonly tries: number;
    }
  | { readonly kind: "over" };

/** How often a goodbye is said, whoever asks for a password. */
const MAX_BYES = 4;

/** The last effects of every call. */
export function endOfCall(event: CallEvent, outcome: CallOutcome): readonly CallEffect[] {
  return [{ kind: "media-stop" }, effects.event(event), { kind: "over", outcome }];
}

/** The last effects of a call that failed. */
export const failureOfCall = (failure: CallFailure): readonly CallEffect[] =>
  endOfCall({ event: "failed", ...failure }, "failed");

export class DialogLeg {
  readonly #party: CallParty;
  #dialog: Dialog;
  readonly #nextHop: NextHop;
  #isFlowGone = false;
  #state: State = { kind: "up" };

  constructor(party: CallParty, dialog: Dialog, nextHop: NextHop) {
    this.#party = party;
    this.#dialog = dialog;
    this.#nextHop = nextHop;
  }

  get isUp(): boolean {
    return this.#state.kind === "up";
  }

  holds(message: SipRequest | SipResponse): boolean {
    return isInDialog(this.#dialog, message);
  }

  /** Acknowledges a 2xx to our INVITE, each time it comes (RFC 3261 §13.2.2.4). */
  acknowledge(invite: SipRequest): CallEffect {
    const { number } = messageCSeq(invite);
    const bare = ackInDialog(this.#dialog, number, { via: newVia(this.#party) });
    const ack = withCredentialsOf(bare, invite);
    return effects.send({ kind: "send", message: ack, to: this.#hopOf(ack) });
  }

  /** Says goodbye; with `failure` the call ends as failed, however the BYE is answered. */
  hangUp(failure?: CallFailure): readonly CallEffect[] {
    if (this.#state.kind !== "up") return [];
    return [{ kind: "media-leave" }, this.#sendBye(failure, 1)];
  }

  #sendBye(failure: CallFailure | undefined, tries: number): CallEffect {
    const via = newVia(this.#party);
    const next = requestInDialog(this.#dialog, { method: "BYE", via });
    const bye = this.#party.digest?.authorize(next.request) ?? next.request;
    const byeKey = clientKey(bye);
    if (byeKey === undefined) throw new TypeError("a request of ours has a branch");
    this.#dialog = next.dialog;
    this.#state = { kind: "closing", bye, byeKey, failure, tries };
    return effects.send({ kind: "request", request: bye, to: this.#hopOf(bye) });
  }

  handle(input: CallInput): readonly CallEffect[] {
    switch (input.kind) {
      case "request":
        return this.#receive(input.key, input.request);
      case "response":
        return isFinal(input.response) ? this.#byeAnswered(input.key, input.response) : [];
      case "transaction-failed":
        return this.#byeDone(input.key, 408);
      case "flow-closed":
        if (this.#nextHop === input.flow) this.#isFlowGone = true;
        return [];
      default:
        return [];
    }
  }

  /** The way the call came, or, if that connection is gone, the way the dialog names. */
  #hopOf(request: SipRequest): NextHop {
    if (!this.#isFlowGone) return this.#nextHop;
    try {
      return nextHop(request);
    } catch (error) {
      if (!isProtocolError(error)) throw error;
      return this.#nextHop; // nowhere else to go: the transport reports it as failed
    }
  }

  #receive(key: string, request: SipRequest): readonly CallEffect[] {
    const verdict = receiveInDialog(this.#dialog, request);
    if (verdict.kind === "refused") return [this.#reply(key, request, verdict.status)];
    switch (request.method) {
      case "BYE":
        this.#dialog = verdict.dialog;
        return [this.#reply(key, request, 200), ...this.#peerHungUp()];
      case "INVITE":
      case "UPDATE": // the session stays as it is (RFC 3261 §14.2)
        return [this.#reply(key, request, 488)];
      case "OPTIONS":
        return [this.#reply(key, request, 200)];
      default:
        return [this.#reply(key, request, 405)];
    }
  }

  #reply(key: string, request: SipRequest, status: number): CallEffect {
    return effects.respond(key, createResponse(request, status, { headers: [["Allow", ALLOW]] }));
  }

  #peerHungUp(): readonly CallEffect[] {
    const failure = this.#state.kind === "closing" ? this.#state.failure : undefined;
    this.#state = { kind: "over" };
    if (failure !== undefined) return failureOfCall(failure);
    return endOfCall({ event: "ended", reason: "peer-hung-up", status: 200 }, "well");
  }

  #byeAnswered(key: string, response: SipResponse): readonly CallEffect[] {
    const state = this.#state;
    const isChallenge = response.status === 401 || response.status === 407;
    if (isChallenge && state.kind === "closing" && state.byeKey === key && state.tries < MAX_BYES)
      if (this.#party.digest?.challenged(state.bye, response) === "again")
        return [this.#sendBye(state.failure, state.tries + 1)];
    return this.#byeDone(key, response.status);
  }

  #byeDone(key: string, status: number): readonly CallEffect[] {
    const state = this.#state;
    if (state.kind !== "closing" || state.byeKey !== key) return [];
    this.#state = { kind: "over" };
    if (state.failure !== undefined) return failureOfCall(state.failure);
    if (status >= 300)
      return failureOfCall({ reason: "the goodbye was not answered well", status });
    return endOfCall({ event: "ended", reason: "hung-up", status }, "well");
  }
}
