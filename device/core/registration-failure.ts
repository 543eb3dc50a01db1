/**
 * What to do about a final response that is no 2xx (RFC 3261 §10.2.7, §10.2.8, §22.1). Pure.
 * Nothing of it is signed, so it only ever leads to another try or to none: no certificate that a
 * refusal brings is believed.
 */
import type { Millis } from "../../protocol/machine.ts";
import { parseSipDate } from "../../protocol/sip/date.ts";
import type { DigestClient } from "../../protocol/sip/digest-client.ts";
import { headerValue, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";
import { parseRetryAfter } from "./registration-retry.ts";
import { MAX_ANSWER_SKEW_MS, tried } from "./signed-answer.ts";

export interface Failure {
  readonly reason: string;
  readonly status?: number;
  readonly warning?: string;
  readonly retryAfterMs?: number;
}

export type Reaction =
  | {
      readonly kind: "again";
      readonly expiresS: number;
      /** The claim is not accepted: with a key that is made anew. */
      readonly fresh: boolean;
    }
  | { readonly kind: "failed"; readonly failure: Failure };

/** Requests of one attempt: challenges of a proxy and of the registrar, stale nonces, one 423. */
export const MAX_ASKS = 8;
/** The longest Min-Expires that we follow: a week. */
export const MAX_EXPIRES_S = 604_800;

export interface AskedSoFar {
  /** With all credentials that were shown, also those that were sealed. */
  readonly presented: SipRequest;
  readonly expiresS: number;
  readonly asks: number;
  readonly digest: DigestClient | undefined;
  /** What was claimed can be claimed for another key. */
  readonly isReplaceable: boolean;
}

/** Judges the response at `now`. */
export function reactionTo(response: SipResponse, asked: AskedSoFar, now: Millis): Reaction {
  const { expiresS, asks, digest } = asked;
  const failed = (reason: string): Reaction => ({
    kind: "failed",
    failure: failureOf(response, reason),
  });
  switch (response.status) {
    case 401:
    case 407:
      if (digest === undefined) return failed("a password is asked for, and none is configured");
      return asks < MAX_ASKS && digest.challenged(asked.presented, response) === "again"
        ? { kind: "again", expiresS, fresh: false }
        : failed("name or password are not accepted");
    case 423: {
      const least = Number(/^\d{1,9}$/.exec(headerValue(response, "Min-Expires") ?? "")?.[0]);
      const isUseful = expiresS > 0 && least > expiresS && least <= MAX_EXPIRES_S;
      return isUseful && asks < MAX_ASKS
        ? { kind: "again", expiresS: least, fresh: false }
        : failed("the registrar wants another expiry, and does not say one that we can take");
    }
    case 403:
      // Revoked, perhaps: the old key is kept until the answer for a new one has proved itself.
      if (asked.isReplaceable && !isClockFault(response, now) && asks < MAX_ASKS)
        return { kind: "again", expiresS, fresh: true };
      return failed(explain(response, now));
    default:
      return failed(explain(response, now));
  }
}

/** The failure that a response stands for. */
export function failureOf(response: SipResponse, reason: string): Failure {
  const warning = headerValue(response, "Warning");
  const retryAfterMs = parseRetryAfter(headerValue(response, "Retry-After"));
  return {
    reason,
    status: response.status,
    ...(warning !== undefined && { warning }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** Whether a 2xx could be signed at all. */
export const hasSignedBody = (response: SipResponse): boolean =>
  /^multipart\/signed(?:\s*;|\s*$)/i.test(headerValue(response, "Content-Type") ?? "");

function explain(response: SipResponse, now: Millis): string {
  if (response.status === 493) return "the controller cannot open what was sealed for it";
  if (response.status !== 403 || !isClockFault(response, now)) return response.reason;
  const minutes = Math.round(Math.abs((dateOf(response) ?? now) - now) / 60_000);
  return `the registrar's clock differs from ours by ${minutes} minutes`;
}

const isClockFault = (response: SipResponse, now: Millis): boolean =>
  Math.abs((dateOf(response) ?? now) - now) > MAX_ANSWER_SKEW_MS;

function dateOf(response: SipResponse): Millis | undefined {
  const date = headerValue(response, "Date");
  return date === undefined ? undefined : tried(() => parseSipDate(date));
}
