/**
 * The demo network as data: three hosts, the gateway between them, their addresses. Pure.
 *
 * ```text
 *   alice 10.10.0.2 ──┐             ┌── biloxi 10.30.0.2   (Kamailio, not trusted)
 *                     ├── gateway ──┤
 *                     │  10.x.0.1   └── bob    10.20.0.2   (and a stranger, 10.20.0.66)
 * ```
 */

export const HOSTS = ["alice", "bob", "biloxi", "gateway"] as const;
export type HostName = (typeof HOSTS)[number];
/** A host with one link, to the gateway. */
export type LeafName = Exclude<HostName, "gateway">;

export interface Leaf {
  readonly address: string;
  /** Second addresses on the same link. */
  readonly aliases: readonly string[];
  /** The gateway's address on this link. */
  readonly router: string;
  readonly mac: string;
  readonly routerMac: string;
}

export const PREFIX_LENGTH = 24;

/** An address on bob's link that takes no part in any call. */
export const STRANGER_ADDRESS = "10.20.0.66";

export const LEAVES: Readonly<Record<LeafName, Leaf>> = {
  alice: leaf(10, []),
  bob: leaf(20, [STRANGER_ADDRESS]),
  biloxi: leaf(30, []),
};

/** Locally administered MAC addresses, fixed so that frames can be built by hand. */
function leaf(net: number, aliases: readonly string[]): Leaf {
  return {
    address: `10.${net}.0.2`,
    aliases,
    router: `10.${net}.0.1`,
    mac: `02:00:0a:${net}:00:02`,
    routerMac: `02:00:0a:${net}:00:01`,
  };
}
