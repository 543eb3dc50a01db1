/**
 * What a call hears and what it asks for. The core names each request of a dialog by a `ref` of its
 * own choice; the call names what it wants inspected. Pure.
 *
 * ```text
 *   request ──▶ forward-request | refuse-request         (an offer waits for its holes)
 *   request-response ──▶ forward-request-response        (an answer never waits beyond its time)
 *   acknowledged ──▶ nothing that holds the ACK up
 * ```
 */
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { Pinhole } from "../../protocol/control/messages.ts";
import type { ProtocolErrorCode } from "../../protocol/errors.ts";
import type { SipMessage, SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import type { SignedHeader } from "../../protocol/sip/signed-headers.ts";
import type { PutResult } from "./agent-client-port.ts";
import type { CallSnapshot } from "./call-snapshot.ts";
import type { MediaPolicy } from "./media-policy.ts";
import type { Party, Side } from "./party.ts";
import type { DraftStream } from "./recording-order.ts";
import type { SeenBodies } from "./seen-bodies.ts";
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
  /** No hole opens unless the recorder took the order. */
  readonly required: boolean;
  /** Nobody waits for it: it narrows what is open, and is to be done as soon as it can be. */
  readonly background: boolean;
}

/** What everything that passes in a call is judged by. */
export interface CallRules {
  /** Absent: there is no gateway, and nothing is opened. */
  readonly policy?: MediaPolicy;
  readonly parties: Readonly<Record<Side, Party>>;
  readonly seen: SeenBodies;
  readonly applyTimeoutMs: number;
  /** By configuration, or because one of the parties must be recorded; of an emergency call it binds nobody. */
  readonly mustRecord: boolean;
  /** Nothing of gateway, recorder or sealing refuses it. */
  readonly emergency: boolean;
  readonly nameSession: () => SessionName;
}

export interface CallSetting extends CallRules {
  /** Without our own Route. */
  readonly invite: SipRequest;
  /** Whether an inspection label names us, so that a body we are no recipient of is refused. */
  readonly labelled: boolean;
  /** The recording of the call that this one replaces (RFC 3891), or was referred by. */
  readonly linked?: string;
}

/** An opened body whose signature verified. */
export interface OpenedBody {
  /** URIs that the signer's certificate speaks for. */
  readonly signer: readonly string[];
  readonly sipfrag: readonly SignedHeader[];
  readonly sdp: Buffer;
}

export type Inspection =
  /** `firstKey` comes with what was opened by our own recipient entry. */
  | { readonly kind: "opened"; readonly body: OpenedBody; readonly firstKey?: FirstKey }
  | { readonly kind: "failed"; readonly code: ProtocolErrorCode };

export type CallInput =
  | { readonly kind: "start" }
  | { readonly kind: "inspected"; readonly ref: string; readonly inspection: Inspection }
  | {
      readonly kind: "put-result";
      readonly session: string;
      readonly revision: number;
      readonly result: PutResult;
    }
  /** To the INVITE: every 1xx but 100, every 2xx, the best final one, those of our own included. */
  | { readonly kind: "response"; readonly response: SipResponse }
  | { readonly kind: "cancel" }
  /** The ACK of a 2xx to an INVITE or re-INVITE. It has gone on already. */
  | {
      readonly kind: "acknowledged";
      readonly tag: string;
      readonly side: Side;
      readonly ack: SipRequest;
    }
  /** Any request of a dialog but CANCEL and the ACK above. `tag` is the callee's. */
  | {
      readonly kind: "request";
      readonly ref: string;
      readonly tag: string;
      readonly side: Side;
      readonly request: SipRequest;
    }
  /** What came back for it; a final one always comes. */
  | {
      readonly kind: "request-response";
      readonly ref: string;
      readonly tag: string;
      readonly response: SipResponse;
    }
  /** A CANCEL of a re-INVITE; nothing comes of it if that has gone on. */
  | { readonly kind: "request-cancelled"; readonly ref: string; readonly tag: string }
  /** Session timer, an early dialog whose branch failed, and whatever else the core knows. */
  | { readonly kind: "dialog-ended"; readonly tag: string; readonly reason: string }
  | { readonly kind: "session-lost"; readonly session: string }
  | { readonly kind: "recording-refused"; readonly session: string }
  | { readonly kind: "tick" };

/** What somebody should read: no key, no SDP, no identity. */
export interface Report {
  readonly kind: "report";
  readonly level: "info" | "warn" | "error";
  readonly event:
    | "call-opened"
    | "call-plain"
    | "call-linked"
    | "call-refused"
    | "answer-applied"
    | "answer-shut"
    | "offer-applied"
    | "offer-refused"
    | "offer-unopened"
    | "call-confirmed"
    | "session-lost"
    | "not-recorded"
    | "call-ended";
  readonly verdict?: Verdict;
  readonly session?: string;
  /** How it came about, in a word. */
  readonly reason?: string;
}

/** What one dialog may ask for. */
export type LegEffect =
  /** `ref` comes back with the result. With `firstKey` the body may also be under that key. */
  | {
      readonly kind: "inspect";
      readonly ref: string;
      readonly message: SipMessage;
      readonly firstKey?: FirstKey;
    }
  /** To be sealed before the next effect: the keys in it may be wiped soon after. */
  | { readonly kind: "put"; readonly put: SessionRequest }
  | { readonly kind: "close"; readonly session: string; readonly reason: string }
  | { readonly kind: "forward-response"; readonly response: SipResponse }
  | { readonly kind: "forward-request"; readonly ref: string }
  | { readonly kind: "refuse-request"; readonly ref: string; readonly refusal: Refusal }
  | {
      readonly kind: "forward-request-response";
      readonly ref: string;
      readonly response: SipResponse;
    }
  | Report;

export type CallEffect =
  | LegEffect
  | { readonly kind: "forward-invite" }
  | { readonly kind: "cancel-invite" }
  /** Of the INVITE. */
  | { readonly kind: "refuse"; readonly refusal: Refusal }
  /** To be kept until the next one, or until the call is over (`isOver`): no key is in it. */
  | { readonly kind: "save"; readonly snapshot: CallSnapshot };
