/**
 * One dialog of a sealed call, early or confirmed: it alone has its answer, its session on the
 * gateway and its keys, so that two phones that ring for one offer never mix (RFC 3261 §12.1.2,
 * RFC 4568 §7.3). Pure.
 *
 * Responses leave in the order they came. One that brings an answer waits until the answer is
 * opened, judged and applied, or until it turned out that it will not be: a proxy cannot refuse an
 * answer, so it goes on all the same, and what was open for this dialog is shut.
 *
 *     response ──▶ queue ──▶ inspecting ──▶ opening ──▶ open ──▶ forward
 *                                │             │
 *                                └─────────────┴──▶ shut ──▶ forward, alarm
 */
import { createHash } from "node:crypto";
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import type { SipResponse } from "../../protocol/sip/message.ts";
import type { PutResult } from "./agent-client-port.ts";
import { bodyKind } from "./body-kind.ts";
import type { LegEffect, Report, SessionName } from "./call-effect.ts";
import { type AnswerInspection, judgeAnswer, type Offer } from "./inspection.ts";
import type { AnsweredStream, MediaPolicy } from "./media-policy.ts";
import { pinholesOfAnswer } from "./pinholes.ts";
import { streamsOfAnswer } from "./recording-order.ts";
import type { Verdict } from "./verdict.ts";

/** From an answer's arrival to its forwarding, opened and applied or not. */
export const ANSWER_TIMEOUT_MS = 500;
/** Responses of one dialog that wait at a time; a provisional one beyond is dropped. */
export const MAX_HELD_RESPONSES = 8;
/** Sealed answers of one dialog that are known to say the same; older ones are opened again. */
export const MAX_KNOWN_BODIES = 8;

export type LegInput =
  | { readonly kind: "response"; readonly response: SipResponse }
  | { readonly kind: "answer-inspected"; readonly inspection: AnswerInspection }
  | { readonly kind: "put-result"; readonly revision: number; readonly result: PutResult }
  | { readonly kind: "session-lost" }
  /** Nothing more is let through for this dialog. */
  | { readonly kind: "end"; readonly reason: string }
  | { readonly kind: "tick" };

export interface LegSetting {
  readonly toTag: string;
  readonly offer: Offer;
  readonly policy: MediaPolicy;
  /** Gives the dialog its session, the first time it is needed; `revision` is what it has by then. */
  readonly claim: () => SessionName & { readonly revision: number };
}

type Work =
  | { readonly kind: "idle" }
  | { readonly kind: "inspecting"; readonly held: SipResponse; readonly deadline: Millis }
  | {
      readonly kind: "opening";
      readonly held: SipResponse;
      readonly deadline: Millis;
      readonly plan: string;
    };

type Media =
  | { readonly kind: "none" }
  /** `bodies`: digests of the answers that led to this plan. */
  | { readonly kind: "open"; readonly plan: string; readonly bodies: ReadonlySet<string> }
  | { readonly kind: "shut" };

export class CallLeg implements Machine<LegInput, LegEffect> {
  readonly #setting: LegSetting;
  #work: Work = { kind: "idle" };
  #media: Media = { kind: "none" };
  #queue: SipResponse[] = [];
  #name: SessionName | undefined;
  #revision = 0;

  constructor(setting: LegSetting) {
    this.#setting = setting;
  }

  /** The session it has claimed, if any. */
  get session(): string | undefined {
    return this.#name?.session;
  }

  handle(input: LegInput, now: Millis): readonly LegEffect[] {
    switch (input.kind) {
      case "response":
        return this.#receive(input.response, now);
      case "answer-inspected":
        return this.#judge(input.inspection, now);
      case "put-result":
        return this.#settle(input.revision, input.result, now);
      case "session-lost":
        return this.#media.kind === "open" ? this.#shut("gateway-refused", "lost") : [];
      case "end":
        return this.#end(input.reason, now);
      case "tick":
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    return this.#work.kind === "idle" ? undefined : this.#work.deadline;
  }

  #receive(response: SipResponse, now: Millis): readonly LegEffect[] {
    const again = this.#queue.some(({ status }) => status === response.status && status >= 200);
    const full = this.#queue.length >= MAX_HELD_RESPONSES && response.status < 200;
    if (again || full || this.#isHeld(response)) return [];
    this.#queue.push(response);
    return this.#advance(now);
  }

  /** A final response that is being worked on is not queued behind itself. */
  #isHeld({ status }: SipResponse): boolean {
    return this.#work.kind !== "idle" && this.#work.held.status === status && status >= 200;
  }

  #advance(now: Millis): readonly LegEffect[] {
    const effects: LegEffect[] = [];
    while (this.#work.kind === "idle") {
      const response = this.#queue.shift();
      if (response === undefined) break;
      effects.push(...this.#take(response, now));
    }
    return effects;
  }

  #take(response: SipResponse, now: Millis): readonly LegEffect[] {
    const forward: LegEffect = { kind: "forward-response", response };
    const kind = bodyKind(response);
    const media = this.#media;
    if (media.kind === "shut") return [forward];
    if (media.kind === "open" && media.bodies.has(digest(response.body))) return [forward];
    if (kind === "sealed") {
      this.#claim();
      this.#work = { kind: "inspecting", held: response, deadline: now + ANSWER_TIMEOUT_MS };
      const { toTag, offer } = this.#setting;
      return [{ kind: "inspect-answer", toTag, response, firstKey: offer.firstKey }];
    }
    if (kind === "clear") return [...this.#shut("answer-in-clear"), forward];
    if (response.status >= 200 && media.kind === "none")
      return [...this.#shut("answer-absent"), forward];
    return [forward];
  }

  #judge(inspection: AnswerInspection, now: Millis): readonly LegEffect[] {
    if (this.#work.kind !== "inspecting") return [];
    const { held, deadline } = this.#work;
    const { offer, policy } = this.#setting;
    const judgement = judgeAnswer(inspection, { response: held, offer, policy }, now);
    if (judgement.kind === "refused") return this.#giveUp(judgement.verdict, now);
    const plan = planOf(judgement.value);
    if (this.#media.kind === "open" && this.#media.plan === plan) {
      const bodies = [...this.#media.bodies, digest(held.body)].slice(-MAX_KNOWN_BODIES);
      this.#media = { ...this.#media, bodies: new Set(bodies) };
      return this.#release(now);
    }
    this.#work = { kind: "opening", held, deadline, plan };
    return [this.#put(judgement.value, Math.max(1, deadline - now))];
  }

  #put(streams: readonly AnsweredStream[], timeoutMs: number): LegEffect {
    this.#revision += 1;
    return {
      kind: "put",
      put: {
        ...this.#claim(),
        revision: this.#revision,
        pinholes: pinholesOfAnswer(streams),
        streams: streamsOfAnswer(streams),
        timeoutMs,
      },
    };
  }

  #settle(revision: number, result: PutResult, now: Millis): readonly LegEffect[] {
    if (this.#work.kind !== "opening" || revision !== this.#revision) return [];
    if (result.kind === "failed") return this.#giveUp(result.verdict, now);
    const { plan, held } = this.#work;
    this.#media = { kind: "open", plan, bodies: new Set([digest(held.body)]) };
    const { session } = this.#claim();
    return [
      { kind: "report", level: "info", event: "answer-applied", session },
      ...this.#release(now),
    ];
  }

  /** Passes on the response that was worked on, and then what had queued behind it. */
  #release(now: Millis): readonly LegEffect[] {
    if (this.#work.kind === "idle") return [];
    const { held } = this.#work;
    this.#work = { kind: "idle" };
    return [{ kind: "forward-response", response: held }, ...this.#advance(now)];
  }

  #giveUp(verdict: Verdict, now: Millis): readonly LegEffect[] {
    const early = this.#work.kind !== "idle" && this.#work.held.status < 200;
    const shut = this.#shut(verdict);
    if (early && verdict === "gateway-refused") this.#startAnew();
    return [...shut, ...this.#release(now)];
  }

  /** Another early dialog may have been in the way: the final answer gets a session of its own. */
  #startAnew(): void {
    this.#media = { kind: "none" };
    this.#name = undefined;
  }

  #shut(verdict: Verdict, reason: string = verdict): readonly LegEffect[] {
    const { session } = this.#claim();
    this.#media = { kind: "shut" };
    const report: Report = {
      kind: "report",
      level: "error",
      event: "answer-shut",
      verdict,
      session,
    };
    return [{ kind: "close", session, reason }, report];
  }

  #end(reason: string, now: Millis): readonly LegEffect[] {
    const shut = this.#media.kind === "shut";
    this.#media = { kind: "shut" };
    const close: LegEffect[] =
      shut || this.#name === undefined
        ? []
        : [{ kind: "close", session: this.#name.session, reason }];
    this.#queue = this.#queue.filter(({ status }) => status >= 200);
    if (this.#work.kind !== "idle" && this.#work.held.status < 200) this.#work = { kind: "idle" };
    return [...close, ...(this.#work.kind === "idle" ? this.#advance(now) : this.#release(now))];
  }

  #tick(now: Millis): readonly LegEffect[] {
    if (this.#work.kind === "idle" || this.#work.deadline > now) return [];
    return this.#giveUp(this.#work.kind === "opening" ? "gateway-slow" : "body-slow", now);
  }

  #claim(): SessionName {
    if (this.#name !== undefined) return this.#name;
    const { revision, ...name } = this.#setting.claim();
    this.#revision = revision;
    this.#name = name;
    return name;
  }
}

const digest = (body: Uint8Array) => createHash("sha256").update(body).digest("base64");

/** Equal for answers that say the same of addresses, payloads and keys. */
function planOf(streams: readonly AnsweredStream[]): string {
  const keys = streams.flatMap(({ keys }) =>
    keys.kind === "none"
      ? [""]
      : [digest(keys.answered.masterKeySalt.expose()), `${keys.answered.tag}`],
  );
  const drafts = streamsOfAnswer(streams).map(({ protection: _, ...draft }) => draft);
  return JSON.stringify([pinholesOfAnswer(streams), drafts, keys]);
}
