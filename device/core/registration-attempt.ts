/**
 * One REGISTER, or its removal, until it is answered for good: through challenges, a longer expiry
 * and the proof of the answer (RFC 3261 §10.2, §22). Pure.
 *
 * ```text
 *               ┌── 403 ─────┬── 401, 407, 423 ──┐
 *               ▼            ▼                   │
 * locating ─▶ claiming ─▶ sealing ─▶ asking ────┴─2xx─▶ opening ─proven─▶ storing ─▶ done
 *     └───────────┴───────────┴──────────┴─────────────────┴──────────────────┴─────▶ done, failed
 * ```
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { headerValue, NO_BODY, withBody } from "../../protocol/sip/message.ts";
import { isFinal } from "../../protocol/sip/transaction.ts";
import { clientKey } from "../../protocol/sip/transaction-key.ts";
import { judgeAnswer, type OpenedAnswer } from "./registration-answer.ts";
import { type Failure, failureOf, hasSignedBody, reactionTo } from "./registration-failure.ts";
import type {
  ClaimSummary,
  GrantedRegistration,
  OwnContact,
  RegistrationEffect,
  RegistrationInput,
  RegistrationSetting,
} from "./registration-port.ts";
import {
  authorizeInside,
  authorizeOutside,
  createRegister,
  sealedRows,
  withRowsOf,
  withSealedRows,
} from "./registration-request.ts";

export interface AttemptPlan {
  /** Names the attempt in effects and results. */
  readonly ref: number;
  readonly callId: string;
  readonly nextCSeq: () => number;
  /** Takes the location away. */
  readonly removal: boolean;
}

export type AttemptOutcome =
  | {
      readonly kind: "granted";
      readonly granted: GrantedRegistration;
      readonly grantedMs: number;
      /** When the answer came. */
      readonly at: Millis;
      readonly flow: FlowId;
    }
  | { readonly kind: "removed" }
  | { readonly kind: "failed"; readonly removal: boolean; readonly failure: Failure };

/** What `handle` takes. */
export type AttemptInput = Exclude<
  RegistrationInput,
  { kind: "register" | "remove" | "tick" | "flow-closed" }
>;

/** The REGISTER on its way; its body is not kept. */
interface Asked {
  readonly request: SipRequest;
  /** With the credentials that were sealed. */
  readonly presented: SipRequest;
  readonly key: string;
  readonly firstKey: FirstKey;
}

type State =
  | { readonly kind: "locating" }
  | { readonly kind: "claiming"; readonly contact: OwnContact }
  | { readonly kind: "sealing"; readonly register: SipRequest }
  | { readonly kind: "asking"; readonly asked: Asked }
  | {
      readonly kind: "opening";
      readonly asked: Asked;
      readonly response: SipResponse;
      readonly flow: FlowId;
      readonly at: Millis;
    }
  | { readonly kind: "storing"; readonly result: AttemptOutcome }
  | { readonly kind: "done"; readonly outcome: AttemptOutcome | undefined };

export class RegistrationAttempt {
  readonly #setting: RegistrationSetting;
  readonly #plan: AttemptPlan;
  #state: State = { kind: "locating" };
  #contact: OwnContact | undefined;
  #claim: ClaimSummary = LOCATION_ONLY;
  #expiresS: number;
  #asks = 0;

  constructor(setting: RegistrationSetting, plan: AttemptPlan) {
    this.#setting = setting;
    this.#plan = plan;
    this.#expiresS = plan.removal ? 0 : setting.expiresS;
  }

  /** The location that was asked for, once it is known. */
  get contact(): OwnContact | undefined {
    return this.#contact;
  }

  /** Undefined until it is done. */
  get outcome(): AttemptOutcome | undefined {
    return this.#state.kind === "done" ? this.#state.outcome : undefined;
  }

  /** @param contact found first if absent. */
  start(contact: OwnContact | undefined, now: Millis): readonly RegistrationEffect[] {
    if (contact === undefined) return [{ kind: "find-contact", ref: this.#plan.ref }];
    this.#contact = contact;
    return this.#plan.removal ? this.#seal(contact, now) : this.#askClaim(contact, false);
  }

  /** Gives up; late results are ignored. */
  abandon(): void {
    this.#done(undefined);
  }

  handle(input: AttemptInput, now: Millis): readonly RegistrationEffect[] {
    const state = this.#state;
    if ("ref" in input && (input.ref !== this.#plan.ref || state.kind === "done")) {
      if (input.kind === "sealed") input.firstKey.cek.wipe();
      return [];
    }
    if (input.kind === "not-done") return this.#fail({ reason: input.reason });
    switch (state.kind) {
      case "locating":
        return input.kind === "contact" ? this.start(input.contact, now) : [];
      case "claiming":
        if (input.kind !== "claimed") return [];
        this.#claim = input.claim;
        return this.#seal(state.contact, now);
      case "sealing":
        return input.kind === "sealed" ? this.#send(state.register, input) : [];
      case "asking":
        return this.#whileAsking(state.asked, input, now);
      case "opening":
        return input.kind === "opened" ? this.#judge(state, input.answer, now) : [];
      case "storing":
        if (input.kind === "stored") this.#done(state.result);
        return [];
      case "done":
        return [];
      default:
        return assertNever(state);
    }
  }

  #askClaim(contact: OwnContact, fresh: boolean): readonly RegistrationEffect[] {
    this.#state = { kind: "claiming", contact };
    return [{ kind: "claim", ref: this.#plan.ref, fresh }];
  }

  #seal(contact: OwnContact, now: Millis): readonly RegistrationEffect[] {
    const { callId, nextCSeq, ref, removal } = this.#plan;
    const step = { callId, cseq: nextCSeq(), contact, expiresS: this.#expiresS };
    const created = createRegister(this.#setting, step, now);
    const register = authorizeInside(created, this.#setting, this.#claim.der);
    this.#state = { kind: "sealing", register };
    const rows = sealedRows(register, this.#setting);
    return [{ kind: "seal", ref, rows, withClaim: !removal }];
  }

  #send(
    register: SipRequest,
    sealed: { body: Buffer; contentType: string; firstKey: FirstKey },
  ): readonly RegistrationEffect[] {
    const outside = withSealedRows(register, sealed, this.#setting);
    const request = authorizeOutside(outside, this.#setting);
    const key = clientKey(request);
    if (key === undefined) throw new TypeError("a request of ours has a branch");
    const bare = withBody(request, NO_BODY);
    const inside = this.#setting.profile === "private" ? ["Authorization"] : [];
    const presented = withRowsOf(bare, register, inside);
    const { firstKey } = sealed;
    this.#asks += 1;
    this.#state = { kind: "asking", asked: { request: bare, presented, key, firstKey } };
    const to = this.#setting.nextHop;
    return [{ kind: "transaction", input: { kind: "request", request, to } }];
  }

  #whileAsking(asked: Asked, input: AttemptInput, now: Millis): readonly RegistrationEffect[] {
    if (input.kind === "transaction-failed" && input.key === asked.key)
      return this.#fail({ reason: "the registrar does not answer" });
    if (input.kind !== "response" || input.key !== asked.key || !isFinal(input.response)) return [];
    const { response, flow } = input;
    if (response.status < 300) return this.#open(asked, response, flow, now);
    const { digest } = this.#setting;
    const { presented } = asked;
    const { isReplaceable } = this.#claim;
    const [expiresS, asks] = [this.#expiresS, this.#asks];
    const reaction = reactionTo(
      response,
      { presented, expiresS, asks, digest, isReplaceable },
      now,
    );
    if (reaction.kind === "failed") return this.#fail(reaction.failure);
    const contact = this.#contactAsked();
    asked.firstKey.cek.wipe();
    this.#expiresS = reaction.expiresS;
    return reaction.fresh ? this.#askClaim(contact, true) : this.#seal(contact, now);
  }

  #open(
    asked: Asked,
    response: SipResponse,
    flow: FlowId,
    at: Millis,
  ): readonly RegistrationEffect[] {
    if (!hasSignedBody(response)) return this.#fail(refusedAnswer(response, "it is not signed"));
    this.#state = { kind: "opening", asked, response, flow, at };
    const { ref } = this.#plan;
    const { body } = response;
    const contentType = headerValue(response, "Content-Type") ?? "";
    return [{ kind: "open", ref, body, contentType, firstKey: asked.firstKey }];
  }

  #judge(
    state: State & { kind: "opening" },
    answer: OpenedAnswer,
    now: Millis,
  ): readonly RegistrationEffect[] {
    const { asked, response, flow, at } = state;
    const { ref, removal } = this.#plan;
    const contact = this.#contactAsked();
    const claimedKeyId = this.#claim.keyId;
    const question = { ...this.#setting, ...asked, claimedKeyId };
    const context = { ...question, response, contact: contact.uri, removal };
    const judgement = judgeAnswer(answer, context, now);
    asked.firstKey.cek.wipe();
    switch (judgement.kind) {
      case "refused":
        return this.#fail(refusedAnswer(response, judgement.reason));
      case "removed":
        this.#state = { kind: "storing", result: { kind: "removed" } };
        return [{ kind: "store", ref }];
      case "granted": {
        const { grantedMs, expiresAt } = judgement;
        const granted = { contact, expiresAt, answer };
        this.#state = {
          kind: "storing",
          result: { kind: "granted", granted, grantedMs, at, flow },
        };
        return [{ kind: "store", ref, granted }];
      }
      default:
        return assertNever(judgement);
    }
  }

  #contactAsked(): OwnContact {
    if (this.#contact === undefined) throw new TypeError("a REGISTER of ours names a contact");
    return this.#contact;
  }

  #fail(failure: Failure): readonly RegistrationEffect[] {
    if (this.#state.kind === "done") return [];
    this.#done({ kind: "failed", removal: this.#plan.removal, failure });
    return [];
  }

  #done(outcome: AttemptOutcome | undefined): void {
    const state = this.#state;
    if (state.kind === "asking" || state.kind === "opening") state.asked.firstKey.cek.wipe();
    this.#state = { kind: "done", outcome };
  }
}

const LOCATION_ONLY: ClaimSummary = { der: NO_BODY, isReplaceable: false };

/** Only the fault of ours: what the response itself says was believed by nobody. */
const refusedAnswer = (response: SipResponse, reason: string): Failure =>
  failureOf(response, `the answer is refused: ${reason}`);
