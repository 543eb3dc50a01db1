/**
 * One call, from its INVITE to its end: what is asked of the body inspector and the gateway, and
 * what may go on (RFC 3261 §16, design of the sealed call in docs/architecture.md). Pure.
 *
 *     inspecting ─▶ opening ─▶ proceeding ─▶ answered ─▶ closed
 *         │            │            │            └ BYE, 481, no ACK
 *         └────────────┴────────────┴ refused, cancelled, final error, no response
 *
 * The INVITE goes on only when its holes are applied. A call whose body is not for us is `plain`:
 * it passes as it came and opens nothing. CANCEL closes nothing once the INVITE has gone on; the
 * final response does. Keys are wiped at the end.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import type { SipResponse } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import type { PutResult } from "./agent-client-port.ts";
import { CallDialogs } from "./call-dialogs.ts";
import type { CallEffect, LegEffect, Report } from "./call-effect.ts";
import type { CallInput, CallSetting } from "./call-input.ts";
import { CallKeys } from "./call-keys.ts";
import { judgeOffer, type Offer, type OfferInspection } from "./inspection.ts";
import { pinholesOfOffer } from "./pinholes.ts";
import { streamsOfOffer } from "./recording-order.ts";
import { CANCELLED, type RequestVerdict, refusalOf, UNANSWERED } from "./verdict.ts";

/** How long the opening of an offer may take. */
export const INSPECTION_TIMEOUT_MS = 2_000;
/** How long an answered call waits for its ACK (RFC 3261 §13.3.1.4: 64*T1). */
export const ACK_TIMEOUT_MS = 32_000;
/** How long the messages of an ended call still find their way. */
export const LINGER_MS = 32_000;
/** No call lasts longer: its BYE was lost. */
export const MAX_CALL_MS = 86_400_000;

const ELSEWHERE = "answered elsewhere";
const NO_ACK = "no ACK";

type State =
  | { readonly kind: "new" }
  | { readonly kind: "inspecting"; readonly deadline: Millis }
  | {
      readonly kind: "opening";
      readonly offer: Offer;
      readonly session: string;
      readonly deadline: Millis;
    }
  | { readonly kind: "proceeding"; readonly offer: Offer | undefined }
  | {
      readonly kind: "answered";
      readonly offer: Offer | undefined;
      readonly acknowledged: boolean;
      readonly deadline: Millis;
    }
  | { readonly kind: "closed"; readonly until: Millis };

export class Call implements Machine<CallInput, CallEffect> {
  readonly #setting: CallSetting;
  readonly #dialogs: CallDialogs;
  readonly #keys = new CallKeys();
  #state: State = { kind: "new" };

  constructor(setting: CallSetting) {
    this.#setting = setting;
    this.#dialogs = new CallDialogs(setting);
  }

  /** True for a dialog of this call, by the tag that the callee gave. */
  hasDialog(tag: string): boolean {
    return this.#dialogs.has(tag);
  }

  get isOver(): boolean {
    return this.#state.kind === "closed";
  }

  /** True once a sealed offer was opened: its media is the gateway's affair. */
  get isSealed(): boolean {
    return "offer" in this.#state && this.#state.offer !== undefined;
  }

  /** When a closed call may be forgotten. */
  get forgetAt(): Millis | undefined {
    return this.#state.kind === "closed" ? this.#state.until : undefined;
  }

  handle(input: CallInput, now: Millis): readonly CallEffect[] {
    switch (input.kind) {
      case "start":
        return this.#start(now);
      case "offer-inspected":
        return this.#judge(input.inspection, now);
      case "answer-inspected":
        return this.#watch(this.#dialogs.run(input.toTag, input, now), now);
      case "put-result":
        return this.#settle(input, now);
      case "response":
        return this.#respond(input.response, now);
      case "no-response":
        return this.#fail(input.reason, now);
      case "cancel":
        return this.#cancel(now);
      case "acknowledged":
        return this.#acknowledge(input.tag, now);
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
    const set = [own, ...this.#dialogs.deadlines()].filter((time) => time !== undefined);
    return set.length === 0 ? undefined : Math.min(...set);
  }

  #start(now: Millis): readonly CallEffect[] {
    if (this.#setting.body === "passing") return this.#proceed(undefined);
    this.#state = { kind: "inspecting", deadline: now + INSPECTION_TIMEOUT_MS };
    return [{ kind: "inspect-offer" }];
  }

  #judge(inspection: OfferInspection, now: Millis): readonly CallEffect[] {
    if (this.#state.kind !== "inspecting") {
      if (inspection.kind === "opened") inspection.firstKey.cek.wipe();
      return [];
    }
    if (inspection.kind === "opened") this.#keys.keep(inspection.firstKey.cek);
    const { invite: request, labelled, ownAddresses, policy, seen } = this.#setting;
    const judgement = judgeOffer(inspection, { request, ownAddresses, policy, seen }, now);
    if (judgement.kind === "granted") return this.#open(judgement.value, now);
    if (judgement.verdict !== "not-a-recipient" || labelled)
      return this.#refuse(judgement.verdict, now);
    return [report("info", "call-plain"), ...this.#proceed(undefined)];
  }

  #open(offer: Offer, now: Millis): readonly CallEffect[] {
    const name = this.#dialogs.nameOffer();
    this.#keys.keepOffer(offer);
    const deadline = now + this.#setting.applyTimeoutMs;
    this.#state = { kind: "opening", offer, session: name.session, deadline };
    const pinholes = pinholesOfOffer(offer.streams);
    const streams = streamsOfOffer(offer.streams);
    const timeoutMs = this.#setting.applyTimeoutMs;
    return [{ kind: "put", put: { ...name, revision: 1, pinholes, streams, timeoutMs } }];
  }

  #settle(input: CallInput & { kind: "put-result" }, now: Millis): readonly CallEffect[] {
    const { session, revision } = input;
    const result = this.#withRecording(input.result);
    const state = this.#state;
    if (state.kind !== "opening" || state.session !== session) {
      const settled = { kind: "put-result", revision, result } as const;
      return this.#watch(this.#dialogs.runSession(session, settled, now), now);
    }
    if (result.kind === "failed") return this.#refuse(result.verdict, now);
    return [report("info", "call-opened", { session }), ...this.#proceed(state.offer)];
  }

  /** Holes without the recorder's consent are worth nothing where recording is required. */
  #withRecording(result: PutResult): PutResult {
    if (result.kind === "failed" || !this.#setting.recordingRequired) return result;
    return result.recording === "accepted" ? result : { kind: "failed", verdict: "not-recorded" };
  }

  #proceed(offer: Offer | undefined): readonly CallEffect[] {
    this.#state = { kind: "proceeding", offer };
    return [{ kind: "forward-invite" }];
  }

  #respond(response: SipResponse, now: Millis): readonly CallEffect[] {
    if (this.#state.kind === "inspecting" || this.#state.kind === "opening") return [];
    if (response.status >= 300)
      return [...this.#close(`${response.status}`, now), { kind: "forward-response", response }];
    const offer = "offer" in this.#state ? this.#state.offer : undefined;
    const tag = messageTag(response, "To") ?? "";
    const first = response.status >= 200 ? this.#dialogs.elect(tag, ELSEWHERE, now) : [];
    return this.#watch([...first, ...this.#dialogs.respond(response, offer, now)], now);
  }

  #watch(effects: readonly LegEffect[], now: Millis): readonly CallEffect[] {
    return effects.flatMap((effect) => this.#watchOne(effect, now));
  }

  /** Notes keys that leave, and the 2xx that goes on: the first one answers the call. */
  #watchOne(effect: LegEffect, now: Millis): readonly CallEffect[] {
    if (effect.kind === "put") this.#keys.keepStreams(effect.put.streams);
    if (effect.kind !== "forward-response" || effect.response.status < 200) return [effect];
    const deadline = now + ACK_TIMEOUT_MS;
    this.#dialogs.confirm(messageTag(effect.response, "To") ?? "", deadline);
    if (this.#state.kind !== "proceeding") return [effect];
    const { offer } = this.#state;
    this.#state = { kind: "answered", offer, acknowledged: false, deadline };
    return [...this.#dialogs.endUnclaimed(ELSEWHERE), effect];
  }

  #fail(reason: "timeout" | "transport", now: Millis): readonly CallEffect[] {
    if (this.#state.kind !== "proceeding") return [];
    return [...this.#close(reason, now), { kind: "refuse", refusal: UNANSWERED[reason] }];
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

  #acknowledge(tag: string, now: Millis): readonly CallEffect[] {
    this.#dialogs.acknowledge(tag);
    if (this.#state.kind !== "answered" || this.#state.acknowledged) return [];
    this.#state = { ...this.#state, acknowledged: true, deadline: now + MAX_CALL_MS };
    return [report("info", "call-confirmed")];
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
    return [lost, ...this.#dialogs.endUnclaimed("lost", session), ...effects];
  }

  #loseRecording(session: string, now: Millis): readonly CallEffect[] {
    const required = this.#setting.recordingRequired;
    const told = report(required ? "error" : "warn", "not-recorded", { session });
    if (!required) return [told];
    const reason = "not recorded";
    const effects = this.#dialogs.runSession(session, { kind: "end", reason }, now);
    return [told, ...this.#dialogs.endUnclaimed(reason, session), ...this.#watch(effects, now)];
  }

  #refuse(verdict: RequestVerdict, now: Millis): readonly CallEffect[] {
    const refused = report("warn", "call-refused", { verdict });
    return [refused, ...this.#close(verdict, now), { kind: "refuse", refusal: refusalOf(verdict) }];
  }

  #close(reason: string, now: Millis): readonly CallEffect[] {
    if (this.#state.kind === "closed") return [];
    const went = this.#state.kind === "proceeding" || this.#state.kind === "answered";
    const effects = this.#dialogs.endAll(reason, now);
    this.#keys.wipe();
    this.#state = { kind: "closed", until: now + LINGER_MS };
    return [...effects, ...(went ? [report("info", "call-ended", { reason })] : [])];
  }

  #tick(now: Millis): readonly CallEffect[] {
    const state = this.#state;
    if (state.kind === "inspecting" && state.deadline <= now) return this.#refuse("body-slow", now);
    if (state.kind === "opening" && state.deadline <= now) return this.#refuse("gateway-slow", now);
    if (state.kind === "answered" && state.deadline <= now)
      return this.#close(state.acknowledged ? "too long" : NO_ACK, now);
    const effects = [...this.#dialogs.endUnacknowledged(NO_ACK, now), ...this.#dialogs.tick(now)];
    const watched = this.#watch(effects, now);
    const isOver = state.kind === "answered" && !this.#dialogs.anyConfirmed;
    return isOver ? [...watched, ...this.#close(NO_ACK, now)] : watched;
  }
}

function report(
  level: Report["level"],
  event: Report["event"],
  more: Pick<Report, "verdict" | "session" | "reason"> = {},
): Report {
  return { kind: "report", level, event, ...more };
}
