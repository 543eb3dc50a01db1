/**
 * What a call is told, and what it stands on. Pure.
 */
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import type { PutResult } from "./agent-client-port.ts";
import type { SessionName } from "./call-effect.ts";
import type { AnswerInspection, OfferInspection } from "./inspection.ts";
import type { MediaPolicy } from "./media-policy.ts";
import type { SeenBodies } from "./seen-bodies.ts";

export type CallInput =
  | { readonly kind: "start" }
  | { readonly kind: "offer-inspected"; readonly inspection: OfferInspection }
  | {
      readonly kind: "answer-inspected";
      readonly toTag: string;
      readonly inspection: AnswerInspection;
    }
  | {
      readonly kind: "put-result";
      readonly session: string;
      readonly revision: number;
      readonly result: PutResult;
    }
  /** From downstream, to the INVITE; never 100. */
  | { readonly kind: "response"; readonly response: SipResponse }
  /** No response will come. */
  | { readonly kind: "no-response"; readonly reason: "timeout" | "transport" }
  | { readonly kind: "cancel" }
  /** The caller's ACK of a 2xx, in the dialog of this tag. */
  | { readonly kind: "acknowledged"; readonly tag: string }
  /** BYE by one of the dialog's own parties, or the other's word that it knows no such dialog. */
  | { readonly kind: "dialog-ended"; readonly tag: string; readonly reason: string }
  | { readonly kind: "session-lost"; readonly session: string }
  | { readonly kind: "recording-refused"; readonly session: string }
  | { readonly kind: "tick" };

export interface CallSetting {
  readonly invite: SipRequest;
  /** What its body is taken for: `sealed` is inspected, `passing` is not. */
  readonly body: "sealed" | "passing";
  /** Whether an inspection label names us, so that a body we are no recipient of is refused. */
  readonly labelled: boolean;
  readonly ownAddresses: readonly string[];
  readonly policy: MediaPolicy;
  readonly seen: SeenBodies;
  readonly applyTimeoutMs: number;
  readonly recordingRequired: boolean;
  readonly nameSession: () => SessionName;
}
