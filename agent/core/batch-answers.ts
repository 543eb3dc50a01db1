/**
 * The kernel's answers, handed to the job that waits for them. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { AgentState } from "./agent-state.ts";
import { takeClosedBatch, takeFailedClose, takeUnkept } from "./close-work.ts";
import { finishPut, undoPut } from "./put-work.ts";

/** The kernel has the batch. */
export function takeApplied(state: AgentState, batch: number, now: Millis): void {
  const { session: id = "" } = state.batches.get(batch) ?? {};
  state.batches.delete(batch);
  state.finals.due(batch, now);
  const session = state.sessions.get(id);
  const job = session?.job;
  if (session === undefined) return;
  if (job?.kind === "applying" && job.batch === batch) finishPut(state, session, job, now);
  else if (job?.kind === "closing" && job.batches.has(batch))
    takeClosedBatch(state, session, job, batch, now);
}

/** The kernel has nothing of the batch. */
export function takeFailed(state: AgentState, batch: number, reason: string, now: Millis): void {
  const { session: id = "", changes = [] } = state.batches.get(batch) ?? {};
  state.batches.delete(batch);
  state.finals.cancel(batch);
  const session = state.sessions.get(id);
  const job = session?.job;
  if (session !== undefined && job?.kind === "applying" && job.batch === batch) {
    undoPut(state, session, job.plan, { code: "ERR_CONTROL_APPLY", message: reason });
    return;
  }
  if (session !== undefined && job?.kind === "closing" && job.batches.has(batch)) {
    takeFailedClose(state, session, job, { batch, changes, reason }, now);
    return;
  }
  if (session !== undefined) takeUnkept(state, session, changes);
  state.log("warn", "count not kept in the kernel", { session: id, reason });
}
