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
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "smol-toml";
import { isAlive } from "./process-alive.ts";
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
  readonly changeController?: (config: Config) => Config;
  /** More files beside the controller's configuration, by name. */
  readonly controllerFiles?: Readonly<Record<string, string>>;
}

/** A site's folder names the process that made it. */
const SITE = /^kh-(\d+)-\w{6}$/;
const KEY_FILES: Readonly<Record<GatewayProgram, readonly string[]>> = {
  controller: ["ss1.pem", "ss1.key", "ca.pem", "order.key", "recorder.pub"],
  agent: [],
  recorder: ["recorder.key", "order.pub", "archive.pub", "ledger.key"],
};
const PHONE_FILES: Readonly<Record<PhoneName, readonly string[]>> = {
  alice: ["alice.pem", "alice.key", "ca.pem", "ss1.pem", "bob.pem"],
  bob: ["bob.pem", "bob.key", "ca.pem", "alice.pem"],
};

/** Makes the folder; it is removed when this process ends, if not before. */
export function createSite(options: SiteOptions = {}): Site {
  const { logLevel = "info", agentDelayMs, changeController = (config) => config } = options;
  sweepSites();
  const directory = mkdtempSync(join(tmpdir(), `kh-${process.pid}-`));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  process.once("exit", remove);
  chmodSync(directory, 0o755);
  const [keys, logs] = [join(directory, "keys"), join(directory, "logs")];
  createKeys(keys);
  mkdirSync(logs);
  const paths = createSocketsAndStore(directory);
  const relaySocket = join(directory, "relay/agent.sock");
  const controllerAgentSocket = agentDelayMs === undefined ? paths.controlSocket : relaySocket;
  const configs: Readonly<Record<GatewayProgram, Config>> = {
    controller: changeController(controllerConfig(controllerAgentSocket, logLevel)),
    agent: agentConfig(paths, logLevel),
    recorder: recorderConfig(paths, logLevel),
  };
  const write = (program: GatewayProgram): string =>
    writeProgram(directory, program, configs[program]);
  writeOwned(join(directory, "controller"), options.controllerFiles ?? {}, IDENTITIES.controller);
  let phoneConfigs = 0;
  return {
    ...{ ...paths, controllerAgentSocket, directory, keys, logs, remove },
    configs: {
      controller: write("controller"),
      agent: write("agent"),
      recorder: write("recorder"),
    },
    phoneConfig(phone, sealing, change = (config) => config) {
      const config = change(phone === "alice" ? aliceConfig(sealing) : bobConfig(sealing));
      return writePhone(directory, phone, `${phone}-${++phoneConfigs}.toml`, config);
    },
  };
}

/** Removes what killed processes left. */
function sweepSites(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = SITE.exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner)))
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function createSocketsAndStore(directory: string): SitePaths {
  const { agent, recorder } = IDENTITIES;
  const folder = (name: string): string => join(directory, name);
  ownFolder(folder("control"), agent.uid, SOCKET_GROUPS.control, 0o2750);
  ownFolder(folder("ingest"), recorder.uid, SOCKET_GROUPS.ingest, 0o2750);
  ownFolder(folder("store"), recorder.uid, recorder.gid, 0o700);
  return {
    controlSocket: folder("control/agent.sock"),
    ingestSocket: folder("ingest/recorder.sock"),
    store: folder("store"),
  };
}

function writeProgram(directory: string, program: GatewayProgram, config: Config): string {
  const { uid, gid } = IDENTITIES[program];
  const folder = join(directory, program);
  ownFolder(folder, uid, gid, 0o700);
  for (const name of KEY_FILES[program]) copyOwned(join(directory, "keys", name), folder, uid, gid);
  return writeConfig(join(folder, `${program}.toml`), config);
}

function writePhone(directory: string, phone: PhoneName, file: string, config: Config): string {
  const folder = join(directory, phone);
  mkdirSync(folder, { recursive: true });
  for (const name of PHONE_FILES[phone])
    copyFileSync(join(directory, "keys", name), join(folder, name));
  return writeConfig(join(folder, file), config);
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

function writeOwned(
  folder: string,
  files: Readonly<Record<string, string>>,
  { uid, gid }: { readonly uid: number; readonly gid: number },
): void {
  ownFolder(folder, uid, gid, 0o700);
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), text, { mode: 0o400 });
    chownSync(join(folder, name), uid, gid);
  }
}

function copyOwned(file: string, folder: string, uid: number, gid: number): void {
  const copy = join(folder, basename(file));
  copyFileSync(file, copy);
  chownSync(copy, uid, gid);
  chmodSync(copy, 0o400);
}
