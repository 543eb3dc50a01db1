/**
 * A stateful proxy that record-routes, once as Kamailio and once as the controller, in the gateway's
 * host between alice and bob: whatever comes for bob's domain goes to bob's address. No media, no
 * users, no database. Starts processes.
 */
import { join } from "node:path";
import { KAMAILIO_IN_DIALOG, kamailioModules, launchKamailio } from "./kamailio.ts";
import type { LabProcess } from "./lab-process.ts";
import type { Network } from "./network.ts";
import { LEAVES } from "./topology.ts";

const SIP_PORT = 5060;
export const PLAIN_PROXY = { address: LEAVES.alice.router, port: SIP_PORT } as const;

/** One process reads UDP; two more stand by for TCP, as its configuration has it by default. */
export function startPlainKamailio(network: Network, directory: string): Promise<LabProcess> {
  return launchKamailio(network, "gateway", join(directory, "kamailio"), kamailioConfig());
}

function kamailioConfig(): string {
  const { address, port } = PLAIN_PROXY;
  return `#!KAMAILIO
debug=0
log_stderror=yes
fork=yes
children=1
tcp_children=1
listen=udp:${address}:${port}
listen=tcp:${address}:${port}
auto_aliases=no
dns=no
rev_dns=no
${kamailioModules()}

request_route {
  ${KAMAILIO_IN_DIALOG}
  if (is_method("INVITE")) record_route();
  $du = "sip:${LEAVES.bob.address}:${SIP_PORT};transport=" + $proto;
  if (!t_relay()) sl_reply_error();
}
`;
}
