/**
 * Brings machine and kernel together where one of them was away: adoption at start, rebuilding after a loss. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { type AgentState, deletion, labelOf } from "./agent-state.ts";
import type { Claim } from "./claims.ts";
import { finishIfDone } from "./close-work.ts";
import { type Count, type Element, elementName, type Label, NO_COUNT } from "./element.ts";
import { doubt, markerChange, tallyChange } from "./kept-counts.ts";
import type { Opening } from "./realm.ts";
import type { Change } from "./rules.ts";
import { createSession, holeElement, type Session, tallyKey, tallyUp } from "./session.ts";

/** An element that an earlier agent left in the kernel. */
export interface KernelElement {
  readonly element: Element;
  readonly label: Label;
  readonly count: Count;
  /** What it means; a tally's serial in `serial`. */
  readonly opening: Opening;
  readonly serial?: number;
}

export interface KernelListing {
  /** False: the dead-man element has ended, nothing passes. */
  readonly alive: boolean;
  readonly elements: readonly KernelElement[];
  /** Elements without a readable label: nobody's, to be deleted. */
  readonly strays: readonly Element[];
}

/** How long adopted sessions wait for their controller to name them again. */
export const ADOPTED_LEASE_MS = 30_000;

/**
 * Takes over what an earlier agent left, before the first request. Pinholes that still pass packets stay as they are,
 * with their counters; those that the dead-man element had shut are not opened again, only their counts are kept.
 */
export function adopt(state: AgentState, listing: KernelListing, now: Millis): void {
  // Tallies first: new ones are numbered after them.
  const tallies = listing.elements
    .filter(({ serial }) => serial !== undefined)
    .sort((left, right) => (left.serial ?? 0) - (right.serial ?? 0));
  const holes = listing.elements.filter(({ serial }) => serial === undefined);
  for (const kernel of [...tallies, ...holes]) {
    const session = adoptedSession(state, kernel.label, now);
    const claim: Claim = { ...kernel.opening, session: session.id, pinhole: kernel.label.pinhole };
    if (kernel.serial !== undefined) adoptTally(state, session, claim, kernel);
    else if (listing.alive) adoptHole(state, session, claim);
    else tallyUp(session, claim, kernel.count);
  }
  for (const stray of listing.strays) state.apply("", [deletion(stray)]);
  state.rebuildWanted = !listing.alive && listing.elements.length > 0;
  rebuildIfWanted(state);
  const { size } = state.sessions;
  if (size > 0) state.log("info", "sessions adopted", { sessions: size, open: listing.alive });
}

/** The kernel's table is gone: whatever was not counted yet is lost, and said to be. */
export function takeLoss(state: AgentState, now: Millis): void {
  state.log("error", "firewall table lost: made anew", {});
  state.rebuildWanted = true;
  for (const { claim } of state.finals.clear()) {
    const session = state.sessions.get(claim.session);
    if (session !== undefined) tallyUp(session, claim, NO_COUNT);
  }
  for (const session of [...state.sessions.values()]) {
    session.exact = false;
    finishIfDone(state, session, now);
  }
}

/** Packets may have passed uncounted while rules were missing. */
export function takeRuleLoss(state: AgentState): void {
  state.log("error", "firewall rules lost: made anew", {});
  for (const session of state.sessions.values()) {
    const marks = session.job?.kind === "closing" ? [] : doubt(state, session);
    session.exact = false;
    if (marks.length > 0) state.apply(session.id, marks);
  }
}

/** Has the table made anew, once no batch is under way that could still change what it must hold. */
export function rebuildIfWanted(state: AgentState): void {
  if (!state.rebuildWanted || state.batches.size > 0) return;
  state.rebuildWanted = false;
  const changes = [...state.sessions.values()].flatMap((session) => restored(state, session));
  state.emit({ kind: "rebuild", changes });
}

function restored(state: AgentState, session: Session): readonly Change[] {
  // What its holes counted so far is gone with them.
  if (session.holes.size > 0) session.exact = false;
  const holes = [...session.holes.values()].map((claim): Change => {
    const label = labelOf(session, claim.pinhole);
    return { op: "add", element: holeElement(claim), label };
  });
  const tallies = [...session.tallies.values()].map((tally) => tallyChange(state, session, tally));
  const owed = state.finals
    .owed(session.id)
    .map(({ claim, marker }) => markerChange(session, claim.pinhole, marker));
  session.markers.clear();
  return [...holes, ...tallies, ...owed, ...(session.exact ? [] : doubt(state, session))];
}

function adoptedSession(state: AgentState, { session: id, owner }: Label, now: Millis): Session {
  const present = state.sessions.get(id);
  if (present !== undefined) return present;
  const session = createSession(id, owner, now);
  state.sessions.set(id, session);
  state.setLease(session, now + ADOPTED_LEASE_MS);
  return session;
}

function adoptHole(state: AgentState, session: Session, claim: Claim): void {
  session.holes = new Map([...session.holes, [claim.pinhole, claim]]);
  state.claims.add(claim);
}

function adoptTally(
  state: AgentState,
  session: Session,
  claim: Claim,
  { element, label, count, serial = 0 }: KernelElement,
): void {
  state.nextSerial = Math.max(state.nextSerial, serial + 1);
  const { pinhole, to } = claim;
  const older = session.tallies.get(tallyKey(claim))?.element;
  if (label.isOwed) {
    session.exact = false;
    session.markers.set(elementName(element), element);
    tallyUp(session, claim, NO_COUNT);
    return;
  }
  // A later one holds an earlier one's count, too.
  if (older !== undefined) session.markers.set(elementName(older), older);
  session.tallies.set(tallyKey(claim), { pinhole, to, count, element });
}
