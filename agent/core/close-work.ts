/**
 * Closes sessions, and collects what the kernel counted to the last packet. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { type AgentState, deletion, labelOf } from "./agent-state.ts";
import type { Claim } from "./claims.ts";
import { type Count, type Element, NO_COUNT } from "./element.ts";
import type { Change } from "./rules.ts";
import {
  type CloseCause,
  holeElement,
  type Job,
  recorderCounters,
  type Session,
  sessionCounters,
  tallyKey,
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
  const tallies = [...session.tallies.values()].flatMap(({ element }) => element ?? []);
  const changes = [...[...session.holes.values()].map(holeElement), ...tallies].map(deletion);
  const job: Closing = { kind: "closing", cause, batches: new Set() };
  session.job = job;
  if (changes.length > 0) {
    const batch = state.apply(session.id, changes);
    state.finals.expect([...session.holes.values()], batch);
    job.batches.add(batch);
  }
  finishIfDone(state, session, now);
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
  const holes = [...session.holes.values()];
  if (failed.changes.length > 1) {
    for (const change of failed.changes) {
      const batch = state.apply(session.id, [change]);
      state.finals.expect(
        holes.filter((claim) => isSame(holeElement(claim), change.element)),
        batch,
      );
      job.batches.add(batch);
    }
    return;
  }
  if (
    holes.some((claim) => failed.changes.some(({ element }) => isSame(element, holeElement(claim))))
  )
    session.exact = false;
  if (!failed.reason.includes(ABSENT)) state.rebuildWanted = true;
  state.log("error", "element not deleted", { session: session.id, reason: failed.reason });
  finishIfDone(state, session, now);
}

/** The kernel's last count of a deleted element. */
export function takeFinal(state: AgentState, element: Element, count: Count, now: Millis): void {
  const claim = state.finals.take(element);
  const session = claim && state.sessions.get(claim.session);
  if (session !== undefined) settle(state, session, claim as Claim, count, now);
}

/** Last counts that did not come in time. */
export function expireFinals(state: AgentState, claims: readonly Claim[], now: Millis): void {
  for (const claim of claims) {
    const session = state.sessions.get(claim.session);
    if (session === undefined) continue;
    session.exact = false;
    state.log("warn", "last count not heard", { session: session.id, pinhole: claim.pinhole });
    settle(state, session, claim, NO_COUNT, now);
  }
}

export function finishIfDone(state: AgentState, session: Session, now: Millis): void {
  const { job } = session;
  if (job?.kind !== "closing" || job.batches.size > 0 || state.finals.awaits(session.id)) return;
  finishClose(state, session, job.cause, now);
}

function settle(
  state: AgentState,
  session: Session,
  claim: Claim,
  count: Count,
  now: Millis,
): void {
  const before = session.tallies.get(tallyKey(claim))?.element;
  const { element, count: sum } = tallyUp(session, claim, count, state.newSerial());
  if (session.job?.kind === "closing") {
    finishIfDone(state, session, now);
    return;
  }
  // The call goes on: the kernel keeps the count, so that a restarted agent still has it.
  const label = labelOf(session, claim.pinhole);
  const kept: Change = { op: "add", element, label, count: sum };
  state.apply(session.id, before === undefined ? [kept] : [deletion(before), kept]);
}

function finishClose(state: AgentState, session: Session, cause: CloseCause, now: Millis): void {
  for (const claim of session.holes.values()) {
    state.claims.delete(claim);
    state.emit({ kind: "unwatch", address: claim.to.address.text, port: claim.to.port });
    if (!session.tallies.has(tallyKey(claim))) tallyUp(session, claim, NO_COUNT, 0);
  }
  state.sessions.delete(session.id);
  report(state, session, cause);
  // One adopted from an earlier agent, and not put again: whether it was recorded only the recorder knows.
  const isAdopted = session.revision === 0;
  if (session.recording !== undefined || isAdopted) {
    const [counters, reason] = [recorderCounters(session), reasonOf(cause)];
    const { id, exact } = session;
    state.emit({ kind: "relay-close", session: id, reason, counters, exact });
    state.remember(session, now);
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

function isSame(left: Element, right: Element): boolean {
  return left.set === right.set && left.key === right.key;
}
