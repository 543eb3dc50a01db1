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

interface NftObject {
  readonly set?: { readonly name: string; readonly table: string; readonly elem?: NftElement[] };
  readonly rule?: { readonly table: string; readonly expr: readonly object[] };
}

/** Every counted element of the sets that let packets through; none if there is no such table. */
export function readKernelCounters(network: Network, table = "keyhole"): readonly KernelCount[] {
  const { nftables } = JSON.parse(network.run("gateway", ["nft", "-j", "list", "ruleset"])) as {
    readonly nftables: readonly NftObject[];
  };
  const accepting = nftables
    .filter(({ rule }) => rule?.table === table && rule.expr.some((part) => "accept" in part))
    .map(({ rule }) => JSON.stringify(rule));
  return nftables
    .flatMap(({ set }) => (set?.table === table ? [set] : []))
    .filter(({ name }) => accepting.some((rule) => rule.includes(`"@${name}"`)))
    .flatMap(({ elem = [] }) => elem)
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
