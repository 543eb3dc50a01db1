/** The rights table of docs/architecture.md, as the kernel shows it in /proc. Pure. */
import type { Rights } from "./gateway.ts";
import type { GatewayProgram } from "./site.ts";
import { IDENTITIES } from "./site-config.ts";

/** include/uapi/linux/capability.h */
const CAP_NET_ADMIN = 1n << 12n;

const CAPABILITIES: Readonly<Record<GatewayProgram, bigint>> = {
  controller: 0n,
  agent: CAP_NET_ADMIN,
  recorder: 0n,
};

/** What a program holds and should not, or lacks and should have; empty if all is as the table says. */
export function rightsFaults(
  program: GatewayProgram,
  rights: Rights,
  gatewayNetwork: string,
): readonly string[] {
  const { uid, gid, groups } = IDENTITIES[program];
  const { effective, permitted, bounding, ambient } = rights.capabilities;
  const allowed = CAPABILITIES[program];
  const isolated = rights.networkNamespace !== gatewayNetwork;
  const faults: Record<string, boolean> = {
    user: rights.uid !== uid,
    group: rights.gid !== gid,
    groups: [...rights.groups].sort().join() !== [...groups].sort().join(),
    "effective capabilities": effective !== allowed,
    "permitted capabilities": permitted !== allowed,
    "bounding set": bounding !== allowed,
    "ambient capabilities": ambient !== allowed,
    "no-new-privileges": !rights.noNewPrivileges,
    network: isolated !== (program === "recorder"),
  };
  return Object.keys(faults).filter((name) => faults[name]);
}

/** The row in a few words. */
export const RIGHTS_WORDS: Readonly<Record<GatewayProgram, string>> = {
  controller: "no capability",
  agent: "CAP_NET_ADMIN only",
  recorder: "no capability, a network namespace with nothing in it",
};
