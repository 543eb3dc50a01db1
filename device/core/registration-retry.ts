/**
 * When to register again: before it ends, and after failures ever more rarely (RFC 5626 §4.5). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";

/** RFC 5626 §4.5: base-time where every flow has failed, and max-time. */
export const BASE_WAIT_MS = 30_000;
export const MAX_WAIT_MS = 1_800_000;
/** A registrar may ask for more patience than we would have, but not for ever. */
export const MAX_RETRY_AFTER_MS = 86_400_000;
/** A flow that held for so long has proved itself: failures before it no longer count (§4.5). */
export const STEADY_MS = 120_000;
/** A REGISTER without an answer takes so long to fail: 64*T1 (RFC 3261 §17.1.2.2). */
const TRANSACTION_MS = 32_000;

/**
 * How long to wait after that many failures in a row, from half to the whole of the step.
 * @param failures at least 1
 * @param random octets: the wait is spread by them
 */
export function waitAfter(failures: number, random: (size: number) => Buffer): number {
  const step = Math.min(MAX_WAIT_MS, BASE_WAIT_MS * 2 ** Math.min(failures, 16));
  const share = random(2).readUInt16BE() / 0xffff;
  return Math.round((step / 2) * (1 + share));
}

/** As `waitAfter`, or longer if the registrar said so. */
export function retryAt(
  now: Millis,
  failures: number,
  retryAfterMs: number | undefined,
  random: (size: number) => Buffer,
): Millis {
  const asked = Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
  return now + Math.max(waitAfter(failures, random), asked);
}

/**
 * When to refresh what was granted for that long: a tenth before its end, but in time for a
 * transaction that fails, and never in its first half.
 */
export function refreshAfter(grantedMs: number): number {
  return grantedMs - Math.min(grantedMs / 2, Math.max(grantedMs / 10, TRANSACTION_MS));
}

/** The delay that a Retry-After asks for (RFC 3261 §20.33); undefined if none can be read. */
export function parseRetryAfter(value: string | undefined): number | undefined {
  const digits = /^\s*(\d{1,9})(?=$|[\s;(])/.exec(value ?? "")?.[1];
  return digits === undefined ? undefined : Number(digits) * 1000;
}
