/**
 * What is let through for a dialog: from anywhere to the offerer while only the offer is known, then
 * between the two ends by address, not by source port, since RTP need not be symmetric (RFC 4961).
 * A hole keeps its id while it narrows, and so its counter. Pure.
 */
import type { Pinhole } from "../../protocol/control/messages.ts";
import type { MediaEnd } from "./media-end.ts";
import { otherSide, type Side } from "./party.ts";

/** A pinhole before it has an id. */
export interface Opening {
  readonly toward: Side;
  /** Place of the stream's `m=` line. */
  readonly index: number;
  readonly media: string;
  readonly component: "rtp" | "rtcp";
  /** Undefined: anywhere. */
  readonly from: string | undefined;
  readonly to: { readonly address: string; readonly port: number };
}

/** One stream by its two ends; either may be unknown, on hold. */
export interface TwoEnds extends Readonly<Record<Side, MediaEnd | undefined>> {
  readonly index: number;
  readonly media: string;
}

type OneEnd = Pick<TwoEnds, "index" | "media"> & { readonly end: MediaEnd | undefined };

/**
 * The openings that an offer asks for: from anywhere to an end inside; to an end outside from where
 * the answerer may be inside.
 */
export function openingsOfOffer(
  by: Side,
  streams: readonly OneEnd[],
  answererInside: readonly string[],
): readonly Opening[] {
  return streams.flatMap(({ end, ...stream }) => {
    if (end === undefined) return [];
    const sources = end.inside ? [undefined] : answererInside.filter(sameFamily(end.address));
    return sources.flatMap((source) => openings(stream, by, source, end, false));
  });
}

/** The openings both ways once an answer is known; none for a stream that does not pass here. */
export function openingsOfStream(stream: TwoEnds, mux: boolean): readonly Opening[] {
  if (!passesHere(stream)) return [];
  const { caller, callee } = stream;
  return [
    ...openings(stream, "caller", callee.address, caller, mux),
    ...openings(stream, "callee", caller.address, callee, mux),
  ];
}

/** True if both ends are known, of one family, and one of them lies inside. */
export function passesHere<S extends TwoEnds>(
  stream: S,
): stream is S & { readonly caller: MediaEnd; readonly callee: MediaEnd } {
  const { caller, callee } = stream;
  if (caller === undefined || callee === undefined) return false;
  return (caller.inside || callee.inside) && sameFamily(caller.address)(callee.address);
}

/** Openings of which no two admit one packet: of those with one destination, the widest stays. */
export function withoutOverlaps(all: readonly Opening[]): readonly Opening[] {
  const kept = new Map<string, Opening>();
  const wide = new Set(all.filter(({ from }) => from === undefined).map(destinationOf));
  for (const opening of all) {
    const key = keyOf(opening);
    const covered = opening.from !== undefined && wide.has(destinationOf(opening));
    if (!covered && !kept.has(key)) kept.set(key, opening);
  }
  return [...kept.values()];
}

/** Ids by opening, as a session has given them. */
export type PinholeIds = ReadonlyMap<string, string>;

/** Names openings: what was there keeps its id, and a new one takes the first that is free. */
export function namePinholes(
  wanted: readonly Opening[],
  before: PinholeIds,
): { readonly pinholes: readonly Pinhole[]; readonly ids: PinholeIds } {
  const ids = new Map<string, string>();
  const taken = new Set<string>();
  for (const opening of wanted) {
    const id = before.get(keyOf(opening));
    if (id === undefined) continue;
    ids.set(keyOf(opening), id);
    taken.add(id);
  }
  const pinholes = wanted.map((opening): Pinhole => {
    const { from, to, media, component } = opening;
    const id = ids.get(keyOf(opening)) ?? freeId(opening, taken);
    ids.set(keyOf(opening), id);
    taken.add(id);
    return { id, from: from === undefined ? {} : { address: from }, to, media, component };
  });
  return { pinholes, ids };
}

/** Whether both let the same packets through. */
export const sameOpenings = (one: readonly Opening[], other: readonly Opening[]): boolean =>
  one.length === other.length &&
  one.every((opening, at) => keyOf(opening) === keyOf(other[at] ?? NOWHERE));

const NOWHERE = { from: undefined, to: { address: "", port: 0 } } as const;

export const destinationOf = ({ to }: Pick<Opening, "to">): string => `${to.address} ${to.port}`;

export const keyOf = (opening: Pick<Opening, "from" | "to">): string =>
  `${destinationOf(opening)} ${opening.from ?? "any"}`;

function freeId({ toward, index, component }: Opening, taken: ReadonlySet<string>): string {
  const base = `${toward}.${index}.${component}`;
  let id = base;
  for (let nth = 2; taken.has(id); nth += 1) id = `${base}.${nth}`;
  return id;
}

function openings(
  { index, media }: Pick<TwoEnds, "index" | "media">,
  toward: Side,
  from: string | undefined,
  { address, rtpPort, rtcpPort }: MediaEnd,
  mux: boolean,
): readonly Opening[] {
  const opening = (component: "rtp" | "rtcp", port: number): Opening => ({
    toward,
    index,
    media,
    component,
    from,
    to: { address, port },
  });
  const rtp = opening("rtp", rtpPort);
  return mux || rtcpPort === rtpPort ? [rtp] : [rtp, opening("rtcp", rtcpPort)];
}

const sameFamily =
  (one: string) =>
  (other: string): boolean =>
    one.includes(":") === other.includes(":");

/** The two ends of a stream from who offered and who answered. */
export function endsBySide(
  by: Side,
  offerer: MediaEnd | undefined,
  answerer: MediaEnd | undefined,
): Readonly<Record<Side, MediaEnd | undefined>> {
  const other = otherSide(by);
  return { [by]: offerer, [other]: answerer } as Record<Side, MediaEnd | undefined>;
}
