/**
 * What the four transaction machines of RFC 3261 §17 share: timers, inputs, effects and the
 * requests that travel one hop only. Pure.
 */
import type { Millis } from "../machine.ts";
import { messageCSeq } from "./cseq.ts";
import {
  firstValue,
  type HeaderRow,
  headerRows,
  NO_BODY,
  type SipRequest,
  type SipResponse,
} from "./message.ts";
import { type Reason, serializeReason } from "./reason.ts";

/** RFC 3261 table 4, and what RFC 3261 §16.6 and §17.2.1 add. */
export interface SipTimers {
  readonly t1Ms: number;
  readonly t2Ms: number;
  readonly t4Ms: number;
  /** How long a proxy lets an INVITE ring: more than three minutes (§16.6 item 11). */
  readonly timerCMs: number;
  /** How long an INVITE waits for its user before 100 is sent for him (§17.2.1). */
  readonly tryingMs: number;
}

export const DEFAULT_SIP_TIMERS: SipTimers = {
  t1Ms: 500,
  t2Ms: 4_000,
  t4Ms: 5_000,
  timerCMs: 200_000,
  tryingMs: 200,
};

export interface TransactionSetting {
  readonly timers: SipTimers;
  /** TCP and TLS: nothing is retransmitted, and nobody waits for retransmissions. */
  readonly reliable: boolean;
}

/** Timers B, F, H, J, L, M: how long anything is waited for. */
export const waitMs = ({ t1Ms }: SipTimers): number => 64 * t1Ms;

export type FailureReason = "timeout" | "transport";

export type ClientInput =
  | { readonly kind: "start" }
  | { readonly kind: "response"; readonly response: SipResponse }
  | { readonly kind: "tick" }
  | { readonly kind: "transport-failed" };

export type ClientEffect =
  | { readonly kind: "send"; readonly message: SipRequest }
  | { readonly kind: "deliver"; readonly response: SipResponse }
  | { readonly kind: "failed"; readonly reason: FailureReason }
  | { readonly kind: "ended" };

export type ServerInput =
  /** The request itself again, or the ACK of an INVITE. */
  | { readonly kind: "request"; readonly request: SipRequest }
  | { readonly kind: "respond"; readonly response: SipResponse }
  | { readonly kind: "tick" }
  | { readonly kind: "transport-failed" };

export type ServerEffect =
  | { readonly kind: "send"; readonly message: SipResponse }
  /** An ACK that belongs to a 2xx and so to the user, not to the transaction. */
  | { readonly kind: "deliver-ack"; readonly request: SipRequest }
  | { readonly kind: "failed"; readonly reason: FailureReason }
  | { readonly kind: "ended" };

/** The earlier of two moments, each of which may not be set. */
export function earliest(one: Millis | undefined, other: Millis | undefined): Millis | undefined {
  if (one === undefined) return other;
  return other === undefined || one < other ? one : other;
}

export const isDue = (moment: Millis | undefined, now: Millis): boolean =>
  moment !== undefined && moment <= now;

export const isFinal = ({ status }: SipResponse): boolean => status >= 200;
export const isSuccess = ({ status }: SipResponse): boolean => status >= 200 && status < 300;

/** The ACK of a final response that is no 2xx: same hop, same branch (§17.1.1.3). */
export const hopAck = (invite: SipRequest, response: SipResponse): SipRequest =>
  hopRequest("ACK", invite, headerRows(response, "To"));

/** The CANCEL of a request sent by the same hop (§9.1). */
export function hopCancel(request: SipRequest, reason?: Reason): SipRequest {
  const cancel = hopRequest("CANCEL", request, headerRows(request, "To"));
  if (reason === undefined) return cancel;
  const why = { name: "Reason", value: serializeReason(reason) };
  return { ...cancel, headers: [...cancel.headers, why] };
}

function hopRequest(method: string, request: SipRequest, to: readonly HeaderRow[]): SipRequest {
  const { number } = messageCSeq(request);
  return {
    kind: "request",
    method,
    uri: request.uri,
    headers: [
      { name: "Via", value: firstValue(request, "Via") ?? "" },
      { name: "Max-Forwards", value: "70" },
      ...headerRows(request, "Route"),
      ...headerRows(request, "From"),
      ...to,
      ...headerRows(request, "Call-ID"),
      { name: "CSeq", value: `${number} ${method}` },
    ],
    body: NO_BODY,
  };
}
