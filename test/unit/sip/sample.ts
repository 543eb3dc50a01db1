/** Messages for the tests of this folder. */
import { createResponse } from "../../../protocol/sip/create-response.ts";
import type {
  HeaderRow,
  SipMessage,
  SipRequest,
  SipResponse,
} from "../../../protocol/sip/message.ts";

export const rows = (...lines: string[]): HeaderRow[] =>
  lines.map((line) => {
    const colon = line.indexOf(":");
    return { name: line.slice(0, colon), value: line.slice(colon + 1).trim() };
  });

export function sampleRequest(method: string, overrides: Partial<SipRequest> = {}): SipRequest {
  return {
    kind: "request",
    method,
    uri: "sip:bob@biloxi.example.com",
    headers: rows(
      "Via: SIP/2.0/TLS client.atlanta.example.com:5061;branch=z9hG4bK74bf9",
      "Max-Forwards: 70",
      "From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl",
      "To: Bob <sip:bob@biloxi.example.com>",
      "Call-ID: 3848276298220188511@atlanta.example.com",
      `CSeq: 1 ${method}`,
      "Contact: <sip:alice@client.atlanta.example.com:5061;transport=tls>",
    ),
    body: Buffer.alloc(0),
    ...overrides,
  };
}

/** A response to a request, as its next hop would make it. */
export const reply = (request: SipRequest, status: number): SipResponse =>
  createResponse(request, status, { toTag: "b0b" });

interface Effect {
  readonly kind: string;
  readonly message?: SipMessage;
  readonly response?: SipResponse;
  readonly reason?: string;
}

/** Effects in one word each: `send INVITE`, `send 200`, `deliver 180`, `failed timeout`, `ended`. */
export const words = (effects: readonly Effect[]): string[] =>
  effects.map(({ kind, message, response, reason }) => {
    const carried = message ?? response;
    const what = carried?.kind === "response" ? carried.status : (carried?.method ?? reason);
    return what === undefined ? kind : `${kind} ${what}`;
  });
