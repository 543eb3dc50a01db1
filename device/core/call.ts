/**
 * What goes into a call and what comes out of it, for either side (RFC 3261 §13). Pure.
 * Sealing and opening take time and randomness of their own, so a call asks for them by effects and
 * gets the results as inputs.
 */
import type { VerifiedEntity } from "../../protocol/body/signed-entity.ts";
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { ProtocolErrorCode } from "../../protocol/errors.ts";
import type { DigestClient } from "../../protocol/sip/digest-client.ts";
import type { FlowId, SipTransport, Target } from "../../protocol/sip/flow.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import type { SignedHeader } from "../../protocol/sip/signed-headers.ts";
import type { TransactionInput } from "../../protocol/sip/transaction-events.ts";
import type { CallVerb } from "./call-command.ts";
import type { CallEvent } from "./call-event.ts";
import type { SealedStage } from "./offer-refusal.ts";
import type { LocalVoice, RemoteVoice, VoiceEndpoint } from "./voice-description.ts";

/** Who we are in a call, and how the other side reaches us in it. */
export interface CallParty {
  readonly aor: string;
  readonly transport: SipTransport;
  /** Of the connection, or of the port we listen on: requests inside the call come there. */
  readonly host: string;
  readonly port: number;
  readonly endpoint: VoiceEndpoint;
  readonly random: (size: number) => Buffer;
  /** Answers those who ask for a password; absent: nobody is told one. */
  readonly digest?: DigestClient;
}

/** Work on sealed bodies that a call asks for; each is answered by one `SealingResult`. */
export type SealingTask =
  | {
      readonly kind: "seal-offer";
      readonly sipfrag: readonly SignedHeader[];
      readonly sdp: Buffer;
      /** The certificate kept for this address of record is sealed to. */
      readonly callee: string;
    }
  | {
      readonly kind: "seal-answer";
      readonly sipfrag: readonly SignedHeader[];
      readonly sdp: Buffer;
      readonly firstKey: FirstKey;
    }
  | { readonly kind: "open-offer"; readonly body: Buffer; readonly contentType: string }
  | {
      readonly kind: "open-answer";
      /** Whom we called. */
      readonly callee: string;
      readonly body: Buffer;
      readonly contentType: string;
      readonly firstKey: FirstKey;
    };

export type SealingResult =
  | {
      readonly kind: "offer-sealed";
      readonly body: Buffer;
      readonly contentType: string;
      readonly firstKey: FirstKey;
    }
  | { readonly kind: "answer-sealed"; readonly body: Buffer; readonly contentType: string }
  | {
      readonly kind: "offer-opened";
      readonly verified: VerifiedEntity;
      readonly firstKey: FirstKey;
    }
  | { readonly kind: "answer-opened"; readonly verified: VerifiedEntity }
  | { readonly kind: "not-opened"; readonly stage: SealedStage; readonly code: ProtocolErrorCode };

export type CallInput =
  | SealingResult
  | { readonly kind: "response"; readonly key: string; readonly response: SipResponse }
  | { readonly kind: "request"; readonly key: string; readonly request: SipRequest }
  | { readonly kind: "ack"; readonly request: SipRequest }
  | { readonly kind: "cancelled"; readonly key: string }
  | { readonly kind: "transaction-failed"; readonly key: string }
  | { readonly kind: "flow-closed"; readonly flow: FlowId }
  | { readonly kind: "command"; readonly verb: CallVerb }
  | { readonly kind: "tick" };

export type CallEffect =
  | { readonly kind: "transaction"; readonly input: TransactionInput }
  | { readonly kind: "sealing"; readonly task: SealingTask }
  /** Our side of the media is fixed: take what comes to our ports. */
  | { readonly kind: "media-ready"; readonly local: LocalVoice }
  /** So is the other side's. */
  | { readonly kind: "media-expect"; readonly remote: RemoteVoice }
  | { readonly kind: "media-play" }
  /** Say goodbye in the media, and go on listening. */
  | { readonly kind: "media-leave" }
  | { readonly kind: "media-stop" }
  | { readonly kind: "event"; readonly event: CallEvent }
  /** Nothing more will come. */
  | { readonly kind: "over"; readonly outcome: CallOutcome };

/** `well`: it was up and ended as calls should; `refused`: it was never ours. */
export type CallOutcome = "well" | "failed" | "refused";

/** Where a request of ours goes: a connection that lives, or where to open one. */
export type NextHop = FlowId | Target;

export const effects = {
  event: (event: CallEvent): CallEffect => ({ kind: "event", event }),
  send: (input: TransactionInput): CallEffect => ({ kind: "transaction", input }),
  respond: (key: string, response: SipResponse): CallEffect => ({
    kind: "transaction",
    input: { kind: "respond", key, response },
  }),
  sealing: (task: SealingTask): CallEffect => ({ kind: "sealing", task }),
};
