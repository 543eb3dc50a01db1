/**
 * Session timers as a call-stateful proxy keeps them (RFC 4028 §8). Pure.
 * Both ends refresh the session by INVITE or UPDATE; a proxy may ask that they do, shorten the
 * interval, and forget the call when no refresh came in time. It sends no BYE and never says who
 * is to refresh, but to a caller that can, for a callee that cannot.
 */
import { isProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import { appendHeader, type SipRequest, type SipResponse, withHeader } from "./message.ts";
import {
  MIN_INTERVAL_S,
  minSe,
  type SessionExpires,
  serializeSessionExpires,
  sessionExpires,
  supportsTimer,
} from "./session-expires.ts";

export interface SessionTimerPolicy {
  /** The longest interval wanted; absent: whatever the ends agree upon, be it none. */
  readonly expiresS?: number;
  /** The shortest interval accepted; at least 90 s whatever it says. */
  readonly minSeS: number;
}

/** What must be known of a request when its 2xx comes (§8.1, last paragraph). */
export interface TimedRequest {
  /** Of the request as it went on; undefined if it asked for nothing. */
  readonly intervalS: number | undefined;
  readonly callerSupports: boolean;
}

export type RequestTiming =
  | { readonly kind: "forward"; readonly request: SipRequest; readonly timed: TimedRequest }
  /** 422 with this Min-SE (§8.1). */
  | { readonly kind: "refuse"; readonly status: 422; readonly minSeS: number };

/** What a response says of the session; not `isAnswer`: nothing, what was before stands. */
export interface ResponseTiming {
  readonly response: SipResponse;
  /** True for the 2xx of INVITE or UPDATE. */
  readonly isAnswer: boolean;
  /** When the session ends unless it is refreshed (§8.2); undefined if never. */
  readonly expiresAt: Millis | undefined;
}

/** True for what begins or refreshes a session (§2). */
export const isSessionRequest = ({ method }: SipRequest): boolean =>
  method === "INVITE" || method === "UPDATE";

/**
 * A session request as it is to go on, with Session-Expires put in, lowered or raised, or its
 * refusal. Fields that cannot be read are left as they are, and no timer runs.
 */
export function timeRequest(request: SipRequest, policy: SessionTimerPolicy): RequestTiming {
  const callerSupports = supportsTimer(request);
  const forward = (timed: SipRequest, intervalS?: number): RequestTiming => ({
    kind: "forward",
    request: timed,
    timed: { intervalS, callerSupports },
  });
  if (!isSessionRequest(request)) return forward(request);
  const asked = readTiming(request);
  if (asked === "unreadable") return forward(request);

  const leastS = Math.max(MIN_INTERVAL_S, policy.minSeS);
  const floorS = Math.max(leastS, asked.minSeS ?? 0);
  const { expires } = asked;
  if (expires === undefined) {
    if (policy.expiresS === undefined) return forward(request);
    const intervalS = Math.max(policy.expiresS, floorS);
    return forward(appendHeader(request, "Session-Expires", String(intervalS)), intervalS);
  }
  if (expires.intervalS < leastS) {
    if (callerSupports) return { kind: "refuse", status: 422, minSeS: leastS };
    const raised = withHeader(request, "Min-SE", String(floorS));
    return forward(withInterval(raised, expires, floorS), floorS);
  }
  const wantedS = Math.max(policy.expiresS ?? expires.intervalS, floorS);
  const intervalS = Math.min(expires.intervalS, wantedS);
  return intervalS === expires.intervalS
    ? forward(request, intervalS)
    : forward(withInterval(request, expires, intervalS), intervalS);
}

/**
 * The response as it is to go on, and when the session ends. If the callee knows no timers and the
 * caller does, it gets told to refresh alone (§8.2).
 * @param now When the response goes on.
 */
export function timeResponse(
  response: SipResponse,
  { intervalS, callerSupports }: TimedRequest,
  now: Millis,
): ResponseTiming {
  if (response.status < 200 || response.status >= 300)
    return { response, isAnswer: false, expiresAt: undefined };
  const answered = readTiming(response);
  if (answered === "unreadable") return { response, isAnswer: true, expiresAt: undefined };
  const { expires } = answered;
  if (expires !== undefined)
    return { response, isAnswer: true, expiresAt: endOf(expires.intervalS, now) };
  if (intervalS === undefined || !callerSupports)
    return { response, isAnswer: true, expiresAt: undefined };
  const told = appendHeader(response, "Session-Expires", `${intervalS};refresher=uac`);
  return {
    response: appendHeader(told, "Require", "timer"),
    isAnswer: true,
    expiresAt: endOf(intervalS, now),
  };
}

/** Whoever says less than the RFC allows is given what it allows. */
const endOf = (intervalS: number, now: Millis): Millis =>
  now + Math.max(intervalS, MIN_INTERVAL_S) * 1_000;

/** A `refresher` that the caller named stays; none is added (§8.1). */
const withInterval = (request: SipRequest, expires: SessionExpires, intervalS: number) =>
  withHeader(request, "Session-Expires", serializeSessionExpires({ ...expires, intervalS }));

interface Timing {
  readonly expires: SessionExpires | undefined;
  readonly minSeS: number | undefined;
}

function readTiming(message: SipRequest | SipResponse): Timing | "unreadable" {
  try {
    return { expires: sessionExpires(message), minSeS: minSe(message) };
  } catch (error) {
    if (isProtocolError(error)) return "unreadable";
    throw error;
  }
}
