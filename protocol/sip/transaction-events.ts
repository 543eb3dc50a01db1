/**
 * What goes into the transaction layer and what comes out. Pure.
 */
import type { FlowId, Peer, Target } from "./flow.ts";
import type { SipMessage, SipRequest, SipResponse } from "./message.ts";
import type { Reason } from "./reason.ts";
import type { FailureReason } from "./transaction.ts";

/** By which connection, and from whom, a message came. */
export interface Arrival {
  readonly flow: FlowId;
  readonly peer: Peer;
}

export type TransactionInput =
  | ({ readonly kind: "received"; readonly message: SipMessage } & Arrival)
  /** Starts a client transaction, named by `clientKey`; the top Via must carry a fresh branch. */
  | {
      readonly kind: "request";
      readonly request: SipRequest;
      readonly to: FlowId | Target;
      /** For INVITE: cancel it when it rings longer than Timer C. */
      readonly timerC?: boolean;
    }
  /** `forget`: the transaction ends with this response, its ACK comes as one of nothing. */
  | {
      readonly kind: "respond";
      readonly key: string;
      readonly response: SipResponse;
      readonly forget?: boolean;
    }
  /** Cancels an INVITE of ours, for the reason given; waits for a provisional response by itself. */
  | { readonly kind: "cancel"; readonly key: string; readonly reason?: Reason }
  /** Sends outside any transaction: the ACK of a 2xx. */
  | { readonly kind: "send"; readonly message: SipMessage; readonly to: FlowId | Target }
  /** The transport says which flow a sent message took. */
  | { readonly kind: "sent"; readonly key: string; readonly flow: FlowId }
  | { readonly kind: "transport-failed"; readonly key: string }
  | { readonly kind: "flow-closed"; readonly flow: FlowId }
  /** Whether new requests outside any dialog get 503 from now on, whatever is still free. */
  | { readonly kind: "overload"; readonly isOn: boolean }
  | { readonly kind: "tick" };

export type TransactionEffect =
  /** `key`, where present, is to be named in `sent` and `transport-failed`. */
  | {
      readonly kind: "send";
      readonly message: SipMessage;
      readonly to: FlowId | Target;
      readonly key?: string;
    }
  | ({
      readonly kind: "deliver-request";
      readonly key: string;
      readonly request: SipRequest;
    } & Arrival)
  /** The ACK of a 2xx: no transaction, no answer. */
  | ({ readonly kind: "deliver-ack"; readonly request: SipRequest } & Arrival)
  /** A CANCEL, itself answered already, of the pending INVITE `key`: that wants its 487 now. */
  | ({
      readonly kind: "deliver-cancel";
      readonly key: string;
      readonly request: SipRequest;
    } & Arrival)
  | ({
      readonly kind: "deliver-response";
      readonly key: string;
      readonly response: SipResponse;
    } & Arrival)
  /** A client transaction ended without final response, or a server one can no longer answer. */
  | {
      readonly kind: "failed";
      readonly side: "client" | "server";
      readonly key: string;
      readonly reason: FailureReason;
    }
  | { readonly kind: "dropped"; readonly reason: DropReason };

/** Why a message went no further; for counters. */
export type DropReason = "malformed" | "stray-response" | "overload" | "merged";
