/**
 * What a call and its dialogs ask to be done. Pure.
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { Pinhole } from "../../protocol/control/messages.ts";
import type { SipResponse } from "../../protocol/sip/message.ts";
import type { DraftStream } from "./recording-order.ts";
import type { Refusal, Verdict } from "./verdict.ts";

/** A session of the gateway and the recording that belongs to it. */
export interface SessionName {
  readonly session: string;
  /** A UUID. */
  readonly recording: string;
}

export interface SessionRequest extends SessionName {
  readonly revision: number;
  readonly pinholes: readonly Pinhole[];
  readonly streams: readonly DraftStream[];
  /** How long the gateway may take. */
  readonly timeoutMs: number;
}

/** What somebody should read: no key, no SDP, no identity. */
export interface Report {
  readonly kind: "report";
  readonly level: "info" | "warn" | "error";
  readonly event:
    | "call-opened"
    | "call-plain"
    | "call-refused"
    | "answer-applied"
    | "answer-shut"
    | "call-confirmed"
    | "session-lost"
    | "not-recorded"
    | "call-ended";
  readonly verdict?: Verdict;
  readonly session?: string;
  /** How it came about, in a word. */
  readonly reason?: string;
}

/** Effects of one dialog within a call. */
export type LegEffect =
  | {
      readonly kind: "inspect-answer";
      readonly toTag: string;
      readonly response: SipResponse;
      readonly firstKey: FirstKey;
    }
  | { readonly kind: "put"; readonly put: SessionRequest }
  | { readonly kind: "close"; readonly session: string; readonly reason: string }
  | { readonly kind: "forward-response"; readonly response: SipResponse }
  | Report;

export type CallEffect =
  | LegEffect
  | { readonly kind: "inspect-offer" }
  | { readonly kind: "forward-invite" }
  | { readonly kind: "cancel-invite" }
  | { readonly kind: "refuse"; readonly refusal: Refusal };
