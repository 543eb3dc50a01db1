/**
 * A message of one dialog that may bring an offer or an answer, and how it goes on. Pure.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { SipMessage, SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { headerValue, headerValues } from "../../protocol/sip/message.ts";
import type { LegEffect } from "./call-port.ts";
import { otherSide, type Side } from "./party.ts";
import type { Refusal } from "./verdict.ts";

/** Names the INVITE that began the call, beside the core's names for requests within dialogs. */
export const INITIAL = "";

/** `by` is who sent it. */
export type Carrier =
  /** To the INVITE that began the call. */
  | { readonly kind: "response"; readonly by: "callee"; readonly message: SipResponse }
  | {
      readonly kind: "request";
      readonly by: Side;
      readonly ref: string;
      readonly message: SipRequest;
    }
  | {
      readonly kind: "request-response";
      readonly by: Side;
      readonly ref: string;
      readonly message: SipResponse;
    }
  /** It has gone on already. */
  | { readonly kind: "ack"; readonly by: Side; readonly message: SipRequest };

/** What a dialog is told of a message. */
export type MessageInput =
  /** To the INVITE that began the call. */
  | { readonly kind: "response"; readonly response: SipResponse }
  | {
      readonly kind: "request";
      readonly ref: string;
      readonly side: Side;
      readonly request: SipRequest;
    }
  | { readonly kind: "request-response"; readonly ref: string; readonly response: SipResponse }
  /** It has gone on already. */
  | { readonly kind: "acknowledged"; readonly side: Side; readonly ack: SipRequest };

/** @param requests Who sent the request of a name, as far as it is known. */
export function carrierOf(
  input: MessageInput,
  requests: { senderOf(ref: string): Side | undefined },
): Carrier {
  switch (input.kind) {
    case "response":
      return { kind: "response", by: "callee", message: input.response };
    case "request":
      return { kind: "request", by: input.side, ref: input.ref, message: input.request };
    case "request-response": {
      const by = otherSide(requests.senderOf(input.ref) ?? "caller");
      return { kind: "request-response", by, ref: input.ref, message: input.response };
    }
    case "acknowledged":
      return { kind: "ack", by: input.side, message: input.ack };
    default:
      return assertNever(input);
  }
}

/** What lets it go on. */
export function forwardOf(carrier: Carrier): readonly LegEffect[] {
  switch (carrier.kind) {
    case "response":
      return [{ kind: "forward-response", response: carrier.message }];
    case "request":
      return [{ kind: "forward-request", ref: carrier.ref }];
    case "request-response": {
      const { ref, message: response } = carrier;
      return [{ kind: "forward-request-response", ref, response }];
    }
    case "ack":
      return [];
  }
}

export const refuse = (ref: string, refusal: Refusal): LegEffect => ({
  kind: "refuse-request",
  ref,
  refusal,
});

/** The transaction that it is of. */
export const viaOf = (carrier: Carrier): string =>
  carrier.kind === "request" || carrier.kind === "request-response" ? carrier.ref : INITIAL;

/** The status of a response, 0 of a request. */
export const statusOf = ({ message }: Carrier): number =>
  message.kind === "response" ? message.status : 0;

/** A response that settles what it says: final, or provisional and reliable (RFC 3262 §3). */
export function isBinding(response: SipMessage): boolean {
  if (response.kind !== "response") return true;
  if (response.status >= 200) return true;
  return (
    headerValue(response, "RSeq") !== undefined &&
    headerValues(response, "Require").some((tag) => tag.toLowerCase() === "100rel")
  );
}

/** The same final response again, or one reliable provisional response again. */
export function isRepeated(one: Carrier, other: Carrier): boolean {
  if (one.kind !== other.kind || viaOf(one) !== viaOf(other)) return false;
  return statusOf(one) >= 200 && statusOf(one) === statusOf(other);
}
