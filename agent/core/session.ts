/**
 * A session as the agent holds it: what the kernel has for it and what is being done about it. Pure.
 */
import type {
  Counters,
  OrderOutcome,
  RecordingRequest,
  SessionPut,
} from "../../protocol/control/messages.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { AgentEffect, ClosedCount, ConnectionId } from "./agent-effect.ts";
import type { Claim } from "./claims.ts";
import {
  addCounts,
  type Count,
  type Element,
  type Endpoint,
  filterElement,
  NO_COUNT,
} from "./element.ts";

/**
 * What closed pinholes of one id and one destination let through so far; `element` keeps it in the kernel across a
 * restart.
 */
export interface Tally {
  readonly pinhole: string;
  readonly to: Endpoint;
  readonly count: Count;
  readonly element?: Element;
}

type TallyOf = Pick<Tally, "pinhole" | "to">;

export interface SessionRecording {
  readonly request: RecordingRequest;
  readonly outcome: OrderOutcome;
  /** Under which number the recorder knows the latest order. */
  readonly order: string;
}

/** What a put will change, checked and not yet done. */
export interface PutPlan {
  readonly connection: ConnectionId;
  readonly put: SessionPut;
  /** Wanted pinholes by id; those that stay are the session's own claims. */
  readonly holes: ReadonlyMap<string, Claim>;
  readonly opened: readonly Claim[];
  readonly closed: readonly Claim[];
}

/** What waits for its session's present job. */
export type Work =
  | {
      readonly kind: "put";
      readonly connection: ConnectionId;
      readonly owner: string;
      readonly put: SessionPut;
    }
  | { readonly kind: "close"; readonly cause: CloseCause }
  /** A session that is blocked by this one. */
  | { readonly kind: "unblock"; readonly session: string };

export type Job =
  /** Waits for another session, which is being closed, to give up what this one wants. */
  | { readonly kind: "blocked"; readonly work: Extract<Work, { kind: "put" }> }
  /** Waits for the recorder's word and for capture. */
  | {
      readonly kind: "ordering";
      readonly plan: PutPlan;
      readonly order: string;
      readonly outcome: OrderOutcome | undefined;
      readonly deadline: Millis;
    }
  /** Waits for the kernel. */
  | {
      readonly kind: "applying";
      readonly plan: PutPlan;
      readonly batch: number;
      readonly outcome: OrderOutcome | undefined;
      readonly order: string;
    }
  /** Waits for the kernel, then for its last counts. */
  | {
      readonly kind: "closing";
      readonly cause: CloseCause;
      /** Not yet answered. */
      readonly batches: Set<number>;
    };

export type CloseCause =
  | {
      readonly kind: "request";
      readonly connection: ConnectionId;
      readonly owner: string;
      readonly id: string;
      readonly reason: string;
    }
  | { readonly kind: "expired" }
  | { readonly kind: "sync"; readonly done: () => void };

export interface Session {
  readonly id: string;
  readonly owner: string;
  revision: number;
  leaseUntil: Millis;
  /** By pinhole id: what the kernel lets through now. */
  holes: ReadonlyMap<string, Claim>;
  /** By `tallyKey`. */
  readonly tallies: Map<string, Tally>;
  /** Pinholes of which a packet was seen. */
  readonly active: Set<string>;
  /**
   * By name: elements that stay in the kernel to the session's end. They tell a restarted agent that `exact` is false,
   * or should have been deleted and were not.
   */
  readonly markers: Map<string, Element>;
  /** False once the kernel's last word on a pinhole was missed. */
  exact: boolean;
  recording: SessionRecording | undefined;
  job: Job | undefined;
  readonly waiting: Work[];
}

export function createSession(id: string, owner: string, leaseUntil: Millis): Session {
  return {
    id,
    owner,
    revision: 0,
    leaseUntil,
    holes: new Map(),
    tallies: new Map(),
    active: new Set(),
    markers: new Map(),
    exact: true,
    recording: undefined,
    job: undefined,
    waiting: [],
  };
}

export function holeElement({ from, to }: Claim): Element {
  return filterElement(from, to);
}

/** Adds a closed pinhole's count to its id's tally; returns the tally, which the kernel does not have yet. */
export function tallyUp(session: Session, { pinhole, to }: TallyOf, count: Count): Tally {
  const key = tallyKey({ pinhole, to });
  const before = session.tallies.get(key) ?? { pinhole, to, count: NO_COUNT };
  const tally: Tally = { ...before, count: addCounts(before.count, count) };
  session.tallies.set(key, tally);
  return tally;
}

/** Notes by which element the kernel keeps a tally, if it does. */
export function keepElement(
  session: Session,
  { pinhole, to, count }: Tally,
  element: Element | undefined,
): void {
  const tally = { pinhole, to, count, ...(element && { element }) };
  session.tallies.set(tallyKey(tally), tally);
}

/** The order as it goes to the recorder. */
export function orderEffect(
  session: string,
  { order, request }: Pick<SessionRecording, "order" | "request">,
): Extract<AgentEffect, { kind: "relay-order" }> {
  return { kind: "relay-order", order, session, ...request };
}

/** One tally an id and destination: a forked call's answer may lead the same pinhole elsewhere. */
export function tallyKey({ pinhole, to }: TallyOf): string {
  return `${pinhole} ${to.address.text} ${to.port}`;
}

/** The counts by pinhole id, for the controller. */
export function sessionCounters(session: Session): Counters {
  const counters = new Map<string, Count>();
  for (const { pinhole, count } of session.tallies.values())
    counters.set(pinhole, addCounts(counters.get(pinhole) ?? NO_COUNT, count));
  return Object.fromEntries(counters);
}

/**
 * The counts with the destinations they were for, for the recorder: by pinhole id, and by `id@2` and so on for the
 * further destinations of one id.
 */
export function recorderCounters(session: Session): Readonly<Record<string, ClosedCount>> {
  const counters = new Map<string, ClosedCount>();
  for (const { pinhole, to, count } of session.tallies.values()) {
    let name = pinhole;
    for (let nth = 2; counters.has(name); nth += 1) name = `${pinhole}@${nth}`;
    counters.set(name, { ...count, to: { address: to.address.text, port: to.port } });
  }
  return Object.fromEntries(counters);
}
