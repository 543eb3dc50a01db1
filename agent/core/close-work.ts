/**
 * Closes sessions, and collects what the kernel counted to the last packet. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { type AgentState, deletion } from "./agent-state.ts";
import type { Claim } from "./claims.ts";
import { type Count, type Element, elementName, NO_COUNT } from "./element.ts";
import type { Deleted } from "./final-counts.ts";
import { forgetKept, keepTally } from "./kept-counts.ts";
import type { Change } from "./rules.ts";
import {
  type CloseCause,
  holeElement,
  type Job,
  orderEffect,
  recorderCounters,
  type Session,
  sessionCounters,
  tallyUp,
} from "./session.ts";

type Closing = Extract<Job, { kind: "closing" }>;

/** What nft says of an element or a table that is not there. */
const ABSENT = "No such file or directory";

/** Begins to close an idle session. */
export function startClose(
  state: AgentState,
  session: Session,
  cause: CloseCause,
  now: Millis,
): void {
  const changes = elementsOf(state, session).map(deletion);
  const job: Closing = { kind: "closing", cause, batches: new Set() };
  session.job = job;
  if (changes.length > 0) {
    const batch = state.apply(session.id, changes);
    state.finals.expect(
      [...session.holes.values()].map((claim) => ({ claim })),
      batch,
    );
    job.batches.add(batch);
  }
  finishIfDone(state, session, now);
}

/** All that the kernel holds for a session. */
function elementsOf(state: AgentState, session: Session): readonly Element[] {
  return [
    ...[...session.holes.values()].map(holeElement),
    ...[...session.tallies.values()].flatMap(({ element }) => element ?? []),
    ...state.finals.owed(session.id).map(({ marker }) => marker),
    ...session.markers.values(),
  ];
}

/** The kernel has deleted a batch of a closing session. */
export function takeClosedBatch(
  state: AgentState,
  session: Session,
  job: Closing,
  batch: number,
  now: Millis,
): void {
  job.batches.delete(batch);
  finishIfDone(state, session, now);
}

/**
 * The kernel refused a batch of a closing session: each element is tried alone. One that is not there is gone
 * already; one that stays for any other reason makes the whole table be made anew without it.
 */
export function takeFailedClose(
  state: AgentState,
  session: Session,
  job: Closing,
  failed: { readonly batch: number; readonly changes: readonly Change[]; readonly reason: string },
  now: Millis,
): void {
  job.batches.delete(failed.batch);
  if (failed.changes.length > 1) {
    deleteAlone(state, session, job, failed.changes);
    return;
  }
  if (failed.changes.some(({ element }) => claimsOf(session, element).length > 0))
    session.exact = false;
  if (!failed.reason.includes(ABSENT)) state.rebuildWanted = true;
  state.log("error", "element not deleted", { session: session.id, reason: failed.reason });
  finishIfDone(state, session, now);
}

/** The kernel refused to keep a tally, or a marker, of a session that was going on. */
export function takeUnkept(state: AgentState, session: Session, changes: readonly Change[]): void {
  const left = changes.filter(({ op }) => op === "delete");
  forgetKept(session, changes);
  // Its close named what should have been there by then.
  if (session.job?.kind === "closing") deleteAlone(state, session, session.job, left);
  else for (const { element } of left) session.markers.set(elementName(element), element);
}

/** The kernel's last count of a deleted element. */
export function takeFinal(state: AgentState, element: Element, count: Count, now: Millis): void {
  const deleted = state.finals.take(element);
  const session = deleted && state.sessions.get(deleted.claim.session);
  if (deleted === undefined || session === undefined) return;
  const tally = tallyUp(session, deleted.claim, count);
  if (session.job?.kind === "closing") finishIfDone(state, session, now);
  // The call goes on: the kernel keeps the count, so that a restarted agent still has it.
  else keepTally(state, session, tally, deleted.marker);
}

/** Last counts that did not come in time. */
export function expireFinals(state: AgentState, expired: readonly Deleted[], now: Millis): void {
  for (const { claim, marker } of expired) {
    const session = state.sessions.get(claim.session);
    if (session === undefined) continue;
    session.exact = false;
    // It stays, so that a restarted agent knows as well.
    if (marker !== undefined) session.markers.set(elementName(marker), marker);
    tallyUp(session, claim, NO_COUNT);
    state.log("warn", "last count not heard", { session: session.id, pinhole: claim.pinhole });
    finishIfDone(state, session, now);
  }
}

export function finishIfDone(state: AgentState, session: Session, now: Millis): void {
  const { job } = session;
  if (job?.kind !== "closing" || job.batches.size > 0 || state.finals.awaits(session.id)) return;
  finishClose(state, session, job.cause, now);
}

function deleteAlone(
  state: AgentState,
  session: Session,
  job: Closing,
  deletions: readonly Change[],
): void {
  for (const change of deletions) {
    const batch = state.apply(session.id, [change]);
    state.finals.expect(
      claimsOf(session, change.element).map((claim) => ({ claim })),
      batch,
    );
    job.batches.add(batch);
  }
}

function finishClose(state: AgentState, session: Session, cause: CloseCause, now: Millis): void {
  for (const claim of session.holes.values()) {
    state.claims.delete(claim);
    state.emit({ kind: "unwatch", address: claim.to.address.text, port: claim.to.port });
    tallyUp(session, claim, NO_COUNT);
  }
  state.sessions.delete(session.id);
  report(state, session, cause);
  // One adopted from an earlier agent, and not put again: whether it was recorded only the recorder knows.
  const isAdopted = session.revision === 0;
  if (session.recording !== undefined || isAdopted) {
    const [counters, reason] = [recorderCounters(session), reasonOf(cause)];
    const { id, exact } = session;
    const close = { kind: "relay-close", session: id, reason, counters, exact } as const;
    state.emit(close);
    const { recording } = session;
    state.remember(session, recording ? [orderEffect(id, recording), close] : [], now);
  }
  state.log("info", "session closed", {
    session: session.id,
    reason: reasonOf(cause),
    exact: session.exact,
  });
  state.finishJob(session);
}

function report(state: AgentState, session: Session, cause: CloseCause): void {
  const { exact } = session;
  const counters = sessionCounters(session);
  switch (cause.kind) {
    case "request":
      state.reply(cause.connection, cause.id, { counters, exact });
      return;
    case "expired":
      state.notify(session.owner, {
        kind: "session.expired",
        session: session.id,
        counters,
        exact,
      });
      return;
    case "sync":
      cause.done();
      return;
  }
}

function reasonOf(cause: CloseCause): string {
  if (cause.kind === "request") return cause.reason;
  return cause.kind === "expired" ? "lease ended" : "not named by its controller";
}

/** The session's pinhole that this element is, if it is one. */
function claimsOf(session: Session, element: Element): readonly Claim[] {
  const name = elementName(element);
  return [...session.holes.values()].filter((claim) => elementName(holeElement(claim)) === name);
}
