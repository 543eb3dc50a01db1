/**
 * The phone's signalling as one machine: the transaction layer, and at most one call (RFC 3261 §8).
 * Pure.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import { DEFAULT_SIP_TIMERS, earliest } from "../../protocol/sip/transaction.ts";
import type {
  Arrival,
  TransactionEffect,
  TransactionInput,
} from "../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../protocol/sip/transaction-layer.ts";
import { parseSipUri, unescapeUri } from "../../protocol/sip/uri.ts";
import { type CallEffect, type CallInput, type CallParty, effects } from "./call.ts";
import { ACCEPT, ALLOW, newTag } from "./call-messages.ts";
import { CalleeCall, type CalleeSetting } from "./callee-call.ts";
import { CallerCall, type CallerSetting } from "./caller-call.ts";

export type UserAgentInput =
  | { readonly kind: "signalling"; readonly input: TransactionInput }
  | { readonly kind: "dial"; readonly setting: CallerSetting }
  | { readonly kind: "call"; readonly input: CallInput }
  | { readonly kind: "tick" };

export type UserAgentEffect =
  | Extract<TransactionEffect, { kind: "send" }>
  | Exclude<CallEffect, { kind: "transaction" }>;

export interface UserAgentSetting {
  readonly party: CallParty;
  /** Absent: calls that come are refused as busy. */
  readonly callee?: CalleeSetting;
}

/** Transactions at one time: one call needs few, and a stranger shall not fill the memory. */
export const MAX_PHONE_TRANSACTIONS = 256;

export class UserAgent implements Machine<UserAgentInput, UserAgentEffect> {
  readonly #party: CallParty;
  readonly #callee: CalleeSetting | undefined;
  readonly #layer: TransactionLayer;
  #call: CallerCall | CalleeCall | undefined;

  constructor({ party, callee }: UserAgentSetting) {
    this.#party = party;
    this.#callee = callee;
    this.#layer = new TransactionLayer({
      timers: DEFAULT_SIP_TIMERS,
      random: party.random,
      maxTransactions: MAX_PHONE_TRANSACTIONS,
      refuseMerged: true,
      abandonLostFlows: true,
    });
  }

  get isIdle(): boolean {
    return this.#call === undefined;
  }

  handle(input: UserAgentInput, now: Millis): readonly UserAgentEffect[] {
    switch (input.kind) {
      case "signalling":
        return this.#signalling(input.input, now);
      case "dial":
        return this.#dial(input.setting, now);
      case "call":
        return this.#feedCall(input.input, now);
      case "tick":
        return [...this.#signalling(input, now), ...this.#feedCall(input, now)];
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    return earliest(this.#layer.deadline(), this.#call?.deadline());
  }

  #dial(setting: CallerSetting, now: Millis): readonly UserAgentEffect[] {
    if (this.#call !== undefined) throw new TypeError("one call at a time");
    const call = new CallerCall(this.#party, setting);
    this.#call = call;
    return this.#perform(call.start(now), now);
  }

  #signalling(input: TransactionInput, now: Millis): readonly UserAgentEffect[] {
    const closed: readonly UserAgentEffect[] =
      input.kind === "flow-closed" ? this.#feedCall(input, now) : [];
    const reported = this.#layer.handle(input, now);
    return [...closed, ...reported.flatMap((effect) => this.#report(effect, now))];
  }

  #report(effect: TransactionEffect, now: Millis): readonly UserAgentEffect[] {
    switch (effect.kind) {
      case "send":
        return [effect];
      case "deliver-request":
        return this.#request(effect, now);
      case "deliver-ack":
        if (this.#call?.holds(effect.request) !== true) return [];
        return this.#feedCall({ kind: "ack", request: effect.request }, now);
      case "deliver-cancel":
        return this.#feedCall({ kind: "cancelled", key: effect.key }, now);
      case "deliver-response": {
        const { key, response } = effect;
        return this.#feedCall({ kind: "response", key, response }, now);
      }
      case "failed":
        return this.#feedCall({ kind: "transaction-failed", key: effect.key }, now);
      case "dropped":
        return [];
      default:
        return assertNever(effect);
    }
  }

  #request(
    { key, request, flow }: Arrival & { key: string; request: SipRequest },
    now: Millis,
  ): readonly UserAgentEffect[] {
    if (this.#call?.holds(request) === true)
      return this.#feedCall({ kind: "request", key, request }, now);
    const status = this.#statusOutsideDialog(request);
    if (status !== undefined || this.#callee === undefined)
      return this.#reply(key, request, status ?? 486, now);
    const incoming = { invite: request, key, nextHop: flow };
    const call = new CalleeCall(this.#party, this.#callee, incoming);
    this.#call = call;
    return this.#perform(call.start(incoming, now), now);
  }

  /** What a request outside our dialog is answered with; undefined for a call that we can take. */
  #statusOutsideDialog(request: SipRequest): number | undefined {
    if (messageTag(request, "To") !== undefined) return 481;
    switch (request.method) {
      case "INVITE":
        if (!this.#isOurs(request.uri)) return 404;
        return this.#call === undefined ? undefined : 486;
      case "OPTIONS":
        return 200;
      case "BYE":
      case "CANCEL":
        return 481;
      default:
        return 405;
    }
  }

  /** Our user name, whatever the host: a proxy writes our address there. */
  #isOurs(requestUri: string): boolean {
    if (!/^sips?:/i.test(requestUri)) return false;
    const [asked, ours] = [requestUri, this.#party.aor].map((uri) => parseSipUri(uri).user ?? "");
    return unescapeUri(asked ?? "") === unescapeUri(ours ?? "");
  }

  #reply(
    key: string,
    request: SipRequest,
    status: number,
    now: Millis,
  ): readonly UserAgentEffect[] {
    const response = createResponse(request, status, {
      toTag: newTag(this.#party),
      headers: [
        ["Allow", ALLOW],
        ["Accept", ACCEPT],
      ],
    });
    return this.#perform([effects.respond(key, response)], now);
  }

  #feedCall(input: CallInput, now: Millis): readonly UserAgentEffect[] {
    return this.#call === undefined ? [] : this.#perform(this.#call.handle(input, now), now);
  }

  #perform(asked: readonly CallEffect[], now: Millis): readonly UserAgentEffect[] {
    return asked.flatMap((effect): readonly UserAgentEffect[] => {
      if (effect.kind === "transaction")
        return this.#layer.handle(effect.input, now).flatMap((each) => this.#report(each, now));
      if (effect.kind === "over") this.#call = undefined;
      return [effect];
    });
  }
}
