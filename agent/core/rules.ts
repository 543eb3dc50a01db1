/**
 * The agent's whole part of the firewall, as text for nft 1.0.6 and later: one table of its own. Pure.
 *
 * What it does: UDP packets to or from the realm's media ports pass only through a pinhole, and only while the
 * dead-man element lives; everything else is left to the host's other rules. The rule that accepts a packet copies it.
 */
import type { AgentConfig } from "../config.ts";
import { MAX_SET_ELEMENTS } from "../config.ts";
import {
  type Count,
  type Element,
  FILTER_SETS,
  type Label,
  serializeLabel,
  TALLY_SETS,
} from "./element.ts";

export type RuleConfig = Pick<AgentConfig, "nft" | "realm">;

/** A change of the kernel's sets. */
export type Change =
  | {
      readonly op: "add";
      readonly element: Element;
      readonly label: Label;
      readonly count?: Count;
    }
  | { readonly op: "delete"; readonly element: Element };

/** Without renewal the kernel shuts every pinhole after this time. */
export const DEAD_MAN_TIMEOUT_MS = 10_000;
export const DEAD_MAN_RENEWAL_MS = 3_000;
/** Octets of a packet that are copied: any that a media path of usual MTU carries. */
export const COPY_BYTES = 2048;

const ADDRESS = { 4: "ipv4_addr", 6: "ipv6_addr" } as const;
const PORT = "inet_service";
/** More fragments follow (RFC 791 §3.1, RFC 8200 §4.5). */
const FIRST_FRAGMENT = ["ip frag-off & 0x2000 != 0", "frag more-fragments 1"] as const;

/**
 * The table, its sets and its rules. Applied as one transaction it makes the table if there is none, and otherwise
 * changes the rules alone: elements, their counters and the dead-man element stay as they are, and no packet meets
 * a half-made table.
 * @param presentPriority the priority of the forward chain that is there, if one is.
 */
export function ruleset(config: RuleConfig, presentPriority?: number): string {
  const { table, priority } = config.nft;
  const forward = `inet ${table} forward`;
  const moved = presentPriority !== undefined && presentPriority !== priority;
  return [
    `add table inet ${table}`,
    ...([4, 6] as const).flatMap((family) => addSets(table, family)),
    `add set inet ${table} alive { type inet_proto; flags timeout; }`,
    `add set inet ${table} probe { type inet_proto; }`,
    `add counter inet ${table} refused`,
    `add chain inet ${table} pins`,
    ...(moved ? [`flush chain ${forward}`, `delete chain ${forward}`] : []),
    `add chain ${forward} { type filter hook forward priority ${priority}; policy accept; }`,
    `flush chain ${forward}`,
    `flush chain inet ${table} pins`,
    ...pinRules(config),
    `add rule ${forward} meta l4proto @alive jump pins`,
    ...realmRules(config),
    "",
  ].join("\n");
}

export interface RuleCounts {
  readonly forward: number;
  readonly pins: number;
}

/** How many rules each chain of a whole table has. */
export function ruleCounts(config: RuleConfig): RuleCounts {
  return { forward: 1 + realmRules(config).length, pins: pinRules(config).length };
}

/** One line that starts the dead-man element's time anew; all of it in one transaction. */
export function renewal(table: string): string {
  const element = `element inet ${table} alive`;
  const add = `add ${element} { udp timeout ${DEAD_MAN_TIMEOUT_MS / 1000}s }`;
  return `${add} ; delete ${element} { udp } ; ${add}`;
}

/** The table whatever became of it, with empty sets: what it should hold is to be added. */
export function rebuilding(config: RuleConfig): string {
  const flushes = [...FILTER_SETS, ...TALLY_SETS].map(
    (set) => `flush set inet ${config.nft.table} ${set}`,
  );
  return [ruleset(config), ...flushes, ""].join("\n");
}

/** One line that changes nothing, but is told by `nft monitor destroy`. */
export function probe(table: string): string {
  const element = `element inet ${table} probe { udp }`;
  return `add ${element} ; delete ${element}`;
}

/** The changes as one line: nft applies all of it or nothing. */
export function serializeChanges(table: string, changes: readonly Change[]): string {
  return changes.map((change) => serializeChange(table, change)).join(" ; ");
}

function serializeChange(table: string, change: Change): string {
  const { set, key } = change.element;
  const where = `element inet ${table} ${set}`;
  if (change.op === "delete") return `delete ${where} { ${key} }`;
  const { packets, bytes } = change.count ?? { packets: 0, bytes: 0 };
  // create, not add: an element that is there already is a fault to hear of, not to pass over.
  return `create ${where} { ${key} counter packets ${packets} bytes ${bytes} comment "${serializeLabel(change.label)}" }`;
}

function addSets(table: string, family: 4 | 6): readonly string[] {
  const address = ADDRESS[family];
  const types = {
    any: [address, PORT],
    peer: [address, address, PORT],
    pin: [address, PORT, address, PORT],
    tally: [address, PORT, "mark"],
  };
  return Object.entries(types).map(
    ([name, parts]) =>
      `add set inet ${table} ${name}${family} { type ${parts.join(" . ")}; size ${MAX_SET_ELEMENTS}; counter; }`,
  );
}

/**
 * First fragments go back to be dropped (docs/adr/0018). Then the exact pinholes first; `log` before `accept`, so that
 * what passes is copied.
 */
function pinRules({ nft }: RuleConfig): readonly string[] {
  const copy = `log group ${nft.group} snaplen ${COPY_BYTES} queue-threshold ${nft.queueThreshold}`;
  const rule = (match: string) => `add rule inet ${nft.table} pins ${match} ${copy} accept`;
  const returns = FIRST_FRAGMENT.map((match) => `add rule inet ${nft.table} pins ${match} return`);
  const pins = (["ip", "ip6"] as const).flatMap((ip) => {
    const family = ip === "ip" ? 4 : 6;
    return [
      rule(`${ip} saddr . udp sport . ${ip} daddr . udp dport @pin${family}`),
      rule(`${ip} saddr . ${ip} daddr . udp dport @peer${family}`),
      rule(`${ip} daddr . udp dport @any${family}`),
    ];
  });
  return [...returns, ...pins];
}

function realmRules({ nft, realm }: RuleConfig): readonly string[] {
  const ports = realm.ports.join("-");
  return realm.prefixes.flatMap(({ address, text }) => {
    const ip = address.family === 4 ? "ip" : "ip6";
    const rule = (match: string) =>
      `add rule inet ${nft.table} forward ${match} counter name refused drop`;
    return [
      rule(`${ip} daddr ${text} udp dport ${ports}`),
      rule(`${ip} saddr ${text} udp sport ${ports}`),
    ];
  });
}
