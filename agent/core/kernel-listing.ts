/**
 * Reads what `nft -j list table` says of our table, and what `nft monitor` says of deleted elements. Pure.
 */
import { z } from "zod";
import { parseAddress } from "../../protocol/net/address.ts";
import {
  type Count,
  type Element,
  FILTER_SETS,
  filterElement,
  NO_COUNT,
  parseLabel,
  type SetName,
  TALLY_SETS,
  tallyElement,
} from "./element.ts";
import type { KernelElement, KernelListing } from "./kernel-state.ts";
import type { Opening } from "./realm.ts";
import type { RuleCounts } from "./rules.ts";

const elementSchema = z.object({
  elem: z.object({
    val: z.object({ concat: z.array(z.union([z.string(), z.number()])) }),
    comment: z.string().optional(),
    counter: z.object({ packets: z.int(), bytes: z.int() }).optional(),
  }),
});
const objectSchema = z.looseObject({
  set: z.looseObject({ name: z.string(), elem: z.array(z.unknown()).optional() }).optional(),
  chain: z.looseObject({ name: z.string(), prio: z.int().optional() }).optional(),
  rule: z.looseObject({ chain: z.string() }).optional(),
});
const listingSchema = z.object({ nftables: z.array(objectSchema) });

export interface TableListing extends KernelListing {
  /** Of the forward chain, if the table has one. */
  readonly priority?: number;
  /** How many rules each chain has; absent: there is no table. */
  readonly rules?: RuleCounts;
}

/** A last count, as the kernel's event tells it. */
export interface FinalCount extends Count {
  readonly element: Element;
}

/**
 * Reads the listing of a whole table.
 * @throws SyntaxError or ZodError for what is no listing: the nft that is there is not the one we know.
 */
export function parseTableListing(json: string): TableListing {
  const objects = listingSchema.parse(JSON.parse(json)).nftables;
  const sets = new Map(objects.flatMap(({ set }) => (set ? [[set.name, set.elem ?? []]] : [])));
  const read = [...FILTER_SETS, ...TALLY_SETS].flatMap((set) =>
    (sets.get(set) ?? []).map((element) => readElement(set, elementSchema.parse(element).elem)),
  );
  const priority = objects.find(({ chain }) => chain?.name === "forward")?.chain?.prio;
  const rulesIn = (chain: string) => objects.filter(({ rule }) => rule?.chain === chain).length;
  return {
    // Never two: the one element is that of UDP.
    alive: (sets.get("alive") ?? []).length > 0,
    elements: read.filter((element): element is KernelElement => "label" in element),
    strays: read.filter((element): element is Element => "key" in element),
    ...(priority === undefined ? {} : { priority }),
    rules: { forward: rulesIn("forward"), pins: rulesIn("pins") },
  };
}

const DELETED =
  /^delete element inet (\w+) (\w+) \{ (.+?) counter packets (\d+) bytes (\d+)(?: comment ".*")? \}$/;

/** The last count in one line of `nft monitor destroy`, if it tells one of this table. */
export function parseFinalCount(line: string, table: string): FinalCount | undefined {
  const [, name, set, key = "", packets, bytes] = DELETED.exec(line) ?? [];
  if (name !== table || !isFilterSet(set)) return undefined;
  return { element: { set, key }, packets: Number(packets), bytes: Number(bytes) };
}

/** True for the line by which `nft monitor destroy` tells that the table was deleted. */
export function isTableLoss(line: string, table: string): boolean {
  return line === `delete table inet ${table}`;
}

/** True for the line by which `nft monitor destroy` tells that a rule or a chain of the table was deleted. */
export function isRuleLoss(line: string, table: string): boolean {
  return ["rule", "chain"].some((what) => line.startsWith(`delete ${what} inet ${table} `));
}

function isFilterSet(name: string | undefined): name is (typeof FILTER_SETS)[number] {
  return FILTER_SETS.some((set) => set === name);
}

function readElement(
  set: SetName,
  elem: z.infer<typeof elementSchema>["elem"],
): KernelElement | Element {
  const parts = elem.val.concat;
  const label = parseLabel(elem.comment ?? "");
  const opening = readOpening(set, parts);
  if (label === undefined || opening === undefined) return { set, key: parts.join(" . ") };
  const count = elem.counter ?? NO_COUNT;
  if (!set.startsWith("tally"))
    return { element: filterElement(opening.from, opening.to), label, count, opening };
  const serial = Number(parts.at(-1));
  return { element: tallyElement(opening.to, serial), label, count, opening, serial };
}

function readOpening(set: SetName, parts: readonly (string | number)[]): Opening | undefined {
  const [a, b, c, d] = parts;
  const address = (part: string | number | undefined) => parseAddress(String(part));
  if (set.startsWith("any") || set.startsWith("tally"))
    return { from: { kind: "any" }, to: { address: address(a), port: Number(b) } };
  if (set.startsWith("peer"))
    return {
      from: { kind: "host", address: address(a) },
      to: { address: address(b), port: Number(c) },
    };
  return {
    from: { kind: "socket", address: address(a), port: Number(b) },
    to: { address: address(c), port: Number(d) },
  };
}
