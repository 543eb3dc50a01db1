/**
 * What the controller's core hears and what it asks for; the shells in `io` stand on both sides of
 * it. Pure.
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { Prefix } from "../../protocol/net/address.ts";
import type { Secret } from "../../protocol/secret.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import type { TransactionEffect, TransactionInput } from "../../protocol/sip/transaction-events.ts";
import type { PutResult } from "./agent-client-port.ts";
import type { Report, SessionRequest } from "./call-effect.ts";
import type { AnswerInspection, OfferInspection } from "./inspection.ts";
import type { MediaPolicy } from "./media-policy.ts";
import type { SipPolicy } from "./sip-policy.ts";

export interface ControllerSetting {
  readonly sip: SipPolicy;
  readonly media: MediaPolicy & { readonly protectedPrefixes: readonly Prefix[] };
  readonly applyTimeoutMs: number;
  readonly recordingRequired: boolean;
  /** DER of the certificate that bodies are sealed for. */
  readonly bodyCertificate: Uint8Array;
  readonly nonceKey: Secret;
  readonly random: (size: number) => Buffer;
  readonly maxCalls?: number;
}

/** Names a call towards the shells: unique, of no meaning. */
export type CallId = string;

export type ControllerInput =
  | Exclude<TransactionEffect, { readonly kind: "send" }>
  | {
      readonly kind: "offer-inspected";
      readonly call: CallId;
      readonly inspection: OfferInspection;
    }
  | {
      readonly kind: "answer-inspected";
      readonly call: CallId;
      readonly toTag: string;
      readonly inspection: AnswerInspection;
    }
  | {
      readonly kind: "put-result";
      readonly session: string;
      readonly revision: number;
      readonly result: PutResult;
    }
  | { readonly kind: "session-lost"; readonly session: string }
  | { readonly kind: "recording-refused"; readonly session: string }
  | { readonly kind: "tick" };

/** What the recording order says of the call beside its streams. */
export interface OrderHead {
  readonly callId: string;
  /** Addresses of record. */
  readonly from: string;
  readonly to: string;
  readonly startedAt: Millis;
}

export type ControllerEffect =
  | { readonly kind: "transaction"; readonly input: TransactionInput }
  | { readonly kind: "inspect-offer"; readonly call: CallId; readonly request: SipRequest }
  | {
      readonly kind: "inspect-answer";
      readonly call: CallId;
      readonly toTag: string;
      readonly response: SipResponse;
      readonly firstKey: FirstKey;
    }
  /** To be sealed and sent before the next effect: the keys in it may be wiped soon after. */
  | { readonly kind: "put"; readonly put: SessionRequest; readonly order: OrderHead }
  | { readonly kind: "close"; readonly session: string; readonly reason: string }
  /** `call` is a digest of the Call-ID, short enough to read. */
  | (Report & { readonly call: string })
  /** A request that was turned away before it became a call. */
  | { readonly kind: "turned-away"; readonly call: string; readonly status: number }
  | { readonly kind: "dropped"; readonly reason: string };
