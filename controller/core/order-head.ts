/**
 * What a recording order says of its call beside the streams. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";

export interface OrderHead {
  readonly callId: string;
  /** Addresses of record. */
  readonly from: string;
  readonly to: string;
  readonly startedAt: Millis;
  /** The recording of the call that this one replaces, or was referred by. */
  readonly linked?: string;
}
