/**
 * A stateful proxy that record-routes, once as Kamailio and once as the controller, in the gateway's
 * host between alice and bob: whatever comes for bob's domain goes to bob's address. No media, no
 * users, no database. Starts processes.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { KAMAILIO_IN_DIALOG, kamailioModules, launchKamailio } from "./kamailio.ts";
import { LabProcess } from "./lab-process.ts";
import { untilListening } from "./listening.ts";
import type { Network } from "./network.ts";
import { programArgv } from "./program-argv.ts";
import { PROMPT } from "./prompt.ts";
import { IDENTITIES } from "./site-config.ts";
import { LEAVES } from "./topology.ts";

const SIP_PORT = 5060;
/** Where each is; they can run side by side. */
export const PLAIN_PROXIES = {
  kamailio: { address: LEAVES.alice.router, port: SIP_PORT },
  keyhole: { address: LEAVES.alice.router, port: 5070 },
} as const;

/**
 * The controller between two trunks, alice's and bob's, over one transport. `directory` must be one
 * that every user may enter.
 */
export async function startPlainController(
  network: Network,
  directory: string,
  transport: "udp" | "tcp",
): Promise<LabProcess> {
  const folder = join(directory, `controller-${transport}`);
  mkdirSync(folder, { recursive: true });
  chmodSync(directory, 0o755);
  const configFile = join(folder, "controller.toml");
  writeFileSync(configFile, stringify(controllerConfig(transport)));
  const argv = [...PROMPT, ...programArgv(["controller", "--config", configFile])];
  const child = network.spawn("gateway", argv, { cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  const controller = new LabProcess("controller", child, join(folder, "controller.log"));
  await untilListening(network, "gateway", controller, PLAIN_PROXIES.keyhole.port);
  return controller;
}

function controllerConfig(transport: "udp" | "tcp"): object {
  const trunk = (domain: string, address: string, to: string): object => ({
    ...{ domain, transport, address, port: SIP_PORT, to: [to] },
  });
  const [atlanta, biloxi] = ["atlanta.example.com", "biloxi.example.com"];
  return {
    name: "proxy.example.com",
    domains: ["example.com"],
    process: IDENTITIES.controller,
    log: { level: "warn" },
    listen: [{ transport, ...PLAIN_PROXIES.keyhole }],
    route: [
      trunk(atlanta, LEAVES.alice.address, biloxi),
      trunk(biloxi, LEAVES.bob.address, atlanta),
    ],
  };
}

/** One process reads UDP; two more stand by for TCP, as its configuration has it by default. */
export function startPlainKamailio(network: Network, directory: string): Promise<LabProcess> {
  return launchKamailio(network, "gateway", join(directory, "kamailio"), kamailioConfig());
}

function kamailioConfig(): string {
  const { address, port } = PLAIN_PROXIES.kamailio;
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
