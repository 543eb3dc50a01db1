/**
 * The phone's signalling as one machine: the transaction layer, at most one call, its registration
 * and at most one question for a certificate (RFC 3261 §8). Pure.
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
import {
  CertificateQuery,
  type QueryEffect,
  type QueryInput,
  type QuerySetting,
} from "./certificate-query.ts";
import { Registration } from "./registration.ts";
import type {
  RegistrationEffect,
  RegistrationInput,
  RegistrationSetting,
} from "./registration-port.ts";

export type UserAgentInput =
  | { readonly kind: "signalling"; readonly input: TransactionInput }
  | { readonly kind: "dial"; readonly setting: CallerSetting }
  | { readonly kind: "call"; readonly input: CallInput }
  | { readonly kind: "registration"; readonly input: RegistrationInput }
  | { readonly kind: "ask"; readonly setting: QuerySetting }
  | { readonly kind: "query"; readonly input: QueryInput }
  | { readonly kind: "tick" };

export type UserAgentEffect =
  | Extract<TransactionEffect, { kind: "send" }>
  | Exclude<CallEffect, { kind: "transaction" }>
  | {
      readonly kind: "registration";
      readonly effect: Exclude<RegistrationEffect, { kind: "transaction" }>;
    }
  | { readonly kind: "query"; readonly effect: Exclude<QueryEffect, { kind: "transaction" }> };

export interface UserAgentSetting {
  readonly party: CallParty;
  /** Absent: calls that come are refused as busy. */
  readonly callee?: CalleeSetting;
  /** Absent: the phone is not registered by itself. */
  readonly registration?: RegistrationSetting;
}

/** Transactions at one time: one call needs few, and a stranger shall not fill the memory. */
export const MAX_PHONE_TRANSACTIONS = 256;

export class UserAgent implements Machine<UserAgentInput, UserAgentEffect> {
  readonly #party: CallParty;
  readonly #callee: CalleeSetting | undefined;
  readonly #layer: TransactionLayer;
  readonly #registration: Registration | undefined;
  #call: CallerCall | CalleeCall | undefined;
  #query: CertificateQuery | undefined;

  constructor({ party, callee, registration }: UserAgentSetting) {
    this.#party = party;
    this.#callee = callee;
    this.#registration = registration && new Registration(registration);
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
      case "registration":
        return this.#feedRegistration(input.input, now);
      case "ask":
        return this.#ask(input.setting, now);
      case "query":
        return this.#feedQuery(input.input, now);
      case "tick":
        return [
          ...this.#signalling(input, now),
          ...this.#feedCall(input, now),
          ...this.#feedRegistration(input, now),
        ];
      default:
        return assertNever(input);
    }
  }

  deadline(): Millis | undefined {
    const own = earliest(this.#call?.deadline(), this.#registration?.deadline());
    return earliest(this.#layer.deadline(), own);
  }

  #dial(setting: CallerSetting, now: Millis): readonly UserAgentEffect[] {
    if (this.#call !== undefined) throw new TypeError("one call at a time");
    const call = new CallerCall(this.#party, setting);
    this.#call = call;
    return this.#perform(call.start(now), now);
  }

  #ask(setting: QuerySetting, now: Millis): readonly UserAgentEffect[] {
    if (this.#query !== undefined) throw new TypeError("one question at a time");
    this.#query = new CertificateQuery(setting);
    return this.#performQuery(this.#query.start(now), now);
  }

  #signalling(input: TransactionInput, now: Millis): readonly UserAgentEffect[] {
    const closed: readonly UserAgentEffect[] =
      input.kind === "flow-closed"
        ? [...this.#feedCall(input, now), ...this.#feedRegistration(input, now)]
        : [];
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
        const { key, response, flow } = effect;
        return this.#feedAll({ kind: "response", key, response, flow }, now);
      }
      case "failed":
        return this.#feedAll({ kind: "transaction-failed", key: effect.key }, now);
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

  /** Each knows its own requests by their keys. */
  #feedAll(
    input: Extract<RegistrationInput, { kind: "response" | "transaction-failed" }>,
    now: Millis,
  ): readonly UserAgentEffect[] {
    return [
      ...this.#feedCall(input, now),
      ...this.#feedRegistration(input, now),
      ...this.#feedQuery(input, now),
    ];
  }

  #feedRegistration(input: RegistrationInput, now: Millis): readonly UserAgentEffect[] {
    const asked = this.#registration?.handle(input, now) ?? [];
    return asked.flatMap((effect): readonly UserAgentEffect[] =>
      effect.kind === "transaction"
        ? this.#transact(effect.input, now)
        : [{ kind: "registration", effect }],
    );
  }

  #feedQuery(input: QueryInput, now: Millis): readonly UserAgentEffect[] {
    return this.#query === undefined ? [] : this.#performQuery(this.#query.handle(input, now), now);
  }

  #performQuery(asked: readonly QueryEffect[], now: Millis): readonly UserAgentEffect[] {
    return asked.flatMap((effect): readonly UserAgentEffect[] => {
      if (effect.kind === "transaction") return this.#transact(effect.input, now);
      if (effect.kind === "over") this.#query = undefined;
      return [{ kind: "query", effect }];
    });
  }

  #transact(input: TransactionInput, now: Millis): readonly UserAgentEffect[] {
    return this.#layer.handle(input, now).flatMap((each) => this.#report(each, now));
  }

  #feedCall(input: CallInput, now: Millis): readonly UserAgentEffect[] {
    return this.#call === undefined ? [] : this.#perform(this.#call.handle(input, now), now);
  }

  #perform(asked: readonly CallEffect[], now: Millis): readonly UserAgentEffect[] {
    return asked.flatMap((effect): readonly UserAgentEffect[] => {
      if (effect.kind === "transaction") return this.#transact(effect.input, now);
      if (effect.kind === "over") this.#call = undefined;
      return [effect];
    });
  }
}
