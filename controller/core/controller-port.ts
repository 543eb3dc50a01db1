/**
 * What the controller's core hears and what it asks for; the shells in `io` stand on both sides of
 * it. Pure.
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { Secret } from "../../protocol/secret.ts";
import type { FlowId, Target } from "../../protocol/sip/flow.ts";
import type { SipMessage } from "../../protocol/sip/message.ts";
import type { TransactionEffect, TransactionInput } from "../../protocol/sip/transaction-events.ts";
import type { PutResult } from "./agent-client-port.ts";
import type { AuthorityPolicy } from "./authority-policy.ts";
import type { BindingChange } from "./bindings.ts";
import type { Inspection, Report, SessionRequest } from "./call-port.ts";
import type { CertificateEffect, CertificateInput } from "./certificate-port.ts";
import type { MediaPolicy } from "./media-policy.ts";
import type { OrderHead } from "./order-head.ts";
import type { RegistrarLimits } from "./registrar.ts";
import type { SavedCall } from "./saved-call.ts";
import type { SipPolicy } from "./sip-policy.ts";

/** What may change while calls run. */
export interface ControllerRules {
  readonly sip: SipPolicy;
  /** Absent: there is no gateway, and nothing is opened. */
  readonly media?: MediaPolicy;
  readonly applyTimeoutMs: number;
  /** Of calls between nobody of ours; users have their own rule. */
  readonly recordingRequired: boolean;
  /** DER of the certificate that bodies are sealed for. */
  readonly bodyCertificate: Uint8Array;
  /** Absent: no certificates are given, and none is asked for here. */
  readonly authority?: AuthorityPolicy;
}

export interface ControllerSetting extends ControllerRules {
  readonly nonceKey: Secret;
  readonly random: (size: number) => Buffer;
  readonly registrar?: Partial<RegistrarLimits>;
  /** 64*T1. */
  readonly acceptedMs?: number;
  readonly maxCalls?: number;
  /** Whether calls are to be saved, for a successor. */
  readonly keepsCalls?: boolean;
  /** Whether anybody reads reports of level `info`; they do if absent. */
  readonly tellsInfo?: boolean;
}

/** Names a call towards the shells: unique, of no meaning. */
export type CallId = string;

export type ControllerInput =
  | Exclude<TransactionEffect, { readonly kind: "send" }>
  | {
      readonly kind: "inspected";
      readonly call: CallId;
      readonly ref: string;
      readonly inspection: Inspection;
    }
  | {
      readonly kind: "put-result";
      readonly session: string;
      readonly revision: number;
      readonly result: PutResult;
    }
  | { readonly kind: "session-lost"; readonly session: string }
  | { readonly kind: "recording-refused"; readonly session: string }
  /** What DNS said; none for a name that leads nowhere. */
  | { readonly kind: "located"; readonly ref: string; readonly targets: readonly Target[] }
  | { readonly kind: "flow-closed"; readonly flow: FlowId }
  | CertificateInput
  | { readonly kind: "reload"; readonly rules: ControllerRules }
  | { readonly kind: "tick" };

export type ControllerEffect =
  | { readonly kind: "transaction"; readonly input: TransactionInput }
  | {
      readonly kind: "inspect";
      readonly call: CallId;
      readonly ref: string;
      readonly message: SipMessage;
      /** The body may be under that key. */
      readonly firstKey?: FirstKey;
    }
  /** To be sealed and sent before the next effect: the keys in it may be wiped soon after. */
  | { readonly kind: "put"; readonly put: SessionRequest; readonly order: OrderHead }
  | { readonly kind: "close"; readonly session: string; readonly reason: string }
  /** Asks DNS for the servers of a SIP URI. */
  | { readonly kind: "locate"; readonly ref: string; readonly uri: string }
  | CertificateEffect
  /** To be stored before the next effect. */
  | { readonly kind: "store-bindings"; readonly changes: readonly BindingChange[] }
  | { readonly kind: "save-call"; readonly call: CallId; readonly saved: SavedCall }
  | { readonly kind: "forget-call"; readonly call: CallId }
  /** `call` is a digest of the Call-ID, short enough to read. */
  | (Report & { readonly call: string })
  /** A request that was turned away before it became a call. */
  | { readonly kind: "turned-away"; readonly call: string; readonly status: number }
  | { readonly kind: "dropped"; readonly reason: string };
