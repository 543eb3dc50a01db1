/**
 * What the parts of the agent's machine share: sessions, claims, batches under way, effects to come. Pure.
 */
import type {
  AgentMessage,
  ControlError,
  ControlEvent,
  OkReply,
} from "../../protocol/control/messages.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { AgentEffect, ConnectionId, LogLevel } from "./agent-effect.ts";
import { Claims } from "./claims.ts";
import type { Element, Label } from "./element.ts";
import { FinalCounts } from "./final-counts.ts";
import type { PutLimits } from "./plan-put.ts";
import type { Realm } from "./realm.ts";
import type { Change } from "./rules.ts";
import type { Session } from "./session.ts";

export interface AgentBounds {
  readonly realm: Realm;
  readonly limits: PutLimits;
}

/** A closed session whose recording is not closed yet. */
interface Remembered {
  readonly owner: string;
  readonly until: Millis;
  /** What a recorder that lost its connection meanwhile is told again; none for an adopted session. */
  readonly untold: readonly AgentEffect[];
}

/** How long the recorder's last word on a closed session still finds its controller. */
export const AFTERLIFE_MS = 60_000;

interface Batch {
  readonly session: string;
  readonly changes: readonly Change[];
}

type LogFields = Readonly<Record<string, string | number | boolean>>;

export class AgentState {
  readonly bounds: AgentBounds;
  readonly sessions = new Map<string, Session>();
  readonly claims = new Claims();
  readonly finals = new FinalCounts();
  /** Under way to the kernel, by number. */
  readonly batches = new Map<number, Batch>();
  /** The controller of each connection that said hello. */
  readonly owners = new Map<ConnectionId, string>();
  /** Sessions whose put waits for the recorder or for capture, by order. */
  readonly ordering = new Map<string, Session>();
  readonly remembered = new Map<string, Remembered>();
  firewallReady = false;
  captureReady = false;
  recorderConnected = false;
  /** The kernel's table is not what this state says: it is to be made anew. */
  rebuildWanted = false;
  nextSerial = 1;
  #nextBatch = 1;
  #nextOrder = 1;
  #earliestLease: Millis | undefined;
  #idle: Session[] = [];
  #effects: AgentEffect[] = [];

  constructor(bounds: AgentBounds) {
    this.bounds = bounds;
  }

  emit(effect: AgentEffect): void {
    this.#effects.push(effect);
  }

  takeEffects(): readonly AgentEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  send(connection: ConnectionId, message: AgentMessage): void {
    this.emit({ kind: "send", connection, message });
  }

  reply(connection: ConnectionId, id: string, fields: Omit<OkReply, "kind" | "id" | "ok">): void {
    this.send(connection, { kind: "reply", id, ok: true, ...fields });
  }

  refuse(connection: ConnectionId, id: string, error: ControlError): void {
    this.send(connection, { kind: "reply", id, ok: false, error });
    const { code, path = "" } = error;
    this.log("warn", "request refused", { code, path });
  }

  /** To every connection of the controller. */
  notify(owner: string, event: ControlEvent): void {
    for (const [connection, name] of this.owners) if (name === owner) this.send(connection, event);
  }

  log(level: LogLevel, message: string, fields: LogFields = {}): void {
    this.emit({ kind: "log", level, message, fields });
  }

  /** Sends changes to the kernel as one transaction; the batch's number comes back with its answer. */
  apply(session: string, changes: readonly Change[]): number {
    const batch = this.#nextBatch++;
    this.batches.set(batch, { session, changes });
    this.emit({ kind: "apply", batch, changes });
    return batch;
  }

  newOrder(): string {
    return String(this.#nextOrder++);
  }

  newSerial(): number {
    return this.nextSerial++;
  }

  /** The session's job is done: what waits for it may begin. */
  finishJob(session: Session): void {
    session.job = undefined;
    this.#idle.push(session);
  }

  takeIdle(): Session | undefined {
    return this.#idle.shift();
  }

  remember({ id, owner }: Session, untold: readonly AgentEffect[], now: Millis): void {
    this.remembered.set(id, { owner, until: now + AFTERLIFE_MS, untold });
  }

  setLease(session: Session, leaseUntil: Millis): void {
    session.leaseUntil = leaseUntil;
    this.#earliestLease = Math.min(this.#earliestLease ?? leaseUntil, leaseUntil);
  }

  /** Sessions whose lease ended; those with a job come again when it is done. */
  takeExpired(now: Millis): readonly Session[] {
    if (this.#earliestLease === undefined || this.#earliestLease > now) return [];
    const sessions = [...this.sessions.values()].filter(({ job }) => job?.kind !== "closing");
    const living = sessions.filter(({ leaseUntil }) => leaseUntil > now);
    this.#earliestLease = living.reduce<Millis | undefined>(
      (least, { leaseUntil }) => Math.min(least ?? leaseUntil, leaseUntil),
      undefined,
    );
    return sessions.filter(({ leaseUntil }) => leaseUntil <= now);
  }

  /** No later than the first lease's end. */
  leaseDeadline(): Millis | undefined {
    return this.#earliestLease;
  }
}

/** Forgets closed sessions in whose recording nobody may be interested any more. */
export function forget(remembered: Map<string, Remembered>, now: Millis): void {
  // In order of insertion, and so of time.
  for (const [session, { until }] of remembered) {
    if (until > now) return;
    remembered.delete(session);
  }
}

/** The label of an element of this session. */
export function labelOf(session: Session, pinhole: string): Label {
  return { owner: session.owner, session: session.id, pinhole };
}

export function deletion(element: Element): Change {
  return { op: "delete", element };
}
