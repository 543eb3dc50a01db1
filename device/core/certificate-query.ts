/**
 * The question for another user's certificates: a signed OPTIONS, and the signed answer of his home
 * controller (RFC 3261 §11, §23.3). Pure.
 *
 * ```text
 *            ┌─ 401, 407 ─┐
 *            ▼            │
 * signing ─▶ asking ──────┴─2xx─▶ verifying ─▶ over
 *    └──────────┴───────────────────────────▶ over, with a reason
 * ```
 *
 * A refusal is nobody's word in particular: it never leads to anything being sent in clear.
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { createRequest, newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import type { DigestClient } from "../../protocol/sip/digest-client.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import {
  appendHeader,
  headerValue,
  NO_BODY,
  type SipRequest,
  type SipResponse,
  withBody,
} from "../../protocol/sip/message.ts";
import { signedHeaders } from "../../protocol/sip/signed-headers.ts";
import { isFinal } from "../../protocol/sip/transaction.ts";
import type { TransactionInput } from "../../protocol/sip/transaction-events.ts";
import { clientKey } from "../../protocol/sip/transaction-key.ts";
import {
  type FoundCertificate,
  judgeCertificates,
  type VerifiedCertificates,
} from "./certificate-answer.ts";
import { type Failure, failureOf, hasSignedBody, reactionTo } from "./registration-failure.ts";

export interface QuerySetting {
  /** Who asks. */
  readonly aor: string;
  /** Whose certificates are asked for. */
  readonly target: string;
  readonly nextHop: Target;
  /** Our side of the connection. */
  readonly end: { readonly host: string; readonly port: number };
  readonly contact: string;
  /** The controller of our own domain, as it is configured; it may answer for that domain. */
  readonly controllerHost?: string | undefined;
  readonly digest?: DigestClient | undefined;
  readonly random: (size: number) => Buffer;
}

export type QueryOutcome =
  | { readonly kind: "found"; readonly certificates: readonly FoundCertificate[] }
  | { readonly kind: "failed"; readonly failure: Failure };

export type QueryInput =
  | { readonly kind: "signed"; readonly body: Buffer; readonly contentType: string }
  | { readonly kind: "verified"; readonly answer: VerifiedCertificates }
  /** One of the two above could not be done. */
  | { readonly kind: "not-done"; readonly reason: string }
  | { readonly kind: "response"; readonly key: string; readonly response: SipResponse }
  | { readonly kind: "transaction-failed"; readonly key: string };

export type QueryEffect =
  | { readonly kind: "transaction"; readonly input: TransactionInput }
  | { readonly kind: "sign"; readonly startLine: string; readonly rows: SipfragRows }
  /** By the anchors of the target's domain. */
  | {
      readonly kind: "verify";
      readonly target: string;
      readonly body: Buffer;
      readonly contentType: string;
    }
  | { readonly kind: "over"; readonly outcome: QueryOutcome };

const ACCEPT =
  "application/pkix-cert, application/pkcs7-mime, multipart/signed, multipart/mixed, message/sipfrag";

/** The OPTIONS on its way; its body is not kept. */
interface Asked {
  readonly request: SipRequest;
  readonly key: string;
}

type State =
  | { readonly kind: "signing"; readonly query: SipRequest }
  | { readonly kind: "asking"; readonly asked: Asked }
  | { readonly kind: "verifying"; readonly asked: Asked; readonly response: SipResponse }
  | { readonly kind: "over" };

export class CertificateQuery {
  readonly #setting: QuerySetting;
  readonly #ids: { readonly callId: string; readonly tag: string };
  #state: State = { kind: "over" };
  #cseq = 0;

  constructor(setting: QuerySetting) {
    this.#setting = setting;
    const id = (): string => setting.random(12).toString("hex");
    this.#ids = { callId: id(), tag: id() };
  }

  start(now: Millis): readonly QueryEffect[] {
    this.#cseq += 1;
    const query = this.#create(now);
    this.#state = { kind: "signing", query };
    const startLine = `${query.method} ${query.uri} SIP/2.0`;
    return [{ kind: "sign", startLine, rows: signedHeaders(query) }];
  }

  handle(input: QueryInput, now: Millis): readonly QueryEffect[] {
    const state = this.#state;
    if (state.kind === "over") return [];
    if (input.kind === "not-done") return this.#fail({ reason: input.reason });
    switch (state.kind) {
      case "signing":
        return input.kind === "signed" ? this.#send(state.query, input) : [];
      case "asking":
        return this.#whileAsking(state.asked, input, now);
      case "verifying":
        return input.kind === "verified" ? this.#judge(state, input.answer, now) : [];
      default:
        return assertNever(state);
    }
  }

  #create(now: Millis): SipRequest {
    const { aor, target, nextHop, end, contact, random } = this.#setting;
    return createRequest({
      method: "OPTIONS",
      uri: target,
      via: ownVia(nextHop.transport, end.host, end.port, newBranch(random)),
      from: { uri: aor, params: [{ name: "tag", value: this.#ids.tag }] },
      to: { uri: target, params: [] },
      callId: this.#ids.callId,
      cseq: this.#cseq,
      headers: [
        ["Contact", `<${contact}>`],
        ["Date", serializeSipDate(now)],
        ["Accept", ACCEPT],
      ],
    });
  }

  #send(query: SipRequest, signed: { body: Buffer; contentType: string }): readonly QueryEffect[] {
    const { digest, nextHop } = this.#setting;
    const typed = appendHeader(query, "Content-Type", signed.contentType);
    const whole = withBody(typed, signed.body);
    const request = digest === undefined ? whole : digest.authorize(whole);
    const key = clientKey(request);
    if (key === undefined) throw new TypeError("a request of ours has a branch");
    this.#state = { kind: "asking", asked: { request: withBody(request, NO_BODY), key } };
    return [{ kind: "transaction", input: { kind: "request", request, to: nextHop } }];
  }

  #whileAsking(asked: Asked, input: QueryInput, now: Millis): readonly QueryEffect[] {
    if (input.kind === "transaction-failed" && input.key === asked.key)
      return this.#fail({ reason: "no answer from the network" });
    if (input.kind !== "response" || input.key !== asked.key || !isFinal(input.response)) return [];
    const { response } = input;
    if (response.status >= 300) return this.#refused(asked, response, now);
    if (!hasSignedBody(response))
      return this.#fail(failureOf(response, "the answer is refused: it is not signed"));
    this.#state = { kind: "verifying", asked, response };
    const contentType = headerValue(response, "Content-Type") ?? "";
    const { target } = this.#setting;
    return [{ kind: "verify", target, body: response.body, contentType }];
  }

  #refused(asked: Asked, response: SipResponse, now: Millis): readonly QueryEffect[] {
    const { digest } = this.#setting;
    const sofar = { presented: asked.request, asks: this.#cseq, digest };
    const reaction = reactionTo(response, { ...sofar, expiresS: 0, isReplaceable: false }, now);
    return reaction.kind === "again" ? this.start(now) : this.#fail(reaction.failure);
  }

  #judge(
    { asked, response }: State & { kind: "verifying" },
    answer: VerifiedCertificates,
    now: Millis,
  ): readonly QueryEffect[] {
    const context = { ...this.#setting, request: asked.request, response };
    const judgement = judgeCertificates(answer, context, now);
    if (judgement.kind === "refused")
      return this.#fail(failureOf(response, `the answer is refused: ${judgement.reason}`));
    return this.#end({ kind: "found", certificates: judgement.certificates });
  }

  #fail(failure: Failure): readonly QueryEffect[] {
    return this.#end({ kind: "failed", failure });
  }

  #end(outcome: QueryOutcome): readonly QueryEffect[] {
    this.#state = { kind: "over" };
    return [{ kind: "over", outcome }];
  }
}
