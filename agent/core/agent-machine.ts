/**
 * The agent as a machine: who may ask what, what happens to which session, what is told to whom. It holds what
 * should be and emits what has to change; the kernel's sets hold it through a restart. Pure.
 */
import { createHash } from "node:crypto";
import {
  CONTROL_VERSION,
  type ControlError,
  type ControlRequest,
  type HealthReport,
  type Hello,
  MAX_CLOSED_NAMED,
  type SyncEnd,
} from "../../protocol/control/messages.ts";
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import type { AgentEffect, AgentInput, ConnectionId } from "./agent-effect.ts";
import { type AgentBounds, AgentState, forget } from "./agent-state.ts";
import { takeApplied, takeFailed } from "./batch-answers.ts";
import { expireFinals, startClose, takeFinal } from "./close-work.ts";
import {
  adopt,
  type KernelListing,
  rebuildIfWanted,
  takeLoss,
  takeRuleLoss,
} from "./kernel-state.ts";
import { relayOrders, reviewOrders, startPut, takeOrderReply, unblock } from "./put-work.ts";
import type { CloseCause, Session, Work } from "./session.ts";
import { tellActive, tellLoss, tellRecordingClosed } from "./tell-controllers.ts";

/** Requests that may wait for one session's present job. */
export const MAX_WAITING_REQUESTS = 16;

export class AgentMachine implements Machine<AgentInput, AgentEffect> {
  readonly #state: AgentState;
  /** Reconciliations under way, by controller: the sessions named so far. */
  readonly #syncs = new Map<string, Set<string>>();

  constructor(bounds: AgentBounds) {
    this.#state = new AgentState(bounds);
  }

  /** Takes over what the kernel holds; once, before any input. */
  adopt(listing: KernelListing, now: Millis): readonly AgentEffect[] {
    adopt(this.#state, listing, now);
    return this.#state.takeEffects();
  }

  handle(input: AgentInput, now: Millis): readonly AgentEffect[] {
    this.#take(input, now);
    for (let idle = this.#state.takeIdle(); idle !== undefined; idle = this.#state.takeIdle())
      this.#next(idle, now);
    rebuildIfWanted(this.#state);
    return this.#state.takeEffects();
  }

  /** True if the kernel owes no answer and no count. */
  get isAtRest(): boolean {
    const { batches, finals } = this.#state;
    return batches.size === 0 && finals.isEmpty;
  }

  deadline(): Millis | undefined {
    const { finals, ordering, remembered } = this.#state;
    const [firstRemembered] = remembered.values();
    const orders = [...ordering.values()].flatMap(({ job }) =>
      job?.kind === "ordering" ? job.deadline : [],
    );
    const all = [this.#state.leaseDeadline(), finals.deadline(), firstRemembered?.until, ...orders];
    const known = all.filter((deadline) => deadline !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  #take(input: AgentInput, now: Millis): void {
    const state = this.#state;
    switch (input.kind) {
      case "request":
        this.#takeRequest(input.connection, input.request, now);
        return;
      case "disconnected":
        state.owners.delete(input.connection);
        return;
      case "applied":
        takeApplied(state, input.batch, now);
        return;
      case "apply-failed":
        takeFailed(state, input.batch, input.reason, now);
        return;
      case "final":
        takeFinal(state, input.element, { packets: input.packets, bytes: input.bytes }, now);
        return;
      case "firewall-lost":
        takeLoss(state, now);
        return;
      case "rules-lost":
        takeRuleLoss(state);
        return;
      case "firewall":
        state.firewallReady = input.ready;
        return;
      case "order-reply":
        takeOrderReply(state, input.order, input.result, now);
        return;
      case "recording-closed":
        tellRecordingClosed(state, input);
        return;
      case "capture":
        state.captureReady = input.ready;
        reviewOrders(state, now);
        return;
      case "recorder":
        state.recorderConnected = input.connected;
        if (input.connected) relayOrders(state);
        return;
      case "gap":
        tellLoss(state, input);
        return;
      case "seen":
        tellActive(state, input.packet);
        return;
      case "tick":
        this.#tick(now);
        return;
      default:
        assertNever(input);
    }
  }

  #takeRequest(connection: ConnectionId, request: ControlRequest, now: Millis): void {
    const state = this.#state;
    if (request.kind === "hello") {
      takeHello(state, connection, request);
      return;
    }
    const owner = state.owners.get(connection);
    if (owner === undefined) {
      state.refuse(connection, request.id, fault("kind", "hello comes first"));
      return;
    }
    switch (request.kind) {
      case "session.put":
        this.#syncs.get(owner)?.add(request.session);
        this.#submitPut({ kind: "put", connection, owner, put: request }, now);
        return;
      case "session.close": {
        const { id, session, reason } = request;
        const cause = { kind: "request", connection, owner, id, reason } as const;
        this.#submitClose(session, cause, now);
        return;
      }
      case "sync.begin":
        this.#syncs.set(owner, new Set());
        state.reply(connection, request.id, {});
        return;
      case "sync.end":
        this.#endSync({ connection, owner, ...request }, now);
        return;
      case "health":
        state.reply(connection, request.id, { health: health(state) });
        return;
      default:
        assertNever(request);
    }
  }

  #submitPut(work: Extract<Work, { kind: "put" }>, now: Millis): void {
    const session = this.#state.sessions.get(work.put.session);
    if (session !== undefined && session.owner !== work.owner) {
      const error = fault("session", "held by another controller");
      this.#state.refuse(work.connection, work.put.id, error);
      return;
    }
    if (session?.job === undefined) startPut(this.#state, work, now);
    else this.#wait(session, work, work.connection, work.put.id);
  }

  #submitClose(id: string, cause: Extract<CloseCause, { kind: "request" }>, now: Millis): void {
    const session = this.#state.sessions.get(id);
    if (session === undefined || session.owner !== cause.owner) {
      this.#state.refuse(cause.connection, cause.id, fault("session", "no such session"));
      return;
    }
    if (session.job === undefined) startClose(this.#state, session, cause, now);
    else this.#wait(session, { kind: "close", cause }, cause.connection, cause.id);
  }

  #wait(session: Session, work: Work, connection: ConnectionId, id: string): void {
    if (session.waiting.length < MAX_WAITING_REQUESTS) {
      session.waiting.push(work);
      return;
    }
    const message = "too many requests wait for this session";
    this.#state.refuse(connection, id, { code: "ERR_CONTROL_LIMIT", path: "session", message });
  }

  /** Begins what waits for a session; what waits for one that is gone is asked anew. */
  #next(session: Session, now: Millis): void {
    const isThere = () => this.#state.sessions.get(session.id) === session;
    while (session.job === undefined || !isThere()) {
      const work = session.waiting.shift();
      if (work === undefined) break;
      this.#run(session.id, work, now);
    }
    if (isThere() && session.job === undefined && session.leaseUntil <= now)
      startClose(this.#state, session, { kind: "expired" }, now);
  }

  #run(id: string, work: Work, now: Millis): void {
    if (work.kind === "put") {
      this.#submitPut(work, now);
      return;
    }
    if (work.kind === "unblock") {
      unblock(this.#state, work.session, now);
      return;
    }
    if (work.cause.kind === "request") {
      this.#submitClose(id, work.cause, now);
      return;
    }
    const session = this.#state.sessions.get(id);
    if (session?.job !== undefined) session.waiting.push(work);
    else if (session !== undefined) startClose(this.#state, session, work.cause, now);
    else if (work.cause.kind === "sync") work.cause.done();
  }

  #endSync({ connection, owner, id, count }: SyncEnd & Asker, now: Millis): void {
    const state = this.#state;
    const named = this.#syncs.get(owner);
    if (named === undefined) {
      state.refuse(connection, id, fault("kind", "no sync.begin"));
      return;
    }
    if (named.size !== count) {
      state.refuse(connection, id, fault("count", `${named.size} sessions were named`));
      return;
    }
    this.#syncs.delete(owner);
    const left = [...state.sessions.values()].filter(
      (session) => session.owner === owner && !named.has(session.id),
    );
    const closed = left.slice(0, MAX_CLOSED_NAMED).map((session) => session.id);
    let open = left.length;
    const reply = () => state.reply(connection, id, { closed, closedCount: left.length });
    const done = () => {
      open -= 1;
      if (open === 0) reply();
    };
    if (open === 0) reply();
    for (const session of left)
      if (session.job === undefined) startClose(state, session, { kind: "sync", done }, now);
      else session.waiting.push({ kind: "close", cause: { kind: "sync", done } });
  }

  #tick(now: Millis): void {
    const state = this.#state;
    expireFinals(state, state.finals.expire(now), now);
    reviewOrders(state, now);
    for (const session of state.takeExpired(now))
      if (session.job === undefined) startClose(state, session, { kind: "expired" }, now);
    forget(state.remembered, now);
  }
}

interface Asker {
  readonly connection: ConnectionId;
  readonly owner: string;
}

function takeHello(state: AgentState, connection: ConnectionId, { id, controller }: Hello): void {
  const owner = ownerTag(controller);
  const present = state.owners.get(connection);
  if (present !== undefined && present !== owner) {
    state.refuse(connection, id, fault("controller", "this connection speaks for another"));
    return;
  }
  state.owners.set(connection, owner);
  state.reply(connection, id, { version: CONTROL_VERSION });
}

function health({
  firewallReady: firewall,
  captureReady: capture,
  recorderConnected: recorder,
  sessions,
  claims,
}: AgentState): HealthReport {
  return { firewall, capture, recorder, sessions: sessions.size, pinholes: claims.size };
}

/** What stands for a controller's name in the kernel, where room is short. */
function ownerTag(controller: string): string {
  return createHash("sha256").update(controller).digest("hex").slice(0, 16);
}

function fault(path: string, message: string): ControlError {
  return { code: "ERR_CONTROL_STATE", path, message };
}
