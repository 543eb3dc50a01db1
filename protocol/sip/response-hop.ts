/**
 * The way a response goes back (RFC 3261 §18.2.2, RFC 3581 §4). Pure.
 *
 * `maddr` is not followed: it would let any sender of a datagram have its answer delivered to a
 * third party, and none of the transports here is multicast.
 */
import type { FlowId, Target } from "./flow.ts";
import { findParam } from "./grammar.ts";
import { DEFAULT_PORTS } from "./next-hop.ts";
import type { Arrival } from "./transaction-events.ts";
import type { Via } from "./via.ts";

/**
 * Where the response to a request goes: down its flow; over UDP to the port of sent-by instead,
 * unless the sender asked for `rport`. The address is always the one the request came from.
 */
export function responseHop({ port, params }: Via, { flow, peer }: Arrival): FlowId | Target {
  if (peer.transport !== "udp") return flow;
  const sentByPort = port ?? DEFAULT_PORTS.udp;
  if (sentByPort === peer.port || findParam(params, "rport") !== undefined) return flow;
  const { address, localAddress, localPort } = peer;
  return {
    ...{ transport: "udp", address, port: sentByPort },
    ...(localAddress === undefined ? {} : { localAddress }),
    ...(localPort === undefined ? {} : { localPort }),
  };
}

/**
 * Where it goes when the connection that the request came by is gone: to the address it came from
 * and the port of sent-by, over TLS to nobody but the host of sent-by (RFC 5922 §4).
 */
export function lostFlowHop({ host, port }: Via, { peer }: Arrival): Target {
  const { transport, address, localAddress } = peer;
  return {
    ...{ transport, address, port: port ?? DEFAULT_PORTS[transport] },
    ...(transport === "tls" ? { serverName: host } : {}),
    ...(localAddress === undefined ? {} : { localAddress }),
  };
}
