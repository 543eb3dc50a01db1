/**
 * Max-Breadth: how many branches a request may have at one time, over all the proxies that fork it
 * (RFC 5393 §5). Pure. Loop detection stops circles; this stops trees that are wide and deep.
 */
import { ProtocolError } from "../errors.ts";
import { headerValue, type SipRequest } from "./message.ts";

/** Of a request that names none, and the most that one can have here (§5.3.1). */
export const DEFAULT_MAX_BREADTH = 60;

/** The status that refuses a request whose breadth does not suffice (§5.3.2). */
export const MAX_BREADTH_EXCEEDED = { status: 440, reason: "Max-Breadth Exceeded" } as const;

/**
 * The branches that a request may have at one time, 0 to `DEFAULT_MAX_BREADTH`.
 * @throws ProtocolError `ERR_SIP_SYNTAX` for what is no number.
 */
export function maxBreadth(request: SipRequest): number {
  const value = headerValue(request, "Max-Breadth");
  if (value === undefined) return DEFAULT_MAX_BREADTH;
  if (!/^\d{1,10}$/.test(value)) throw new ProtocolError("ERR_SIP_SYNTAX", "not a Max-Breadth");
  return Math.min(Number(value), DEFAULT_MAX_BREADTH);
}

/**
 * What each of the branches at one time gets of the breadth, as even as can be, in order; undefined
 * when there is not one for each, which asks for 440 (§5.3.3). Groups tried one after the other
 * each have the whole.
 */
export function shareBreadth(breadth: number, branches: number): readonly number[] | undefined {
  if (breadth < branches || branches === 0) return undefined;
  const [each, rest] = [Math.floor(breadth / branches), breadth % branches];
  return Array.from({ length: branches }, (_, index) => each + (index < rest ? 1 : 0));
}
