/**
 * What the kernel keeps of a running session's closed pinholes, so that a restarted agent still has it: their counts in
 * tallies, and a marker wherever a count is owed or was missed (docs/adr/0013). Pure.
 */
import { type AgentState, deletion, labelOf } from "./agent-state.ts";
import type { Claim } from "./claims.ts";
import { type Element, type Endpoint, elementName, tallyElement } from "./element.ts";
import type { Deleted } from "./final-counts.ts";
import type { Change } from "./rules.ts";
import { keepElement, type Session, type Tally } from "./session.ts";

/** The claims with a marker each, for the transaction that deletes them. */
export function owe(state: AgentState, claims: readonly Claim[]): readonly Required<Deleted>[] {
  return claims.map((claim) => ({ claim, marker: tallyElement(claim.to, state.newSerial()) }));
}

export function markerChange(session: Session, pinhole: string, marker: Element): Change {
  return { op: "add", element: marker, label: { ...labelOf(session, pinhole), isOwed: true } };
}

/** Writes a tally anew, in place of its former element and of the marker whose count it now holds. */
export function keepTally(
  state: AgentState,
  session: Session,
  tally: Tally,
  marker: Element | undefined,
): void {
  const former = [tally.element, marker].filter((element) => element !== undefined);
  state.apply(session.id, [...former.map(deletion), tallyChange(state, session, tally)]);
}

export function tallyChange(state: AgentState, session: Session, tally: Tally): Change {
  const element = tallyElement(tally.to, state.newSerial());
  keepElement(session, tally, element);
  return { op: "add", element, label: labelOf(session, tally.pinhole), count: tally.count };
}

/**
 * The session's counts are not exact any more. Returns what tells a successor so, if the kernel has a count of it that
 * a successor could believe.
 */
export function doubt(state: AgentState, session: Session): readonly Change[] {
  const isMarked = !session.exact && session.markers.size > 0;
  session.exact = false;
  const known = [...session.holes.values(), ...session.tallies.values()][0];
  return known === undefined || isMarked ? [] : [newMarker(state, session, known)];
}

/** Forgets elements that the kernel refused to take. */
export function forgetKept(session: Session, refused: readonly Change[]): void {
  const names = new Set(
    refused.flatMap(({ op, element }) => (op === "add" ? elementName(element) : [])),
  );
  for (const name of names) session.markers.delete(name);
  for (const tally of [...session.tallies.values()])
    if (tally.element !== undefined && names.has(elementName(tally.element)))
      keepElement(session, tally, undefined);
}

function newMarker(
  state: AgentState,
  session: Session,
  { pinhole, to }: { readonly pinhole: string; readonly to: Endpoint },
): Change {
  const marker = tallyElement(to, state.newSerial());
  session.markers.set(elementName(marker), marker);
  return markerChange(session, pinhole, marker);
}
