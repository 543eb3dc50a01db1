/**
 * What the kernel itself counted for each pinhole, read with `nft` and without the agent's help.
 */
import type { Network } from "./network.ts";

export interface KernelCount {
  /** Where the pinhole leads. */
  readonly address: string;
  readonly port: number;
  readonly packets: number;
  readonly bytes: number;
}

interface NftElement {
  readonly elem?: {
    readonly val: unknown;
    readonly counter?: { readonly packets: number; readonly bytes: number };
  };
}

/** Every counted element of every set of the gateway's table; none if there is no such table. */
export function readKernelCounters(network: Network, table = "keyhole"): readonly KernelCount[] {
  const listing = JSON.parse(network.run("gateway", ["nft", "-j", "list", "ruleset"])) as {
    nftables: { set?: { table: string; elem?: NftElement[] } }[];
  };
  return listing.nftables
    .flatMap(({ set }) => (set?.table === table ? (set.elem ?? []) : []))
    .flatMap(({ elem }) => (elem?.counter ? [{ ...destination(elem.val), ...elem.counter }] : []));
}

/** The sum over all pinholes that lead there. */
export function packetsToward(
  counts: readonly KernelCount[],
  address: string,
  port: number,
): number {
  return counts
    .filter((count) => count.address === address && count.port === port)
    .reduce((sum, { packets }) => sum + packets, 0);
}

/** An element ends in the destination's address and port, whatever stands before. */
function destination(value: unknown): Pick<KernelCount, "address" | "port"> {
  const parts =
    typeof value === "object" && value !== null && "concat" in value
      ? (value.concat as unknown[])
      : [value];
  const address = parts.findLast(
    (part): part is string => typeof part === "string" && /^[\da-f]*[.:]/.test(part),
  );
  const port = parts.findLast((part): part is number => typeof part === "number");
  return { address: address ?? "", port: port ?? 0 };
}
