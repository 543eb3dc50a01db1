/**
 * How many calls there may be, of all and of one user; an emergency call is never one too many.
 * Pure.
 */
import type { Placing } from "./placing.ts";
import { type Rejection, rejection } from "./sender.ts";
import { RETRY_AFTER_S } from "./verdict.ts";

export interface CallLimits {
  readonly maxCalls: number;
  /** Those that run, not those that ended a while ago. */
  readonly calls: { readonly running: number; callsOf(aor: string): number };
  /** The caller has a call of the same name that is not over (RFC 3261 §16.3 item 4). */
  readonly isRunning: boolean;
}

/** Why a call may not begin; undefined if it may. */
export function admitCall(placing: Placing, limits: CallLimits): Rejection | undefined {
  if (limits.isRunning) return rejection(482);
  if (placing.emergency) return undefined;
  if (limits.calls.running >= limits.maxCalls)
    return rejection(503, [["Retry-After", String(RETRY_AFTER_S)]]);
  const { users, caller } = placing;
  const full = users.find(
    ({ aor, maxCalls }) => maxCalls !== undefined && limits.calls.callsOf(aor) >= maxCalls,
  );
  if (full === undefined) return undefined;
  return full.aor === caller.aor ? rejection(403) : rejection(486);
}
