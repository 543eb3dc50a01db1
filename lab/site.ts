/**
 * A place for one run of the lab: certificates and keys from `keyhole ca init`, a folder for each
 * program with its own and no other's keys, socket folders with the modes of the systemd units.
 * Touches one new folder. Paths stay short: a Unix socket's is cut at 107 octets.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "smol-toml";
import {
  AORS,
  agentConfig,
  aliceConfig,
  bobConfig,
  CONTROLLER_NAME,
  type Config,
  controllerConfig,
  IDENTITIES,
  type PhoneSealing,
  recorderConfig,
  type SitePaths,
  SOCKET_GROUPS,
} from "./site-config.ts";
import { LEAVES } from "./topology.ts";

export const REPOSITORY = dirname(dirname(fileURLToPath(import.meta.url)));
export const KEYHOLE = join(REPOSITORY, "bin/keyhole.ts");

/**
 * For programs that stay root: they start in half the time from compiled code. Not for those that
 * become another user, since what one of them writes no other may run.
 */
export const COMPILE_CACHE = {
  NODE_COMPILE_CACHE: join(REPOSITORY, "node_modules/.cache/keyhole-lab"),
} as const;

export type GatewayProgram = keyof typeof IDENTITIES;
export type PhoneName = keyof typeof AORS;

export interface Site extends SitePaths {
  readonly directory: string;
  /** Where the controller looks for the agent. */
  readonly controllerAgentSocket: string;
  /** Everything `ca init` made, the archive's and the ledger's keys among it. */
  readonly keys: string;
  readonly logs: string;
  readonly configs: Readonly<Record<GatewayProgram, string>>;
  /** Writes a phone's configuration and returns its file. */
  phoneConfig(phone: PhoneName, sealing: PhoneSealing, change?: (config: Config) => Config): string;
  remove(): void;
}

export interface SiteOptions {
  readonly logLevel?: "info" | "debug";
  /** Given, the controller finds a relay's socket in place of the agent's. */
  readonly agentDelayMs?: number;
}

const KEY_FILES: Readonly<Record<GatewayProgram, readonly string[]>> = {
  controller: ["ss1.pem", "ss1.key", "ca.pem", "order.key", "recorder.pub"],
  agent: [],
  recorder: ["recorder.key", "order.pub", "archive.pub", "ledger.key"],
};
const PHONE_FILES: Readonly<Record<PhoneName, readonly string[]>> = {
  alice: ["alice.pem", "alice.key", "ca.pem", "ss1.pem", "bob.pem"],
  bob: ["bob.pem", "bob.key", "ca.pem", "alice.pem"],
};

export function createSite({ logLevel = "info", agentDelayMs }: SiteOptions = {}): Site {
  const directory = mkdtempSync(join(tmpdir(), "kh-"));
  chmodSync(directory, 0o755);
  const paths = {
    controlSocket: join(directory, "control/agent.sock"),
    ingestSocket: join(directory, "ingest/recorder.sock"),
    store: join(directory, "store"),
  };
  const [keys, logs] = [join(directory, "keys"), join(directory, "logs")];
  createKeys(keys);
  mkdirSync(logs);
  ownFolder(join(directory, "control"), IDENTITIES.agent.uid, SOCKET_GROUPS.control, 0o2750);
  ownFolder(join(directory, "ingest"), IDENTITIES.recorder.uid, SOCKET_GROUPS.ingest, 0o2750);
  ownFolder(paths.store, IDENTITIES.recorder.uid, IDENTITIES.recorder.gid, 0o700);

  const writeProgram = (program: GatewayProgram, config: Config): string => {
    const { uid, gid } = IDENTITIES[program];
    const folder = join(directory, program);
    ownFolder(folder, uid, gid, 0o700);
    for (const name of KEY_FILES[program]) copyOwned(join(keys, name), folder, uid, gid);
    return writeConfig(join(folder, `${program}.toml`), config);
  };
  const controllerAgentSocket =
    agentDelayMs === undefined ? paths.controlSocket : join(directory, "relay/agent.sock");
  let phoneConfigs = 0;
  return {
    ...paths,
    controllerAgentSocket,
    directory,
    keys,
    logs,
    configs: {
      controller: writeProgram("controller", controllerConfig(controllerAgentSocket, logLevel)),
      agent: writeProgram("agent", agentConfig(paths, logLevel)),
      recorder: writeProgram("recorder", recorderConfig(paths, logLevel)),
    },
    phoneConfig(phone, sealing, change = (config) => config) {
      const folder = join(directory, phone);
      mkdirSync(folder, { recursive: true });
      for (const name of PHONE_FILES[phone]) copyFileSync(join(keys, name), join(folder, name));
      const config = phone === "alice" ? aliceConfig(sealing) : bobConfig(sealing);
      return writeConfig(join(folder, `${phone}-${++phoneConfigs}.toml`), change(config));
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** Runs `keyhole ca init` for the demo's domain, or for a stranger's with the same names. */
export function createKeys(out: string): void {
  const argv = ["ca", "init", "--out", out, "--domain", "atlanta.example.com"];
  const controller = ["--controller", CONTROLLER_NAME, "--address", LEAVES.alice.router];
  const users = Object.values(AORS).flatMap((aor) => ["--user", aor]);
  runKeyhole([...argv, ...controller, ...users]);
  for (const end of ["pem", "key"])
    copyFileSync(join(out, `${CONTROLLER_NAME}.${end}`), join(out, `ss1.${end}`));
}

/** Runs one `keyhole` command to its end and returns what it printed. @throws Error if it failed. */
export function runKeyhole(argv: readonly string[]): string {
  const env = { ...process.env, ...COMPILE_CACHE };
  const done = spawnSync(process.execPath, [KEYHOLE, ...argv], { encoding: "utf8", env });
  if (done.status === 0) return done.stdout;
  throw new Error(`keyhole ${argv.slice(0, 2).join(" ")} failed: ${done.stderr.trim()}`);
}

function writeConfig(file: string, config: Config): string {
  writeFileSync(file, stringify(config), { mode: 0o644 });
  return file;
}

function ownFolder(path: string, uid: number, gid: number, mode: number): void {
  mkdirSync(path, { recursive: true });
  chownSync(path, uid, gid);
  chmodSync(path, mode);
}

function copyOwned(file: string, folder: string, uid: number, gid: number): void {
  const copy = join(folder, basename(file));
  copyFileSync(file, copy);
  chownSync(copy, uid, gid);
  chmodSync(copy, 0o400);
}
