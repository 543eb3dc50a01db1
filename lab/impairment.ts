/**
 * Makes the links of the network bad for SIP over UDP: each host loses some of what comes to it, and
 * some of what it sends is overtaken by what it sends next. By nftables and a slow HTB class, which
 * work in any network namespace: `netem` is not in every kernel. Needs root.
 */
import type { Network } from "./network.ts";
import type { HostName } from "./topology.ts";

export interface Impairment {
  /** Of every hundred packets, at each host that receives. */
  readonly lossPercent: number;
  /** Of every hundred packets, at each host that sends: how many take the slow way out. */
  readonly latePercent: number;
}

export interface ImpairmentCounts {
  readonly lost: number;
  readonly late: number;
}

const SIP_PORTS = "5060-5079";
/** A message of 600 octets takes 6 ms there; messages of one call follow each other faster. */
const SLOW_RATE = "800kbit";
const FAST_RATE = "1gbit";
const SLOW_CLASS = "0x10020";

/** The devices by which a host sends. */
const DEVICES: Readonly<Record<HostName, readonly string[]>> = {
  alice: ["eth0"],
  bob: ["eth0"],
  biloxi: ["eth0"],
  gateway: ["alice", "bob", "biloxi"],
};

export function impairLinks(
  network: Network,
  hosts: readonly HostName[],
  { lossPercent, latePercent }: Impairment,
): void {
  const chance = (percent: number): string => `numgen random mod 1000 < ${percent * 10}`;
  // Lost on arrival: a packet dropped on its way out would be an error to the sender.
  const table = `table inet impairment {
    chain arriving {
      type filter hook input priority 0
      iifname != "lo" udp dport ${SIP_PORTS} ${chance(lossPercent)} counter drop
    }
    chain leaving {
      type filter hook output priority 0
      udp dport ${SIP_PORTS} ${chance(latePercent)} counter meta priority set ${SLOW_CLASS}
    }
  }\n`;
  for (const host of hosts) {
    network.run(host, ["nft", "-f", "-"], table);
    for (const device of DEVICES[host]) {
      const tc = (text: string): string => network.run(host, ["tc", ...text.split(" ")]);
      tc(`qdisc add dev ${device} root handle 1: htb default 10`);
      tc(`class add dev ${device} parent 1: classid 1:10 htb rate ${FAST_RATE} quantum 60000`);
      tc(`class add dev ${device} parent 1: classid 1:20 htb rate ${SLOW_RATE} burst 600`);
      tc(`qdisc add dev ${device} parent 1:20 pfifo limit 1000`);
    }
  }
}

/** How often it happened, all hosts together. */
export function countImpairments(network: Network, hosts: readonly HostName[]): ImpairmentCounts {
  const counts = hosts.map((host) => ({
    lost: countIn(network, host, "arriving"),
    late: countIn(network, host, "leaving"),
  }));
  return {
    lost: counts.reduce((sum, { lost }) => sum + lost, 0),
    late: counts.reduce((sum, { late }) => sum + late, 0),
  };
}

function countIn(network: Network, host: HostName, chain: string): number {
  const listed = network.run(host, ["nft", "list", "chain", "inet", "impairment", chain]);
  return Number(/counter packets (\d+)/.exec(listed)?.[1] ?? 0);
}
