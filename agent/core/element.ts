/**
 * Elements of the kernel's sets: how a pinhole is written there, and read back after a restart. Pure.
 *
 * ```text
 * any4  any6    to address . to port                                   anyone may send
 * peer4 peer6   from address . to address . to port                    one host
 * pin4  pin6    from address . from port . to address . to port        one socket
 * tally4 tally6 to address . to port . serial                          counts of closed pinholes, and markers of those
 *                                                                      still owed; no rule looks here
 * ```
 */
import type { Address } from "../../protocol/net/address.ts";

export const FILTER_SETS = ["any4", "any6", "peer4", "peer6", "pin4", "pin6"] as const;
export const TALLY_SETS = ["tally4", "tally6"] as const;
export type SetName = (typeof FILTER_SETS)[number] | (typeof TALLY_SETS)[number];

export interface Element {
  readonly set: SetName;
  /** As nft writes it: parts joined by ` . `. */
  readonly key: string;
}

/** Whose element it is: kept as the element's comment, so that a restarted agent knows. */
export interface Label {
  /** `ownerTag` of the controller. */
  readonly owner: string;
  readonly session: string;
  readonly pinhole: string;
  /** A marker: the count of a deleted element of this pinhole is owed, or was missed. */
  readonly isOwed?: true;
}

export interface Count {
  readonly packets: number;
  readonly bytes: number;
}

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

/** Who may send through a pinhole: anyone, one host, or one socket. */
export type Source =
  | { readonly kind: "any" }
  | { readonly kind: "host"; readonly address: Address }
  | { readonly kind: "socket"; readonly address: Address; readonly port: number };

export const NO_COUNT: Count = { packets: 0, bytes: 0 };

/** The element that lets `from` send to `to`; both of one family. */
export function filterElement(from: Source, to: Endpoint): Element {
  const family = to.address.family;
  const target = `${to.address.text} . ${to.port}`;
  switch (from.kind) {
    case "any":
      return { set: `any${family}`, key: target };
    case "host":
      return { set: `peer${family}`, key: `${from.address.text} . ${target}` };
    case "socket":
      return { set: `pin${family}`, key: `${from.address.text} . ${from.port} . ${target}` };
  }
}

/** The element that keeps a closed pinhole's counts; `serial` makes it unique. */
export function tallyElement(to: Endpoint, serial: number): Element {
  return {
    set: `tally${to.address.family}`,
    key: `${to.address.text} . ${to.port} . ${serialText(serial)}`,
  };
}

/** One string an element. */
export function elementName({ set, key }: Element): string {
  return `${set} ${key}`;
}

const LABEL_VERSION = "1";
const OWED = "owed";

export function serializeLabel({ owner, session, pinhole, isOwed }: Label): string {
  return `${LABEL_VERSION} ${owner} ${session} ${pinhole}${isOwed ? ` ${OWED}` : ""}`;
}

/** The label that a comment holds, or undefined for a comment that is none of ours. */
export function parseLabel(comment: string): Label | undefined {
  const [version, owner, session, pinhole, owed, ...rest] = comment.split(" ");
  if (version !== LABEL_VERSION || !owner || !session || !pinhole || rest.length > 0)
    return undefined;
  if (owed === undefined) return { owner, session, pinhole };
  return owed === OWED ? { owner, session, pinhole, isOwed: true } : undefined;
}

export function addCounts(left: Count, right: Count): Count {
  return { packets: left.packets + right.packets, bytes: left.bytes + right.bytes };
}

/** nft writes marks so. */
function serialText(serial: number): string {
  return `0x${serial.toString(16).padStart(8, "0")}`;
}
