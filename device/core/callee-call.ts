/**
 * A call that comes to us (RFC 3261 §13.3). Pure.
 *
 * ```text
 * checking ─offer good─▶ alerting ─answer─▶ sealing ─▶ answered (see AnsweredCall)
 *     │ 4xx                  │ 603, 487
 *     ▼                      ▼
 *    over                  over
 * ```
 *
 * Nothing is shown to the user, and nothing rings, before the offer has proved itself.
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { dialogOfCallee } from "../../protocol/sip/dialog.ts";
import { inspectionLabels } from "../../protocol/sip/inspection-label.ts";
import {
  headerValue,
  type SipRequest,
  type SipResponse,
  withBody,
} from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import { signedHeaders } from "../../protocol/sip/signed-headers.ts";
import { AnsweredCall } from "./answered-call.ts";
import { type CallEffect, type CallInput, type CallParty, effects, type NextHop } from "./call.ts";
import type { CallVerb } from "./call-command.ts";
import {
  bodySha256,
  createAnswer,
  createRinging,
  newTag,
  withPlainBody,
  withSealedBody,
} from "./call-messages.ts";
import { DialogLeg, failureOfCall } from "./dialog-leg.ts";
import { callerOf, lookAtOffer, readOffer } from "./incoming-offer.ts";
import { REFUSALS, type Refusal, refusalOf } from "./offer-refusal.ts";
import { isSameUser, verifiedFault } from "./verified-fault.ts";
import { answerVoice, type VoiceOffer } from "./voice-description.ts";

export interface CalleeSetting {
  /** An offer in clear is refused. */
  readonly sealedRequired: boolean;
  /** Answer without being told, this long after the offer was found good. */
  readonly autoAnswerAfterMs?: number;
}

/** The INVITE, and how it came. */
export interface Incoming {
  readonly invite: SipRequest;
  readonly key: string;
  readonly nextHop: NextHop;
}

/** An offer that has proved itself. */
interface Accepted {
  readonly offer: VoiceOffer;
  /** Absent if it came in clear. */
  readonly firstKey?: FirstKey;
}

type State =
  | { readonly kind: "checking" }
  | {
      readonly kind: "alerting";
      readonly accepted: Accepted;
      readonly answerAt: Millis | undefined;
    }
  | { readonly kind: "sealing"; readonly accepted: Accepted; readonly answer: SipResponse }
  | { readonly kind: "answered"; readonly call: AnsweredCall }
  | { readonly kind: "over" };

export class CalleeCall {
  readonly #party: CallParty;
  readonly #setting: CalleeSetting;
  readonly #invite: SipRequest;
  readonly #key: string;
  readonly #nextHop: NextHop;
  readonly #toTag: string;
  readonly #bodySha256: string;
  #state: State = { kind: "checking" };

  constructor(party: CallParty, setting: CalleeSetting, { invite, key, nextHop }: Incoming) {
    this.#party = party;
    this.#setting = setting;
    this.#invite = withBody(invite, Buffer.alloc(0));
    this.#key = key;
    this.#nextHop = nextHop;
    this.#toTag = newTag(party);
    this.#bodySha256 = bodySha256(invite);
  }

  /** A message belongs to this call's dialog. */
  holds(message: SipRequest): boolean {
    return this.#state.kind === "answered" && this.#state.call.holds(message);
  }

  deadline(): Millis | undefined {
    const state = this.#state;
    if (state.kind === "alerting") return state.answerAt;
    return state.kind === "answered" ? state.call.deadline() : undefined;
  }

  /** Looks at the INVITE that the call was made with. */
  start({ invite }: Incoming, now: Millis): readonly CallEffect[] {
    const look = lookAtOffer(invite, this.#setting.sealedRequired);
    switch (look.kind) {
      case "refuse":
        return this.#refuse(look.refusal);
      case "plain":
        return this.#alert(invite.body, undefined, now);
      case "open": {
        const { contentType } = look;
        return [effects.sealing({ kind: "open-offer", body: invite.body, contentType })];
      }
    }
  }

  handle(input: CallInput, now: Millis): readonly CallEffect[] {
    if (input.kind === "cancelled" && input.key === this.#key) return this.#cancelled();
    const state = this.#state;
    switch (state.kind) {
      case "checking":
        return this.#whileChecking(input, now);
      case "alerting":
        return this.#whileAlerting(state, input, now);
      case "sealing":
        return this.#whileSealing(state, input, now);
      case "answered":
        return state.call.handle(input, now);
      case "over":
        return [];
      default:
        return assertNever(state);
    }
  }

  #whileChecking(input: CallInput, now: Millis): readonly CallEffect[] {
    if (input.kind === "not-opened") return this.#refuse(refusalOf(input.stage, input.code));
    if (input.kind === "transaction-failed") return this.#lost(input.key);
    if (input.kind !== "offer-opened") return [];
    const { verified, firstKey } = input;
    const { uri: caller } = messageAddress(this.#invite, "From");
    if (verifiedFault(verified, this.#invite, caller, now) !== undefined || !this.#isForUs())
      return this.#refuse(REFUSALS.headersDiffer);
    return this.#alert(verified.sdp, firstKey, now);
  }

  /** Signed for somebody else is not signed for us: he could have sent it on. */
  #isForUs(): boolean {
    return isSameUser(messageAddress(this.#invite, "To").uri, this.#party.aor);
  }

  #alert(sdp: Buffer, firstKey: FirstKey | undefined, now: Millis): readonly CallEffect[] {
    const offer = readOffer(sdp);
    if (offer === undefined) return this.#refuse(REFUSALS.badDescription);
    const { autoAnswerAfterMs } = this.#setting;
    const answerAt = autoAnswerAfterMs === undefined ? undefined : now + autoAnswerAfterMs;
    this.#state = {
      kind: "alerting",
      accepted: { offer, ...(firstKey && { firstKey }) },
      answerAt,
    };
    const incoming = effects.event({
      event: "incoming",
      callId: headerValue(this.#invite, "Call-ID") ?? "",
      from: callerOf(this.#invite),
      sealed: firstKey !== undefined,
      bodySha256: this.#bodySha256,
    });
    return [incoming, ...this.#ring()];
  }

  #ring(): readonly CallEffect[] {
    const ringing = createRinging(this.#party, this.#invite, this.#toTag);
    return [effects.respond(this.#key, ringing), effects.event({ event: "ringing" })];
  }

  #whileAlerting(
    state: State & { kind: "alerting" },
    input: CallInput,
    now: Millis,
  ): readonly CallEffect[] {
    if (input.kind === "transaction-failed") return this.#lost(input.key);
    if (input.kind === "command") return this.#command(state, input.verb, now);
    const isDue = state.answerAt !== undefined && state.answerAt <= now;
    return input.kind === "tick" && isDue ? this.#answer(state.accepted, now) : [];
  }

  #command(
    { accepted }: State & { kind: "alerting" },
    verb: CallVerb,
    now: Millis,
  ): readonly CallEffect[] {
    switch (verb) {
      case "ring":
        return this.#ring();
      case "answer":
        return this.#answer(accepted, now);
      case "hangup":
        return this.#refuse(REFUSALS.declined);
    }
  }

  #answer(accepted: Accepted, now: Millis): readonly CallEffect[] {
    const { offer, firstKey } = accepted;
    const voice = answerVoice(offer, this.#party.endpoint, this.#party.random);
    const answer = createAnswer(this.#party, this.#invite, this.#toTag, now);
    const media: readonly CallEffect[] = [
      { kind: "media-ready", local: voice },
      { kind: "media-expect", remote: offer.remote },
    ];
    if (firstKey === undefined)
      return [...media, ...this.#send(accepted, withPlainBody(answer, voice.sdp), now)];
    this.#state = { kind: "sealing", accepted, answer };
    const sipfrag = signedHeaders(answer);
    const task = { kind: "seal-answer", sipfrag, sdp: voice.sdp, firstKey } as const;
    return [...media, effects.sealing(task)];
  }

  #whileSealing(
    { accepted, answer }: State & { kind: "sealing" },
    input: CallInput,
    now: Millis,
  ): readonly CallEffect[] {
    if (input.kind === "transaction-failed") return this.#lost(input.key);
    if (input.kind === "not-opened") return this.#refuse(REFUSALS.keyNotReusable);
    if (input.kind !== "answer-sealed") return [];
    const hosts = inspectionLabels(this.#invite).map(({ host }) => host);
    const sealed = withSealedBody(answer, input, [...new Set(hosts)], this.#party);
    return this.#send(accepted, sealed, now);
  }

  #send(accepted: Accepted, response: SipResponse, now: Millis): readonly CallEffect[] {
    const dialog = dialogOfCallee(this.#invite, response);
    const leg = new DialogLeg(this.#party, dialog, this.#nextHop);
    const sealed = accepted.firstKey !== undefined;
    const call = new AnsweredCall({ key: this.#key, response, leg, sealed }, now);
    this.#state = { kind: "answered", call };
    return [call.send()];
  }

  #refuse({ status, reason, headers }: Refusal): readonly CallEffect[] {
    this.#state = { kind: "over" };
    const response = createResponse(this.#invite, status, {
      toTag: this.#toTag,
      reason,
      headers,
    });
    return [
      effects.respond(this.#key, response),
      effects.event({ event: "refused", status, reason, bodySha256: this.#bodySha256 }),
      { kind: "over", outcome: "refused" },
    ];
  }

  #cancelled(): readonly CallEffect[] {
    this.#state = { kind: "over" };
    const { status, reason } = REFUSALS.cancelled;
    const response = createResponse(this.#invite, status, { toTag: this.#toTag, reason });
    const failure = { reason: "cancelled by the caller", status };
    return [effects.respond(this.#key, response), ...failureOfCall(failure)];
  }

  #lost(key: string): readonly CallEffect[] {
    if (key !== this.#key) return [];
    this.#state = { kind: "over" };
    return failureOfCall({ reason: "the connection that the call came by is gone" });
  }
}
