/**
 * Answers certificate queries for our own users (RFC 3261 §11.2, §23.3): the asker is verified, what
 * is in service at this moment is signed. Pure. Of other domains' users their own controllers know.
 *
 * ```text
 *   OPTIONS ──verify-asker──▶ verifying ──asker-verified──▶ judged ──sign-answer──▶ signing ──▶ 200
 *      └─── 403, 404, 480, 500 ◀─┴──────────── refused ◀───────┘
 * ```
 */
import { QUERY_MAX_CERTIFICATES } from "../../protocol/body/certificate-query.ts";
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { earliest } from "../../protocol/sip/transaction.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import type { AskerLimit } from "./asker-limit.ts";
import type { Binding } from "./bindings.ts";
import type { AskerOutcome, SignedOutcome } from "./certificate-port.ts";
import { askerFault, isSigned, queryAnswerRows } from "./certificate-query.ts";
import { refusedFor, tryLater, warned } from "./certificate-refusals.ts";
import { certificatesInService } from "./certificates-in-service.ts";
import type { ControllerEffect } from "./controller-port.ts";
import type { Origin } from "./gatekeeper.ts";
import { Pending } from "./pending.ts";
import { ALLOWED_METHODS, type Rejection, rejection, respond, type Sender } from "./sender.ts";
import type { Site } from "./site.ts";

/** Queries that wait for the desk at one time. */
export const MAX_PENDING_QUERIES = 400;
export const QUERY_TIMEOUT_MS = 8_000;

export interface CertificateQueriesSetting {
  readonly site: () => Site;
  readonly sender: Sender;
  readonly limit: AskerLimit;
  /** Where a user is, the best contact first. */
  readonly bindingsOf: (aor: string, now: Millis) => readonly Binding[];
}

export interface CertificateQuery {
  readonly received: SipRequest;
  readonly key: string;
  readonly arrival: Arrival;
  readonly origin: Origin;
  /** Whose certificates are asked for: a user of ours. */
  readonly aor: string;
}

interface Answer {
  readonly query: CertificateQuery;
  readonly at: Millis;
  readonly toTag: string;
}

/** What a user of ours may be sent. */
const ACCEPTED = "application/sdp, application/pkcs7-mime, multipart/signed, multipart/mixed";

export class CertificateQueries {
  readonly #setting: CertificateQueriesSetting;
  readonly #verifying = new Pending<CertificateQuery>(
    "query ",
    MAX_PENDING_QUERIES,
    QUERY_TIMEOUT_MS,
  );
  readonly #signing = new Pending<Answer>("answer ", MAX_PENDING_QUERIES, QUERY_TIMEOUT_MS);

  constructor(setting: CertificateQueriesSetting) {
    this.#setting = setting;
  }

  begin(query: CertificateQuery, now: Millis): readonly ControllerEffect[] {
    const { received, key, arrival } = query;
    const { authority } = this.#setting.site();
    const turnAway = (why: Rejection) => this.#setting.sender.turnAway(received, key, why);
    if (authority === undefined) return turnAway(refusedFor("no-authority"));
    const { queries } = authority.perMinute;
    const limited = this.#setting.limit.refusalOf(query, queries, now);
    if (limited !== undefined) return turnAway(limited);
    if (!isSigned(received)) return turnAway(warned(403, "Query is not signed"));
    const ref = this.#verifying.add(query, now);
    if (ref === undefined) return turnAway(tryLater("Too many queries at a time"));
    return [{ kind: "verify-asker", ref, request: received, source: arrival.peer.address }];
  }

  /** The desk has verified the signature, or has not. */
  verified(ref: string, outcome: AskerOutcome, now: Millis): readonly ControllerEffect[] {
    const query = this.#verifying.take(ref);
    if (query === undefined) return [];
    switch (outcome.kind) {
      case "asker":
        return this.#answer(query, outcome, now);
      case "failed":
        return this.#refuse(query, refusedQuery(outcome.code));
      default:
        return assertNever(outcome);
    }
  }

  /** The desk has signed the answer, or could not. */
  signed(ref: string, outcome: SignedOutcome): readonly ControllerEffect[] {
    const answer = this.#signing.take(ref);
    if (answer === undefined) return [];
    const { query, at, toTag } = answer;
    if (outcome.kind === "failed") return this.#refuse(query, NOT_SIGNED);
    const { body, contentType } = outcome;
    const headers = [
      ["Date", serializeSipDate(at)],
      ["Allow", ALLOWED_METHODS],
      ["Accept", ACCEPTED],
      ["Content-Type", contentType],
    ] as const;
    return [respond(query.key, createResponse(query.received, 200, { headers, body, toTag }))];
  }

  /** What the desk let wait too long. */
  expire(now: Millis): readonly ControllerEffect[] {
    const late = [
      ...this.#verifying.takeDue(now),
      ...this.#signing.takeDue(now).map(({ query }) => query),
    ];
    return late.flatMap((query) => this.#refuse(query, tryLater("Not done in time")));
  }

  /** Who asked by that connection cannot be answered. */
  dropFlow(flow: FlowId): void {
    const isGone = ({ arrival }: CertificateQuery) => arrival.flow === flow;
    this.#verifying.takeWhere(isGone);
    this.#signing.takeWhere(({ query }) => isGone(query));
  }

  deadline(): Millis | undefined {
    return earliest(this.#verifying.deadline(), this.#signing.deadline());
  }

  #answer(
    query: CertificateQuery,
    asker: AskerOutcome & { readonly kind: "asker" },
    now: Millis,
  ): readonly ControllerEffect[] {
    const { site, sender, bindingsOf } = this.#setting;
    const { authority, policy } = site();
    if (authority === undefined) return this.#refuse(query, refusedFor("no-authority"));
    const { received, origin, aor } = query;
    const fault = askerFault(received, asker, { now, skewMs: authority.skewMs });
    if (fault !== undefined) return this.#refuse(query, fault);
    if (policy.users.find(aor) === undefined) return this.#refuse(query, rejection(404));
    const all = certificatesInService(bindingsOf(aor, now), authority.directory, now);
    const served = all.slice(0, QUERY_MAX_CERTIFICATES);
    if (served.length === 0) return this.#refuse(query, rejection(480));
    const answer = { query, at: now, toTag: sender.newTag() };
    const ref = this.#signing.add(answer, now);
    if (ref === undefined) return this.#refuse(query, tryLater("Too many queries at a time"));
    const isLocationTold = authority.locationTo === "users" && origin.kind === "user";
    const rows = queryAnswerRows(received, served, { ...answer, isLocationTold });
    return [{ kind: "sign-answer", ref, rows, certificates: served.map(({ der }) => der) }];
  }

  #refuse({ received, key }: CertificateQuery, why: Rejection): readonly ControllerEffect[] {
    return this.#setting.sender.turnAway(received, key, why, false);
  }
}

const NOT_SIGNED = tryLater("No answer could be signed now");

const refusedQuery = (code: string | undefined): Rejection =>
  code === undefined
    ? tryLater("Signature could not be verified now")
    : warned(403, "Signature is not accepted");
