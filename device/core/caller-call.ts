/**
 * A call that we make (RFC 3261 §13.2). Pure.
 *
 * ```text
 * idle ─start─▶ sealing ─sealed─▶ calling ─2xx─▶ opening ─verified─▶ up
 *                  │                 │ 3xx-6xx      │ bad, plain or none
 *                  ▼                 ▼              ▼
 *                over ◀───────────  over          BYE, over
 * ```
 *
 * A call that was to be sealed stays so: whatever is answered, it is never tried again in clear,
 * and no certificate that came with a refusal is believed.
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import { assertNever, isProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { messageCSeq } from "../../protocol/sip/cseq.ts";
import { dialogOfCaller } from "../../protocol/sip/dialog.ts";
import {
  headerValue,
  type SipRequest,
  type SipResponse,
  withBody,
} from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import { signedHeaders } from "../../protocol/sip/signed-headers.ts";
import { clientKey } from "../../protocol/sip/transaction-key.ts";
import { type CallEffect, type CallInput, type CallParty, effects, type NextHop } from "./call.ts";
import {
  bodyKind,
  bodySha256,
  createInvite,
  repeatInvite,
  withPlainBody,
  withSealedBody,
} from "./call-messages.ts";
import { type CallFailure, DialogLeg, failureOfCall } from "./dialog-leg.ts";
import { verifiedFault } from "./verified-fault.ts";
import { type LocalVoice, offerVoice, readVoiceAnswer } from "./voice-description.ts";

export interface CallerSetting {
  /** Address of record of the callee. */
  readonly target: string;
  readonly nextHop: NextHop;
  /** Hosts of the controllers that are asked to look; absent: the description goes in clear. */
  readonly sealedFor?: readonly string[];
}

/** The INVITE on its way, and what it offered. */
interface Offered {
  readonly invite: SipRequest;
  readonly inviteKey: string;
  readonly voice: LocalVoice;
  /** Absent in a call in clear. */
  readonly firstKey?: FirstKey;
}

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "sealing"; readonly invite: SipRequest; readonly voice: LocalVoice }
  | {
      readonly kind: "calling";
      readonly offered: Offered;
      readonly hasRung: boolean;
      readonly hungUp: boolean;
    }
  | {
      readonly kind: "opening";
      readonly offered: Offered;
      readonly response: SipResponse;
      readonly leg: DialogLeg;
    }
  | { readonly kind: "up"; readonly offered: Offered; readonly leg: DialogLeg }
  | { readonly kind: "over" };

/** Of one call: challenges of proxies and of the callee, and stale nonces. */
export const MAX_INVITES = 6;

export class CallerCall {
  readonly #party: CallParty;
  readonly #setting: CallerSetting;
  #state: State = { kind: "idle" };

  constructor(party: CallParty, setting: CallerSetting) {
    this.#party = party;
    this.#setting = setting;
  }

  /** A message belongs to this call's dialog. */
  holds(message: SipRequest): boolean {
    return "leg" in this.#state && this.#state.leg.holds(message);
  }

  deadline(): undefined {
    return undefined;
  }

  start(now: Millis): readonly CallEffect[] {
    const invite = createInvite(this.#party, this.#setting.target, now);
    const voice = offerVoice(this.#party.endpoint, this.#party.random);
    return [{ kind: "media-ready", local: voice }, ...this.#offer(invite, voice)];
  }

  handle(input: CallInput, now: Millis): readonly CallEffect[] {
    const state = this.#state;
    switch (state.kind) {
      case "idle":
      case "over":
        return [];
      case "sealing":
        return this.#whileSealing(state, input);
      case "calling":
        return this.#whileCalling(state, input, now);
      case "opening":
      case "up":
        return this.#inDialog(state, input, now);
      default:
        return assertNever(state);
    }
  }

  #offer(invite: SipRequest, voice: LocalVoice): readonly CallEffect[] {
    const { target, sealedFor } = this.#setting;
    if (sealedFor === undefined) return this.#send(withPlainBody(invite, voice.sdp), voice);
    this.#state = { kind: "sealing", invite, voice };
    const sipfrag = signedHeaders(invite);
    return [effects.sealing({ kind: "seal-offer", sipfrag, sdp: voice.sdp, callee: target })];
  }

  #whileSealing(state: State & { kind: "sealing" }, input: CallInput): readonly CallEffect[] {
    if (input.kind === "not-opened")
      return this.#fail({ reason: `the offer cannot be sealed (${input.code})` });
    if (input.kind === "command" && input.verb === "hangup")
      return this.#fail({ reason: "hung up before the call went out" });
    if (input.kind !== "offer-sealed") return [];
    const hosts = this.#setting.sealedFor ?? [];
    const invite = withSealedBody(state.invite, input, hosts, this.#party);
    return this.#send(invite, state.voice, input.firstKey);
  }

  #send(whole: SipRequest, voice: LocalVoice, firstKey?: FirstKey): readonly CallEffect[] {
    const invite = this.#party.digest?.authorize(whole) ?? whole;
    const inviteKey = clientKey(invite);
    if (inviteKey === undefined) throw new TypeError("a request of ours has a branch");
    // The transaction keeps the body until it is answered; we do not need it again.
    const bare = withBody(invite, Buffer.alloc(0));
    const offered = { invite: bare, inviteKey, voice, ...(firstKey && { firstKey }) };
    this.#state = { kind: "calling", offered, hasRung: false, hungUp: false };
    const sealed = firstKey !== undefined;
    const callId = headerValue(invite, "Call-ID") ?? "";
    return [
      effects.event({ event: "calling", callId, sealed, bodySha256: bodySha256(invite) }),
      effects.send({ kind: "request", request: invite, to: this.#setting.nextHop, timerC: true }),
    ];
  }

  #whileCalling(
    state: State & { kind: "calling" },
    input: CallInput,
    now: Millis,
  ): readonly CallEffect[] {
    const { inviteKey } = state.offered;
    if (input.kind === "command" && input.verb === "hangup") {
      this.#state = { ...state, hungUp: true };
      return [effects.send({ kind: "cancel", key: inviteKey })];
    }
    if (input.kind === "transaction-failed" && input.key === inviteKey)
      return this.#fail({ reason: "no answer from the network" });
    if (input.kind !== "response" || input.key !== inviteKey) return [];
    const { response } = input;
    if (this.#mayProve(state, response)) return this.#offerAgain(state.offered, now);
    if (response.status >= 300) return this.#fail(refusalOf(response, state.hungUp));
    if (response.status >= 200) return this.#accepted(state, response);
    if (response.status < 180 || state.hasRung) return [];
    this.#state = { ...state, hasRung: true };
    return [effects.event({ event: "ringing" })];
  }

  #mayProve({ offered, hungUp }: State & { kind: "calling" }, response: SipResponse): boolean {
    const { digest } = this.#party;
    if (digest === undefined || hungUp || ![401, 407].includes(response.status)) return false;
    if (messageCSeq(offered.invite).number >= MAX_INVITES) return false;
    return digest.challenged(offered.invite, response) === "again";
  }

  /** Signed and sealed anew: the signature covers CSeq and Date. */
  #offerAgain({ invite, voice, firstKey }: Offered, now: Millis): readonly CallEffect[] {
    firstKey?.cek.wipe();
    return this.#offer(repeatInvite(this.#party, invite, now), voice);
  }

  #accepted(state: State & { kind: "calling" }, response: SipResponse): readonly CallEffect[] {
    const { offered } = state;
    const leg = this.#legOf(offered, response);
    if (leg === undefined) return this.#fail({ reason: "the answer makes no dialog" });
    this.#state = { kind: "up", offered, leg };
    const ack = leg.acknowledge(offered.invite);
    if (state.hungUp) return [ack, ...leg.hangUp({ reason: "cancelled" })];
    if (offered.firstKey === undefined) return [ack, ...this.#takePlain(offered, response, leg)];
    if (bodyKind(response) !== "sealed")
      return [ack, ...leg.hangUp({ reason: "the answer is not sealed" })];

    this.#state = { kind: "opening", offered, response, leg };
    const { body } = response;
    const contentType = headerValue(response, "Content-Type") ?? "";
    const { firstKey } = offered;
    const callee = this.#setting.target;
    return [ack, effects.sealing({ kind: "open-answer", callee, body, contentType, firstKey })];
  }

  #takePlain(offered: Offered, response: SipResponse, leg: DialogLeg): readonly CallEffect[] {
    if (bodyKind(response) !== "plain")
      return leg.hangUp({ reason: "the answer holds no session description" });
    return this.#answered(offered, response.body, leg);
  }

  #inDialog(
    state: State & { kind: "opening" | "up" },
    input: CallInput,
    now: Millis,
  ): readonly CallEffect[] {
    const { leg } = state;
    if (input.kind === "command") return input.verb === "hangup" ? leg.hangUp() : [];
    if (input.kind === "response" && input.key === state.offered.inviteKey)
      return this.#furtherAnswer(state, input.response);
    if (state.kind === "opening" && leg.isUp) {
      if (input.kind === "not-opened")
        return leg.hangUp({ reason: `the answer is not acceptable (${input.code})` });
      if (input.kind === "answer-opened") {
        const fault = verifiedFault(input.verified, state.response, this.#setting.target, now);
        return fault === undefined
          ? this.#answered(state.offered, input.verified.sdp, leg)
          : leg.hangUp({ reason: fault });
      }
    }
    return leg.handle(input);
  }

  #answered(offered: Offered, sdp: Buffer, leg: DialogLeg): readonly CallEffect[] {
    this.#state = { kind: "up", offered, leg };
    try {
      const remote = readVoiceAnswer(sdp, offered.voice);
      return [
        { kind: "media-expect", remote },
        effects.event({ event: "answered", sealed: offered.firstKey !== undefined }),
        { kind: "media-play" },
      ];
    } catch (error) {
      if (!isProtocolError(error)) throw error;
      return leg.hangUp({ reason: `the answer is not acceptable (${error.code})` });
    }
  }

  /** The 2xx again wants its ACK again; one of another branch wants ACK and BYE (§13.2.2.4). */
  #furtherAnswer(
    { leg, offered }: State & { kind: "opening" | "up" },
    response: SipResponse,
  ): readonly CallEffect[] {
    if (response.status < 200 || response.status >= 300) return [];
    if (leg.holds(response)) return [leg.acknowledge(offered.invite)];
    const other = this.#legOf(offered, response);
    if (other === undefined) return [];
    const bye = other.hangUp().filter(({ kind }) => kind === "transaction");
    return [other.acknowledge(offered.invite), ...bye];
  }

  #legOf({ invite }: Offered, response: SipResponse): DialogLeg | undefined {
    try {
      if (messageTag(response, "To") === undefined) return undefined;
      const dialog = dialogOfCaller(invite, response);
      return new DialogLeg(this.#party, dialog, this.#setting.nextHop);
    } catch (error) {
      if (!isProtocolError(error)) throw error;
      return undefined;
    }
  }

  #fail(failure: CallFailure): readonly CallEffect[] {
    this.#state = { kind: "over" };
    return failureOfCall(failure);
  }
}

function refusalOf(response: SipResponse, hungUp: boolean): CallFailure {
  const warning = headerValue(response, "Warning");
  return {
    reason: hungUp && response.status === 487 ? "cancelled" : response.reason,
    status: response.status,
    ...(warning !== undefined && { warning }),
  };
}
