/** What becomes of a datagram: the pure machines that a proxy is made of, one after the other. */
import { Registrar } from "../../../controller/core/registrar.ts";
import { Secret } from "../../../protocol/secret.ts";
import { messageFault } from "../../../protocol/sip/check-message.ts";
import { messageCSeq } from "../../../protocol/sip/cseq.ts";
import { readDatagram } from "../../../protocol/sip/datagram.ts";
import { DigestServer } from "../../../protocol/sip/digest-server.ts";
import { isLoop } from "../../../protocol/sip/loop.ts";
import {
  firstValue,
  headerRows,
  type SipMessage,
  type SipRequest,
  type SipResponse,
} from "../../../protocol/sip/message.ts";
import { removeOwnRoute, validateRequest } from "../../../protocol/sip/proxy.ts";
import { DEFAULT_SIP_TIMERS } from "../../../protocol/sip/transaction.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import { clientKey } from "../../../protocol/sip/transaction-key.ts";
import { TransactionLayer } from "../../../protocol/sip/transaction-layer.ts";

export type Fate =
  /** A request that goes on to its target, a response to whoever waits for it. */
  | { readonly kind: "forwarded"; readonly message: SipMessage }
  | {
      readonly kind: "answered";
      readonly by: "parser" | "transaction layer" | "proxy" | "registrar";
      readonly status: number;
      readonly headers?: readonly (readonly [name: string, value: string])[];
      /** Where it could be read at all. */
      readonly message?: SipMessage;
    }
  /** Nobody is told. */
  | { readonly kind: "discarded" };

const ARRIVAL: Arrival = {
  flow: "udp/test",
  peer: { transport: "udp", address: "192.0.2.250", port: 5060, identities: [] },
};
const T0 = 1_750_000_000_000;
const OWN_HOST = "proxy.example.com";

/**
 * The fate of a datagram at a registrar and proxy of every domain that it names. A response finds
 * its request waiting if `asked`.
 */
export function fateOf(octets: Uint8Array, asked = false): Fate {
  const item = readDatagram(octets);
  if (item.kind === "keepalive") return { kind: "discarded" };
  if (item.kind === "malformed")
    return item.answer === undefined
      ? { kind: "discarded" }
      : { kind: "answered", by: "parser", status: item.answer.status };
  const layer = new TransactionLayer({
    timers: DEFAULT_SIP_TIMERS,
    random: (size) => Buffer.alloc(size),
  });
  const question = item.kind === "response" && asked ? questionOf(item) : undefined;
  if (question !== undefined)
    layer.handle({ kind: "request", request: question, to: "udp/test" }, T0);
  for (const effect of layer.handle({ kind: "received", message: item, ...ARRIVAL }, T0))
    if (effect.kind === "deliver-response") return { kind: "forwarded", message: effect.response };
    else if (effect.kind === "deliver-request") return atProxy(effect.request);
    else if (effect.kind === "send" && effect.message.kind === "response")
      return {
        kind: "answered",
        by: "transaction layer",
        status: effect.message.status,
        message: item,
      };
  return { kind: "discarded" };
}

function atProxy(received: SipRequest): Fate {
  const looped = isLoop(received, ({ host }) => host === OWN_HOST);
  const refusal = validateRequest(received, { optionTags: [], looped });
  if (refusal !== undefined)
    return { kind: "answered", by: "proxy", message: received, ...refusal };
  const { request } = removeOwnRoute(received, ({ host }) => host === OWN_HOST);
  if (request.method !== "REGISTER") return { kind: "forwarded", message: request };
  if (headerRows(request, "Authorization").length > 0 && !isAuthenticated(request))
    return { kind: "answered", by: "registrar", message: request, ...challenge() };
  const registrar = new Registrar({ isUser: () => true, isOwn: () => false });
  const registration = { by: "sip:anybody", mayRegister: () => true, ...ARRIVAL };
  const { response } = registrar.handle(request, registration, T0);
  return { kind: "answered", by: "registrar", message: request, ...response };
}

const digest = new DigestServer({
  realm: "example.com",
  nonceKey: new Secret(Buffer.alloc(32)),
  random: (size) => Buffer.alloc(size),
  qops: ["auth"],
});

/** Who shows credentials has them checked; who shows none is known otherwise in these tests. */
const isAuthenticated = (request: SipRequest): boolean =>
  digest.check(request, "Authorization", () => undefined, T0).kind === "authenticated";

const challenge = () => ({
  status: 401,
  headers: [["WWW-Authenticate", digest.challenges(T0)[0] ?? ""] as const],
});

/** The request that a response answers, so far as its transaction goes; undefined if that is unclear. */
function questionOf(response: SipResponse): SipRequest | undefined {
  if (messageFault(response) !== undefined || clientKey(response) === undefined) return undefined;
  const { method } = messageCSeq(response);
  if (method === "ACK" || method === "CANCEL") return undefined;
  const headers = [
    { name: "Via", value: firstValue(response, "Via") ?? "" },
    { name: "CSeq", value: `1 ${method}` },
  ];
  return { kind: "request", method, uri: "sip:user@example.com", headers, body: Buffer.alloc(0) };
}
