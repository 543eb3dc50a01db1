/**
 * Kamailio. In `biloxi` it is the second proxy, a program of other people's that is not trusted and
 * cannot read what it forwards: stateful relay over TCP with Record-Route. Starts one process tree.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LabProcess } from "./lab-process.ts";
import { untilListening } from "./listening.ts";
import type { Network } from "./network.ts";
import { PROMPT } from "./prompt.ts";
import { type HostName, LEAVES } from "./topology.ts";

/** The octets of one message that Kamailio reads from TCP; its own default cuts off sealed bodies. */
const TCP_READ_BUFFER_BYTES = 131_072;
const SIP_PORT = 5060;
const MODULE_DIRECTORIES = [
  "/usr/lib/x86_64-linux-gnu/kamailio/modules/",
  "/usr/lib/aarch64-linux-gnu/kamailio/modules/",
];
/** Shared by its processes, and of each for itself. */
const MEMORY_MB = ["-m", "64", "-M", "8"];

export interface KamailioOptions {
  /** An own folder for its configuration, pid file, control files and log. */
  readonly directory: string;
  /** Where requests to bob go; bob's own address if not stated. */
  readonly nextHop?: { readonly address: string; readonly port: number };
}

/** Starts Kamailio and returns when it accepts connections. @throws Error if it does not. */
export async function startKamailio(
  network: Network,
  { directory, nextHop }: KamailioOptions,
): Promise<LabProcess> {
  return launchKamailio(network, "biloxi", directory, kamailioConfig(nextHop));
}

/** As `startKamailio`, in any host and with any configuration that listens to this port. */
export async function launchKamailio(
  network: Network,
  host: HostName,
  directory: string,
  config: string,
  port = SIP_PORT,
): Promise<LabProcess> {
  mkdirSync(directory, { recursive: true });
  const configFile = join(directory, "kamailio.cfg");
  writeFileSync(configFile, config);
  const argv = [...PROMPT, "kamailio", "-f", configFile, "-DD", "-E", ...MEMORY_MB];
  const files = ["-P", join(directory, "kamailio.pid"), "-Y", directory];
  const child = network.spawn(host, [...argv, ...files], { stdio: ["ignore", "pipe", "pipe"] });
  const kamailio = new LabProcess("kamailio", child, join(directory, "kamailio.log"));
  await untilListening(network, host, kamailio, port);
  return kamailio;
}

/** The whole configuration as text. */
export function kamailioConfig(nextHop?: KamailioOptions["nextHop"]): string {
  const { address, port } = nextHop ?? { address: LEAVES.bob.address, port: SIP_PORT };
  return `#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
tcp_children=2
listen=tcp:${LEAVES.biloxi.address}:${SIP_PORT}
alias="biloxi.example.com"
auto_aliases=no
dns=no
rev_dns=no
tcp_rd_buf_size=${TCP_READ_BUFFER_BYTES}
tcp_wq_max=33554432
tcp_conn_wq_max=1048576
${kamailioModules()}

request_route {
  ${KAMAILIO_IN_DIALOG}
  if (is_method("INVITE")) record_route();
  $ru = "sip:bob@${LEAVES.bob.address}:${SIP_PORT};transport=tcp";
  $du = "sip:${address}:${port};transport=tcp";
  if (!t_relay()) sl_reply_error();
}
`;
}

/** The modules of a stateful proxy that record-routes, and any others by name. */
export function kamailioModules(more: readonly string[] = []): string {
  const names = ["pv", "tm", "sl", "rr", "maxfwd", "textops", "siputils", ...more];
  return `mpath="${MODULE_DIRECTORIES.find(existsSync) ?? ""}"
${names.map((name) => `loadmodule "${name}.so"`).join("\n")}
modparam("rr", "enable_full_lr", 1)
modparam("tm", "auto_inv_100", 1)`;
}

/** What every stateful proxy does first: a request that goes on here begins something. */
export const KAMAILIO_IN_DIALOG = `
  if (!mf_process_maxfwd_header("70")) {
    sl_send_reply("483", "Too Many Hops");
    exit;
  }
  if (has_totag()) {
    if (loose_route() || (is_method("ACK") && t_check_trans())) {
      t_relay();
      exit;
    }
    if (!is_method("ACK")) sl_send_reply("404", "Not Found");
    exit;
  }
  if (is_method("CANCEL")) {
    if (t_check_trans()) t_relay();
    exit;
  }
  t_check_trans();`;
