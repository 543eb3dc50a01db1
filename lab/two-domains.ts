/**
 * Two domains with separate roots in the lab network: folders with keys from `keyhole ca init` and
 * files as operators would write them, two controllers, phones in alice's and bob's namespaces.
 * Needs root. Everything is gone after `close()` or the end of this process.
 */
import { createHash, randomBytes } from "node:crypto";
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
import { join } from "node:path";
import { stringify } from "smol-toml";
import {
  aorIn,
  DOMAINS,
  type DomainName,
  domainConfig,
  domainPhoneConfig,
  passwordOf,
} from "./domain-config.ts";
import { type JsonObject, LabProcess } from "./lab-process.ts";
import { createNetwork, type Network } from "./network.ts";
import { programArgv } from "./program-argv.ts";
import { COMPILE_CACHE, KEYHOLE, runKeyhole } from "./site.ts";
import { type Config, IDENTITIES } from "./site-config.ts";

export interface TwoDomains {
  readonly network: Network;
  readonly directory: string;
  /** What a domain's operator has: the authority's files, his controller's configuration. */
  folder(domain: DomainName): string;
  /** What a user's phone has. */
  phoneFolder(user: string): string;
  /** Starts a controller and returns when it serves; `more` replaces tables of its file. */
  startController(domain: DomainName, more?: Config): Promise<LabProcess>;
  /** Starts `keyhole device` in the user's namespace; `more` replaces tables of its file. */
  device(user: string, argv: readonly string[], more?: Config): LabProcess;
  close(): Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const NAMES = Object.keys(DOMAINS) as DomainName[];
const SHARED_KEY_BYTES = 32;

/** Whose user it is. */
export function domainOf(user: string): DomainName {
  const found = NAMES.find((name) => (DOMAINS[name].users as readonly string[]).includes(user));
  if (found === undefined) throw new RangeError("nobody's user");
  return found;
}

/** The folders and the network; no program runs yet. */
export function openTwoDomains(): TwoDomains {
  const directory = mkdtempSync(join(tmpdir(), `kh-${process.pid}-`));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  process.once("exit", remove);
  chmodSync(directory, 0o755);
  const network = createNetwork();
  const running: LabProcess[] = [];
  try {
    for (const name of NAMES) makeAuthority(join(directory, name), name);
    exchangeRoots(directory);
    for (const user of NAMES.flatMap((name) => DOMAINS[name].users)) equipUser(directory, user);
  } catch (error) {
    network.close();
    remove();
    throw error;
  }
  const keep = (made: LabProcess): LabProcess => {
    running.push(made);
    return made;
  };
  return {
    network,
    directory,
    folder: (domain) => join(directory, domain),
    phoneFolder: (user) => join(directory, user),
    startController: (domain, more) => startController({ network, directory, keep }, domain, more),
    device: (user, argv, more) => startDevice({ network, directory, keep }, user, argv, more),
    async close() {
      await Promise.all(running.map((each) => each.stop()));
      network.close();
      process.off("exit", remove);
      remove();
    },
  };
}

interface Place {
  readonly network: Network;
  readonly directory: string;
  readonly keep: (made: LabProcess) => LabProcess;
}

function makeAuthority(folder: string, name: DomainName): void {
  const { name: domain, controller, certified } = DOMAINS[name];
  const names = ["--domain", domain, "--controller", controller];
  const users = certified.flatMap((user) => ["--user", aorIn(name, user)]);
  runKeyhole(["ca", "init", "--out", folder, ...names, ...users]);
}

/** By a way that both operators trust. */
function exchangeRoots(directory: string): void {
  for (const own of NAMES)
    for (const other of NAMES.filter((name) => name !== own)) {
      const copy = join(directory, own, `${DOMAINS[other].name}-ca.pem`);
      copyFileSync(join(directory, other, "ca.pem"), copy);
    }
}

/** What an operator gives a user: a password, a shared key, two public certificates. */
function equipUser(directory: string, user: string): void {
  const domain = domainOf(user);
  const { name, controller } = DOMAINS[domain];
  const ha1 = createHash("sha256")
    .update(`${user}:${name}:${passwordOf(user)}`)
    .digest("hex");
  const sharedKey = randomBytes(SHARED_KEY_BYTES).toString("hex");
  const phone = join(directory, user);
  mkdirSync(phone);
  const write = (path: string, text: string): void =>
    writeFileSync(path, `${text}\n`, { mode: 0o600 });
  write(join(directory, domain, `${user}.ha1`), ha1);
  for (const folder of [join(directory, domain), phone])
    write(join(folder, `${user}.sharedkey`), sharedKey);
  write(join(phone, `${user}.password`), passwordOf(user));
  const isCertified = (DOMAINS[domain].certified as readonly string[]).includes(user);
  const own = isCertified ? [`${user}.pem`, `${user}.key`] : [];
  for (const file of ["ca.pem", `${controller}.pem`, ...own])
    copyFileSync(join(directory, domain, file), join(phone, file));
}

async function startController(
  { network, directory, keep }: Place,
  domain: DomainName,
  more: Config = {},
): Promise<LabProcess> {
  const folder = join(directory, domain);
  const file = join(folder, "controller.toml");
  writeFileSync(file, stringify(domainConfig(domain, more)));
  const { uid, gid } = IDENTITIES.controller;
  for (const path of [folder, ...readdirSync(folder).map((name) => join(folder, name))])
    chownSync(path, uid, gid);
  const child = network.spawn(DOMAINS[domain].host, programArgv(["controller", "--config", file]), {
    cwd: "/",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const controller = keep(new LabProcess(`controller of ${domain}`, child));
  await controller.event({ msg: "ready" }, READY_TIMEOUT_MS);
  return controller;
}

let written = 0;

function startDevice(
  { network, directory, keep }: Place,
  user: string,
  argv: readonly string[],
  more: Config = {},
): LabProcess {
  const domain = domainOf(user);
  const file = join(directory, user, `device-${++written}.toml`);
  writeFileSync(file, stringify(domainPhoneConfig(domain, user, more)));
  const child = network.spawn(
    domain === "atlanta" ? "alice" : "bob",
    [process.execPath, KEYHOLE, "device", ...argv, "--config", file, "--json"],
    { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...COMPILE_CACHE } },
  );
  return keep(new LabProcess(user, child));
}

/** Runs one `keyhole device` command to its end. */
export async function runDevice(
  domains: TwoDomains,
  user: string,
  argv: readonly string[],
  more?: Config,
): Promise<{ readonly code: number | null; readonly events: readonly JsonObject[]; tail: string }> {
  const device = domains.device(user, argv, more);
  const { code } = await device.exited;
  return { code, events: device.events({}), tail: device.tail(10) };
}

/** One whole name of a user, for commands. */
export const aorOf = (user: string): string => aorIn(domainOf(user), user);
