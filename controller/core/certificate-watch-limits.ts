/**
 * How many may watch certificates, for how long, and how often they are told (RFC 6072 §6.3,
 * §6.10). Pure data.
 */
import type { Dialog } from "../../protocol/sip/dialog.ts";
import type { WatchDuration } from "./certificate-watch-request.ts";

export interface WatchLimits extends WatchDuration {
  /** Subscriptions at one time: of all, of one user, of all behind one trunk. */
  readonly watches: number;
  readonly watchesPerUser: number;
  readonly watchesPerTrunk: number;
  /** Before a NOTIFY of another certificate that nobody asked for (RFC 6072 §6.10). */
  readonly notifyIntervalMs: number;
  /** What is remembered of the subscriber's names and routes. */
  readonly dialogBytes: number;
}

/** A day if nothing is asked, a week at most (RFC 6072 §6.3). */
export const DEFAULT_WATCH_LIMITS: WatchLimits = {
  defaultExpiresS: 86_400,
  minExpiresS: 60,
  maxExpiresS: 604_800,
  watches: 10_000,
  watchesPerUser: 200,
  watchesPerTrunk: 2_000,
  notifyIntervalMs: 60_000,
  dialogBytes: 4096,
};

/** Whether a dialog is more than we remember of one. */
export const isDialogTooLong = (dialog: Dialog, { dialogBytes }: WatchLimits): boolean =>
  JSON.stringify(dialog).length > dialogBytes;
