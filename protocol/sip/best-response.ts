/**
 * Which final response of a fork goes upstream (RFC 3261 §16.7 items 6 and 7, §16.9). Pure.
 * Only the best so far is kept, and the challenges of all: a fork costs one response, however
 * wide it is.
 */
import { canonicalName } from "./header-name.ts";
import { type HeaderRow, headerValue, type SipResponse } from "./message.ts";
import type { FailureReason } from "./transaction.ts";

/** A final response to be made here, since none that came can be passed. */
export interface OwnResponse {
  readonly kind: "own";
  readonly status: 408 | 480 | 487 | 500;
  /** From the 503 that it stands for. */
  readonly retryAfterS?: number;
}

/** Challenges merged into one response, so that no fork outgrows a message. */
export const MAX_CHALLENGES = 32;
/** A server that asks for more rest than this gets this (RFC 3261 §20.33 sets no bound). */
export const MAX_RETRY_AFTER_S = 3_600;

const CHALLENGED: ReadonlySet<number> = new Set([401, 407]);
/** They say how to ask again with better luck (§16.7 item 6; RFC 4028 §6; RFC 3323; sealed bodies). */
const INSTRUCTIVE: ReadonlySet<number> = new Set([
  413, 415, 416, 420, 421, 422, 428, 436, 437, 438, 484, 488, 493, 494, 495, 496,
]);
/** They say only that nobody was there. */
const EMPTY_HANDED: ReadonlySet<number> = new Set([408, 430, 480, 481]);

const NO_ROWS: readonly HeaderRow[] = [];

type Candidate = SipResponse | OwnResponse;

export class BestResponse {
  #best: Candidate | undefined;
  #challenges: readonly HeaderRow[] = NO_ROWS;

  /** Takes a final response that is no 2xx, without our Via. */
  add(response: SipResponse): void {
    if (CHALLENGED.has(response.status)) this.#collect(response);
    this.#prefer(response);
  }

  /** A branch that ended without response: as 408, or as the 503 that becomes 500 (§16.9). */
  addFailure(reason: FailureReason): void {
    this.#prefer(
      reason === "timeout" ? { kind: "own", status: 408 } : { kind: "own", status: 500 },
    );
  }

  /**
   * What to pass upstream: of all rows `WWW-Authenticate` and `Proxy-Authenticate` every one (§16.7
   * item 7), never 503 or 430 (RFC 5626 §11.5). After a CANCEL, 487 rather than that nobody was
   * there or that a server failed.
   */
  choose(cancelled: boolean): Candidate {
    const best = this.#best ?? { kind: "own", status: 480 };
    if (best.kind === "response" && best.status === 487) return best;
    if (cancelled && rank(best) >= EMPTY_RANK) return { kind: "own", status: 487 };
    if (best.kind === "own") return best;
    if (best.status === 503) return unavailable(best);
    if (best.status === 430) return { kind: "own", status: 480 };
    return CHALLENGED.has(best.status) ? this.#withChallenges(best) : best;
  }

  #prefer(candidate: Candidate): void {
    if (this.#best === undefined || rank(candidate) < rank(this.#best)) this.#best = candidate;
  }

  #collect(response: SipResponse): void {
    const all = [...this.#challenges, ...response.headers.filter(isChallenge)];
    this.#challenges = all.slice(0, MAX_CHALLENGES);
  }

  #withChallenges(best: SipResponse): SipResponse {
    const others = this.#challenges.filter((row) => !best.headers.includes(row));
    return others.length === 0 ? best : { ...best, headers: [...best.headers, ...others] };
  }
}

const EMPTY_RANK = 43;

/** Less is better: 6xx, then the lowest class, and within 4xx by what the caller can do with it. */
function rank({ kind, status }: Candidate): number {
  if (status >= 600) return 0;
  if (status >= 500) return status === 503 || kind === "own" ? 51 : 50;
  if (status < 400) return 30;
  if (CHALLENGED.has(status)) return 40;
  if (INSTRUCTIVE.has(status)) return 41;
  if (status === 487) return EMPTY_RANK + 1;
  return EMPTY_HANDED.has(status) ? EMPTY_RANK : 42;
}

/** 503 would make upstreams shun this proxy for what the next one lacks (§16.7 item 6). */
function unavailable(response: SipResponse): OwnResponse {
  const retryAfterS = parseRetryAfter(response);
  return { kind: "own", status: 500, ...(retryAfterS === undefined ? {} : { retryAfterS }) };
}

/** Seconds of Retry-After (§20.33), at most `MAX_RETRY_AFTER_S`; undefined if absent or unreadable. */
export function parseRetryAfter(response: SipResponse): number | undefined {
  const seconds = /^\d{1,10}(?=[ \t;(]|$)/.exec(headerValue(response, "Retry-After") ?? "")?.[0];
  return seconds === undefined ? undefined : Math.min(Number(seconds), MAX_RETRY_AFTER_S);
}

function isChallenge({ name }: HeaderRow): boolean {
  const canonical = canonicalName(name);
  return canonical === "www-authenticate" || canonical === "proxy-authenticate";
}
