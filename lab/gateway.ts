/**
 * The gateway host's three programs as processes of their own. Each is started as root and becomes
 * its own user by itself before it reads its first message; `rightsOf` reads what it is then.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { LabProcess } from "./lab-process.ts";
import type { Network } from "./network.ts";
import { programArgv } from "./program-argv.ts";
import type { GatewayProgram, Site } from "./site.ts";

export interface Rights {
  /** Real, effective, saved and file-system ids are all this one. */
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly capabilities: {
    readonly effective: bigint;
    readonly permitted: bigint;
    readonly bounding: bigint;
    readonly ambient: bigint;
  };
  readonly noNewPrivileges: boolean;
  /** As the kernel names it: `net:[4026532008]`. */
  readonly networkNamespace: string;
}

/** Only what is broken waits so long; six programs may start at once on two slow processors. */
const READY_TIMEOUT_MS = 60_000;

/** Starts one program in the gateway's namespace and returns when it says that it serves. */
export async function startProgram(
  network: Network,
  site: Site,
  program: GatewayProgram,
): Promise<LabProcess> {
  const child = network.spawn(
    "gateway",
    programArgv([program, "--config", site.configs[program]]),
    // As under systemd: the folder of this process may be one that the program's user cannot enter.
    { cwd: "/", stdio: ["ignore", "pipe", "pipe"] },
  );
  const running = new LabProcess(program, child, join(site.logs, `${program}.log`));
  await running.event({ msg: "ready" }, READY_TIMEOUT_MS);
  return running;
}

/** What a running program may do, from /proc. */
export function rightsOf(pid: number): Rights {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1]?.trim() ?? "";
  const one = (name: string): number => {
    const ids = new Set(field(name).split(/\s+/));
    if (ids.size !== 1) throw new Error(`${name} of ${pid} is not one: ${[...ids].join(" ")}`);
    return Number([...ids][0]);
  };
  const mask = (name: string): bigint => BigInt(`0x${field(name)}`);
  return {
    uid: one("Uid"),
    gid: one("Gid"),
    groups: field("Groups").split(/\s+/).filter(Boolean).map(Number),
    capabilities: {
      effective: mask("CapEff"),
      permitted: mask("CapPrm"),
      bounding: mask("CapBnd"),
      ambient: mask("CapAmb"),
    },
    noNewPrivileges: field("NoNewPrivs") === "1",
    networkNamespace: readlinkSync(`/proc/${pid}/ns/net`),
  };
}
