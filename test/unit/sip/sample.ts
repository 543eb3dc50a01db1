/** Messages for the tests of this folder. */
import type { HeaderRow, SipRequest } from "../../../protocol/sip/message.ts";

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
