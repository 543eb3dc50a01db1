/**
 * A program keeps only the rights that its row of the rights table allows (docs/architecture.md).
 * Started as root it replaces itself, same process id, by way of `setpriv` (and `unshare` for an
 * own empty network); started by systemd it finds itself already reduced, and only checks.
 * Touches /proc/self/status and replaces the process image.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";

/** `[process]` of every config file: who the program becomes when it is started as root. */
export const processSchema = z.strictObject({
  uid: z.int().min(1),
  gid: z.int().min(1),
  groups: z.array(z.int().min(1)).default([]),
});
export type ProcessIdentity = z.infer<typeof processSchema>;

export interface RightsRow {
  readonly capabilities: readonly "net_admin"[];
  /** `none`: the program enters a network namespace of its own that has no interface but lo. */
  readonly network: "shared" | "none";
}

export class RightsError extends Error {
  override readonly name = "RightsError";
  readonly code = "ERR_RIGHTS";
}

const CAPABILITY_BIT = { net_admin: 1n << 12n } as const; // include/uapi/linux/capability.h

/**
 * Returns only in a process that holds no more than `row`. Call it before the first message is read.
 * @throws RightsError root without `identity`, or more capabilities than the row allows.
 */
export function assumeRights(row: RightsRow, identity: ProcessIdentity | undefined): void {
  if (process.geteuid?.() === 0) {
    if (identity === undefined)
      throw new RightsError("started as root without [process] uid and gid to become");
    becomeLess(row, identity);
  }
  const held = heldCapabilities(readFileSync("/proc/self/status", "utf8"));
  const allowed = row.capabilities.reduce((mask, name) => mask | CAPABILITY_BIT[name], 0n);
  if ((held & ~allowed) !== 0n)
    throw new RightsError(`holds capabilities it must not: 0x${(held & ~allowed).toString(16)}`);
  if ((held & allowed) !== allowed)
    throw new RightsError(`lacks a capability it needs: ${row.capabilities.join(", ")}`);
}

/** The union of what the process can use, keep or pass on (CapPrm, CapEff, CapAmb). */
export function heldCapabilities(status: string): bigint {
  let held = 0n;
  for (const [, hex] of status.matchAll(/^Cap(?:Prm|Eff|Amb):\s*([0-9a-f]+)$/gm))
    held |= BigInt(`0x${hex}`);
  return held;
}

function becomeLess(row: RightsRow, { uid, gid, groups }: ProcessIdentity): void {
  const caps = ["-all", ...row.capabilities.map((name) => `+${name}`)].join(",");
  const setpriv = [
    "setpriv",
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length > 0 ? `--groups=${groups.join(",")}` : "--clear-groups",
    `--inh-caps=${caps}`,
    `--ambient-caps=${caps}`,
    `--bounding-set=${caps}`,
    "--no-new-privs",
    process.execPath,
    ...process.execArgv,
    ...process.argv.slice(1),
  ];
  const argv = row.network === "none" ? ["unshare", "--net", "--", ...setpriv] : setpriv;
  if (process.execve === undefined) throw new RightsError("this runtime cannot replace itself");
  process.execve(`/usr/bin/${argv[0]}`, argv, process.env as Record<string, string>);
}
