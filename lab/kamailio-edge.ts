/**
 * Kamailio in `biloxi` as somebody's edge proxy before the gateway: phones register and call by way of
 * it, and it stays on the way of what comes for them (RFC 3327 Path). It vouches for the phones, which
 * do not say that they know Path. Starts one process tree.
 */
import { KAMAILIO_IN_DIALOG, kamailioModules, launchKamailio } from "./kamailio.ts";
import type { LabProcess } from "./lab-process.ts";
import type { Network } from "./network.ts";
import { LEAVES } from "./topology.ts";

export const EDGE = { address: LEAVES.biloxi.address, port: 5070 } as const;
const GATEWAY_PORT = 5060;

/** Listens over UDP and sends on over UDP. */
export function startEdgeKamailio(network: Network, directory: string): Promise<LabProcess> {
  return launchKamailio(network, "biloxi", directory, edgeConfig(), EDGE.port);
}

/** What is for a phone comes with a Route that Path had laid; everything else is from one. */
function edgeConfig(): string {
  return `#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
disable_tcp=yes
listen=udp:${EDGE.address}:${EDGE.port}
auto_aliases=no
dns=no
rev_dns=no
${kamailioModules(["path"])}

request_route {
  ${KAMAILIO_IN_DIALOG}
  if (is_method("REGISTER")) {
    add_path();
    append_hf("Supported: path\r\n");
  } else record_route();
  loose_route();
  if ($si != "${LEAVES.biloxi.router}") $du = "sip:${LEAVES.biloxi.router}:${GATEWAY_PORT}";
  if (!t_relay()) sl_reply_error();
}
`;
}
