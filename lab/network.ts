/**
 * Four network namespaces joined by veth pairs, and the processes that live in them.
 * Touches the kernel's namespaces; needs root. Everything it made is gone after `close()`, after any
 * exit of this process, and, should it be killed outright, at the next `createNetwork()` of another.
 */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { isAlive } from "./process-alive.ts";
import { HOSTS, type HostName, LEAVES, type LeafName, PREFIX_LENGTH } from "./topology.ts";

/** Marks every process of a network with the pid of its maker, for the sweep. */
const OWNER_VARIABLE = "KEYHOLE_LAB";
const NAMESPACE = /^kh-(\d+)-[a-z]+$/;
const NETNS_DIRECTORY = "/run/netns";
const LEAF_NAMES = Object.keys(LEAVES) as LeafName[];
const SIGNAL_EXIT_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

export interface Network {
  /** The kernel's name of a host's namespace. */
  namespace(host: HostName): string;
  /** Starts a program inside a host; it is killed when the network closes. Its pid is the program's. */
  spawn(host: HostName, argv: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Starts a program outside the network that is killed with it all the same. */
  spawnOutside(argv: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Runs a short command inside a host and returns its output. @throws Error if it fails. */
  run(host: HostName, argv: readonly string[], input?: string): string;
  close(): void;
}

let open: Network | undefined;
let watching = false;

/** Builds the network; one at a time in a process. @throws Error without root or iproute2. */
export function createNetwork(): Network {
  if (open !== undefined) throw new RangeError("a network is open in this process already");
  sweepNetworks();
  closeOnExit();

  const children = new Set<ChildProcess>();
  const namespace = (host: HostName): string => `kh-${process.pid}-${host}`;
  const start = (argv: readonly string[], options: SpawnOptions = {}): ChildProcess => {
    const [command = "", ...rest] = argv;
    const env = { ...(options.env ?? process.env), [OWNER_VARIABLE]: String(process.pid) };
    const child = spawn(command, rest, { ...options, env, detached: true });
    children.add(child);
    child.once("exit", () => children.delete(child));
    child.once("error", () => children.delete(child));
    return child;
  };
  const network: Network = {
    namespace,
    spawn: (host, argv, options) =>
      start(["ip", "netns", "exec", namespace(host), ...argv], options),
    spawnOutside: start,
    run: (host, argv, input) => run(["ip", "netns", "exec", namespace(host), ...argv], input),
    close() {
      if (open !== network) return;
      open = undefined;
      for (const child of children) if (child.pid !== undefined) kill(child.pid);
      removeNamespaces(String(process.pid));
    },
  };
  open = network;
  try {
    build(namespace);
  } catch (error) {
    network.close();
    throw error;
  }
  return network;
}

/** Removes namespaces and processes of networks whose maker is dead. */
export function sweepNetworks(): void {
  const owners = new Set<string>();
  for (const name of listDirectory(NETNS_DIRECTORY)) {
    const owner = NAMESPACE.exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner))) owners.add(owner);
  }
  if (owners.size === 0) return;
  for (const pid of listDirectory("/proc").filter((name) => /^\d+$/.test(name))) {
    const owner = ownerOf(pid);
    if (owner !== undefined && owners.has(owner)) kill(Number(pid));
  }
  for (const owner of owners) removeNamespaces(owner);
}

function build(namespace: (host: HostName) => string): void {
  const gateway = namespace("gateway");
  const links = LEAF_NAMES.map(
    (name) =>
      `link add ${name} address ${LEAVES[name].routerMac} netns ${gateway} type veth ` +
      `peer name eth0 address ${LEAVES[name].mac} netns ${namespace(name)}`,
  );
  batch([], [...HOSTS.map((host) => `netns add ${namespace(host)}`), ...links]);

  batch(
    ["-n", gateway],
    [
      "link set lo up",
      ...LEAF_NAMES.flatMap((name) => [
        `address add ${LEAVES[name].router}/${PREFIX_LENGTH} dev ${name}`,
        `link set ${name} up`,
      ]),
    ],
  );
  for (const name of LEAF_NAMES) batch(["-n", namespace(name)], leafCommands(name));
  run(["ip", "netns", "exec", gateway, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
}

/** Neighbours are stated, not asked for: no first packet waits for ARP. */
function leafCommands(name: LeafName): string[] {
  const { address, aliases, router, routerMac } = LEAVES[name];
  return [
    "link set lo up",
    ...[address, ...aliases].map((own) => `address add ${own}/${PREFIX_LENGTH} dev eth0`),
    "link set eth0 up",
    `route add default via ${router} src ${address}`,
    `neighbour add ${router} lladdr ${routerMac} dev eth0 nud permanent`,
  ];
}

function batch(options: readonly string[], commands: readonly string[]): void {
  run(["ip", ...options, "-batch", "-"], `${commands.join("\n")}\n`);
}

function run(argv: readonly string[], input?: string): string {
  const [command = "", ...rest] = argv;
  const result = spawnSync(command, rest, { encoding: "utf8", input: input ?? "" });
  if (result.status !== 0) {
    const why = result.error?.message ?? result.stderr.trim();
    throw new Error(`${argv.join(" ")}: ${why}`);
  }
  return result.stdout;
}

/** Ends what still runs in the namespaces, then the namespaces. Never throws: it also runs at exit. */
function removeNamespaces(owner: string): void {
  const names = listDirectory(NETNS_DIRECTORY).filter(
    (name) => NAMESPACE.exec(name)?.[1] === owner,
  );
  for (const name of names) {
    const { stdout } = spawnSync("ip", ["netns", "pids", name], { encoding: "utf8" });
    for (const pid of stdout.split("\n").filter(Boolean)) kill(Number(pid));
  }
  const commands = names.map((name) => `netns delete ${name}\n`).join("");
  spawnSync("ip", ["-force", "-batch", "-"], { input: commands });
}

function closeOnExit(): void {
  if (watching) return;
  watching = true;
  process.once("exit", () => open?.close());
  for (const [signal, code] of Object.entries(SIGNAL_EXIT_CODES)) {
    // Kept for good: a second signal during the clean-up must not cut it short.
    process.on(signal, () => process.exit(code));
  }
}

function kill(pid: number): void {
  if (pid === process.pid) return;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

function ownerOf(pid: string): string | undefined {
  try {
    const entry = readFileSync(`/proc/${pid}/environ`, "latin1")
      .split("\0")
      .find((line) => line.startsWith(`${OWNER_VARIABLE}=`));
    return entry?.slice(OWNER_VARIABLE.length + 1);
  } catch {
    return undefined;
  }
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
