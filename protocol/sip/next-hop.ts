/**
 * Where a request goes next (RFC 3261 §8.1.2, §16.6 items 6-7; of RFC 3263 §4 what needs no
 * DNS). Pure.
 */
import { ProtocolError } from "../errors.ts";
import type { SipTransport, Target } from "./flow.ts";
import { firstValue, type SipRequest } from "./message.ts";
import { parseNameAddr } from "./name-addr.ts";
import { parseSipUri, type SipUri, uriParam } from "./uri.ts";

export const DEFAULT_PORTS: Readonly<Record<SipTransport, number>> = {
  udp: 5060,
  tcp: 5060,
  tls: 5061,
};

/**
 * The next hop of a request: its topmost Route, or its Request-URI.
 * @throws ProtocolError `ERR_SIP_SYNTAX` for what is no SIP URI, or names a transport that is none
 *   of ours.
 */
export function nextHop(request: Pick<SipRequest, "uri" | "headers">): Target {
  const route = firstValue(request, "Route");
  return uriTarget(route === undefined ? request.uri : parseNameAddr(route).uri);
}

/**
 * The target that a SIP URI names. `sips` means TLS; without `transport` it is UDP (RFC 3263
 * §4.1). `maddr` takes the place of the host (§19.1.1).
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export function uriTarget(text: string): Target {
  const uri = parseSipUri(text);
  const transport = transportOf(uri);
  const host = uriParam(uri, "maddr") ?? uri.host;
  const address = host.startsWith("[") ? host.replace(/^\[(.*)\]$/, "$1") : host;
  const target = { transport, address, port: uri.port ?? DEFAULT_PORTS[transport] };
  return transport === "tls" ? { ...target, serverName: uri.host } : target;
}

function transportOf(uri: SipUri): SipTransport {
  const named = uriParam(uri, "transport")?.toLowerCase();
  if (uri.scheme === "sips" && (named === undefined || named === "tcp" || named === "tls"))
    return "tls";
  if (uri.scheme === "sip" && (named === undefined || named === "udp")) return "udp";
  if (named === "tcp" || named === "tls") return named;
  throw new ProtocolError("ERR_SIP_SYNTAX", "transport of a SIP URI");
}
