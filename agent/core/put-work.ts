/**
 * Carries one `session.put` through: recorder and capture first, then the kernel, then the reply. Pure.
 */
import type { ControlError, OrderOutcome, SessionPut } from "../../protocol/control/messages.ts";
import type { Millis } from "../../protocol/machine.ts";
import { type AgentState, deletion, labelOf } from "./agent-state.ts";
import { markerChange, owe } from "./kept-counts.ts";
import { planPut, type Refused } from "./plan-put.ts";
import {
  createSession,
  holeElement,
  type Job,
  orderEffect,
  type PutPlan,
  type Session,
  type Work,
} from "./session.ts";

/** How long a session's first put waits for the recorder's word and for capture before it goes on without. */
export const FIRST_ORDER_TIMEOUT_MS = 1_000;
/** And a later one, such as an answer's, that holds a message which cannot be refused. */
export const ORDER_TIMEOUT_MS = 300;

type JobOf<Kind extends Job["kind"]> = Extract<Job, { kind: Kind }>;

type PutWork = Extract<Work, { kind: "put" }>;

/** Begins a put; its session, if there is one, belongs to `owner` and is idle. */
export function startPut(state: AgentState, work: PutWork, now: Millis): void {
  const { connection, put, owner } = work;
  const present = state.sessions.get(put.session);
  const planned = planPut(put, {
    connection,
    session: present,
    sessions: state.sessions.size,
    claims: state.claims,
    markers: state.finals.owed(put.session).length + (present?.markers.size ?? 0),
    ...state.bounds,
  });
  if (!planned.ok) {
    if (isBlocked(state, work, planned, now)) return;
    state.refuse(connection, put.id, planned.error);
    if (present !== undefined) forgetIfEmpty(state, present);
    return;
  }
  const session = present ?? createSession(put.session, owner, now + put.leaseMs);
  state.sessions.set(session.id, session);
  for (const claim of planned.value.opened) state.claims.add(claim);
  if (needsOrder(session, put)) startOrder(state, session, planned.value, now);
  else startApply(state, session, planned.value, keptOutcome(session, put), now);
}

/** The session that was in the way is gone: what waited for that is begun. */
export function unblock(state: AgentState, id: string, now: Millis): void {
  const session = state.sessions.get(id);
  if (session?.job?.kind !== "blocked") return;
  const { work } = session.job;
  session.job = undefined;
  startPut(state, work, now);
  if (session.job === undefined) state.finishJob(session);
}

/** True if a put has to wait for nothing but the end of another session, which is being closed. */
function isBlocked(state: AgentState, work: PutWork, { inWay }: Refused, now: Millis): boolean {
  const holder = inWay && state.sessions.get(inWay.session);
  if (holder?.job?.kind !== "closing") return false;
  const { session: id, leaseMs } = work.put;
  const session = state.sessions.get(id) ?? createSession(id, work.owner, now + leaseMs);
  state.sessions.set(id, session);
  session.job = { kind: "blocked", work };
  holder.waiting.push({ kind: "unblock", session: id });
  return true;
}

/** A session that never had anything. */
function forgetIfEmpty(state: AgentState, session: Session): boolean {
  if (session.revision > 0 || session.holes.size + session.tallies.size > 0) return false;
  return state.sessions.delete(session.id);
}

/** The recorder answered an order. */
export function takeOrderReply(
  state: AgentState,
  order: string,
  result: OrderOutcome,
  now: Millis,
): void {
  const session = state.ordering.get(order);
  if (session?.job?.kind === "ordering") {
    session.job = { ...session.job, outcome: result };
    proceed(state, session, session.job, now);
    return;
  }
  if (result === "accepted") return;
  for (const late of state.sessions.values())
    if (late.recording?.order === order) tellLateRefusal(state, late, result.refused);
}

/** Capture or the recorder's connection came or went, or time passed. */
export function reviewOrders(state: AgentState, now: Millis): void {
  for (const session of [...state.ordering.values()])
    if (session.job?.kind === "ordering") proceed(state, session, session.job, now);
}

/** The recorder is there (again): it gets every order that still counts, and what ended meanwhile once more. */
export function relayOrders(state: AgentState): void {
  for (const session of state.sessions.values()) {
    const { job, recording, id } = session;
    if (job?.kind === "ordering") relay(state, id, job.order, job.plan.put);
    else if (recording !== undefined) state.emit(orderEffect(id, recording));
  }
  for (const { untold } of state.remembered.values())
    for (const effect of untold) state.emit(effect);
}

/** The kernel has it: what was put is what is. */
export function finishPut(
  state: AgentState,
  session: Session,
  { plan, outcome, order }: JobOf<"applying">,
  now: Millis,
): void {
  const { connection, put } = plan;
  for (const claim of plan.closed) state.claims.delete(claim);
  for (const { to } of plan.opened)
    state.emit({ kind: "watch", address: to.address.text, port: to.port });
  session.revision = put.revision;
  session.holes = plan.holes;
  state.setLease(session, now + put.leaseMs);
  if (put.recording !== undefined && outcome !== undefined)
    session.recording = { request: put.recording, outcome, order };
  const { id } = put;
  state.reply(connection, id, { applied: put.revision, ...(outcome && { recording: outcome }) });
  const [opened, closed] = [plan.opened.length, plan.closed.length];
  if (opened + closed > 0)
    state.log("info", "session applied", {
      session: session.id,
      revision: put.revision,
      opened,
      closed,
    });
  state.finishJob(session);
}

/** Nothing was changed in the kernel: nothing is changed here. */
export function undoPut(
  state: AgentState,
  session: Session,
  plan: PutPlan,
  error: ControlError,
): void {
  for (const claim of plan.opened) state.claims.delete(claim);
  state.refuse(plan.connection, plan.put.id, error);
  state.finishJob(session);
  if (!forgetIfEmpty(state, session) || plan.put.recording === undefined) return;
  state.emit({
    kind: "relay-close",
    session: session.id,
    reason: "not applied",
    counters: {},
    exact: true,
  });
}

/** A revision's order goes to the recorder once; a renewal repeats its outcome. */
function needsOrder(session: Session, put: SessionPut): boolean {
  if (put.recording === undefined) return false;
  return session.recording === undefined || put.revision > session.revision;
}

function keptOutcome(session: Session, put: SessionPut): OrderOutcome | undefined {
  return put.recording === undefined ? undefined : session.recording?.outcome;
}

function startOrder(state: AgentState, session: Session, plan: PutPlan, now: Millis): void {
  const order = state.newOrder();
  const timeoutMs = session.revision === 0 ? FIRST_ORDER_TIMEOUT_MS : ORDER_TIMEOUT_MS;
  const deadline = now + timeoutMs;
  const job: Job = { kind: "ordering", plan, order, outcome: undefined, deadline };
  session.job = job;
  state.ordering.set(order, session);
  if (state.recorderConnected) relay(state, session.id, order, plan.put);
}

function relay(
  state: AgentState,
  session: string,
  order: string,
  { recording }: Pick<SessionPut, "recording">,
): void {
  if (recording !== undefined) state.emit(orderEffect(session, { order, request: recording }));
}

function proceed(state: AgentState, session: Session, job: JobOf<"ordering">, now: Millis): void {
  const { plan, order } = job;
  const isRefused = job.outcome !== undefined && job.outcome !== "accepted";
  const isComplete = job.outcome !== undefined && (state.captureReady || isRefused);
  if (!isComplete && job.deadline > now) return;
  state.ordering.delete(order);
  const outcome = isComplete ? job.outcome : missingOutcome(state);
  const isTaken = outcome === "accepted";
  if (plan.put.recording?.required === true && !isTaken) {
    const message = `must be recorded: ${outcome.refused}`;
    undoPut(state, session, plan, { code: "ERR_CONTROL_STATE", path: "recording", message });
    return;
  }
  startApply(state, session, plan, outcome, now, order);
}

function missingOutcome(state: AgentState): OrderOutcome & object {
  if (!state.captureReady) return { refused: "capture does not run" };
  if (!state.recorderConnected) return { refused: "recorder not reachable" };
  return { refused: "recorder did not answer" };
}

function startApply(
  state: AgentState,
  session: Session,
  plan: PutPlan,
  outcome: OrderOutcome | undefined,
  now: Millis,
  order = session.recording?.order ?? "",
): void {
  const owed = owe(state, plan.closed);
  const changes = [
    ...owed.flatMap(({ claim, marker }) => [
      deletion(holeElement(claim)),
      markerChange(session, claim.pinhole, marker),
    ]),
    ...plan.opened.map((claim) => ({
      op: "add" as const,
      element: holeElement(claim),
      label: labelOf(session, claim.pinhole),
    })),
  ];
  const job: JobOf<"applying"> = { kind: "applying", plan, batch: 0, outcome, order };
  if (changes.length === 0) {
    finishPut(state, session, job, now);
    return;
  }
  const batch = state.apply(session.id, changes);
  state.finals.expect(owed, batch);
  session.job = { ...job, batch };
}

function tellLateRefusal(state: AgentState, session: Session, reason: string): void {
  if (session.recording === undefined || session.recording.outcome !== "accepted") return;
  const { recording } = session.recording.request;
  session.recording = { ...session.recording, outcome: { refused: reason } };
  state.notify(session.owner, { kind: "refused", session: session.id, recording, reason });
}
