/**
 * The controller's side of the control socket: states what each session should be, renews leases,
 * and after a reconnect says it all again (`sync.begin`, puts, `sync.end`). Pure.
 *
 *     down ──connect──▶ greeting ──hello accepted──▶ up
 *      ▲                                              │
 *      └───────────── connection lost ────────────────┘
 *
 * The agent lets no two sessions share a packet. A put that would is held back until the session in
 * its way has narrowed or is closed: the answer of one phone while another's is being opened, a
 * caller who dials again from the same port.
 */
import {
  type AgentMessage,
  CONTROL_VERSION,
  type ControlEvent,
  type ControlReply,
  type Counters,
} from "../../protocol/control/messages.ts";
import { assertNever } from "../../protocol/errors.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import { DeadlineQueue } from "../../protocol/sip/deadline-queue.ts";
import type { AgentClientEffect, AgentClientInput, WantedSession } from "./agent-client-port.ts";
import { ClaimedDestinations } from "./claimed-destinations.ts";
import { HeldPuts } from "./held-puts.ts";
import type { GatewayVerdict } from "./verdict.ts";

/** Pause between two attempts to connect. */
export const RECONNECT_MS = 500;
/** How long the agent may take over anything that nobody else waits for. */
export const HOUSEKEEPING_TIMEOUT_MS = 5_000;

type Link =
  | { readonly kind: "down"; readonly retryAt: Millis }
  | { readonly kind: "connecting" }
  | { readonly kind: "greeting" }
  | { readonly kind: "up" };

interface Pending {
  readonly asked: "hello" | "put" | "again" | "close" | "sync";
  readonly session: string;
  readonly revision: number;
  /** What it may open, or still have open, until it is answered. */
  readonly claims: readonly WantedSession[];
}

export class AgentClient implements Machine<AgentClientInput, AgentClientEffect> {
  readonly #controller: string;
  #link: Link = { kind: "down", retryAt: 0 };
  /** What the agent applied: renewed, and put again after a reconnect. */
  readonly #kept = new Map<string, WantedSession>();
  /** Puts on their way, by request id. */
  readonly #asking = new Map<string, WantedSession>();
  readonly #pending = new Map<string, Pending>();
  readonly #held = new HeldPuts();
  readonly #claimed = new ClaimedDestinations();
  readonly #replyBy = new DeadlineQueue();
  readonly #renewAt = new DeadlineQueue();
  #requests = 0;
  #epoch = 0;

  /** @param controller The host name that owns the sessions. */
  constructor(controller: string) {
    this.#controller = controller;
  }

  handle(input: AgentClientInput, now: Millis): readonly AgentClientEffect[] {
    return [...this.#take(input, now), ...this.#release(now)];
  }

  #take(input: AgentClientInput, now: Millis): readonly AgentClientEffect[] {
    switch (input.kind) {
      case "resume":
        for (const wanted of input.sessions) this.#keep(wanted, now);
        return this.#tick(now);
      case "connected":
        return this.#greet(now);
      case "disconnected":
        return this.#lose(now);
      case "message":
        return this.#receive(input.message, now);
      case "put":
        return input.background === true
          ? this.#putBehind(input.session, now)
          : this.#put(input.session, now, input.timeoutMs);
      case "close":
        return this.#close(input.session, input.reason, now);
      case "close-all":
        return this.#closeAll(input.reason, now);
      case "tick":
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  /** True while the agent owes a reply. */
  get isWaiting(): boolean {
    return this.#pending.size > 0;
  }

  deadline(): Millis | undefined {
    if (this.#link.kind === "down") return this.#link.retryAt;
    const renewal = this.#link.kind === "up" ? this.#renewAt.next() : undefined;
    const times = [this.#replyBy.next(), renewal, ...this.#held.deadlines()];
    const set = times.filter((time) => time !== undefined);
    return set.length === 0 ? undefined : Math.min(...set);
  }

  #greet(now: Millis): readonly AgentClientEffect[] {
    this.#link = { kind: "greeting" };
    const id = this.#ask({ asked: "hello" }, now, HOUSEKEEPING_TIMEOUT_MS);
    const controller = this.#controller;
    const hello = { kind: "hello", version: CONTROL_VERSION, controller, id } as const;
    return [{ kind: "send", request: hello }];
  }

  #lose(now: Millis): readonly AgentClientEffect[] {
    const wasUp = this.#link.kind === "up";
    this.#link = { kind: "down", retryAt: now + RECONNECT_MS };
    const unsettled = [...this.#asking.values(), ...this.#held.takeAll().map(wantedOf)];
    const failed = unsettled.map((wanted) => fail(wanted, "gateway-gone"));
    for (const id of [...this.#pending.keys()]) this.#answered(id);
    this.#asking.clear();
    return [...(wasUp ? [{ kind: "availability", up: false } as const] : []), ...failed];
  }

  #put(wanted: WantedSession, now: Millis, timeoutMs: number): readonly AgentClientEffect[] {
    if (this.#link.kind !== "up") return [fail(wanted, "gateway-gone")];
    this.#held.hold({ wanted, deadline: now + timeoutMs });
    return [];
  }

  /** What narrows is in nobody's way; while the agent is away it is what comes after. */
  #putBehind(wanted: WantedSession, now: Millis): readonly AgentClientEffect[] {
    this.#held.drop(wanted.session);
    return this.#link.kind === "up" ? this.#again(wanted, now) : this.#keep(wanted, now);
  }

  /** Sends the puts that nothing stands in the way of any more. */
  #release(now: Millis): readonly AgentClientEffect[] {
    return this.#held.release(
      (wanted) => this.#claimed.isObstructed(wanted),
      ({ wanted, deadline }) => this.#send(wanted, now, deadline - now),
    );
  }

  #send(wanted: WantedSession, now: Millis, timeoutMs: number): readonly AgentClientEffect[] {
    const { session, revision } = wanted;
    const before = this.#kept.get(session);
    // The older revision must not be renewed behind the newer one's back.
    if (before !== undefined) this.#renewAt.set(session, now + renewalMs(before));
    const id = this.#ask({ asked: "put", session, revision, claims: [wanted] }, now, timeoutMs);
    this.#asking.set(id, wanted);
    return [{ kind: "send", request: { kind: "session.put", id, ...wanted } }];
  }

  #close(session: string, reason: string, now: Millis): readonly AgentClientEffect[] {
    const kept = this.#kept.get(session);
    const claims = kept === undefined ? [] : [kept];
    this.#unkeep(session);
    this.#held.drop(session);
    for (const [id, wanted] of this.#asking)
      if (wanted.session === session) {
        claims.push(wanted);
        this.#asking.delete(id);
        this.#answered(id);
      }
    if (this.#link.kind !== "up") return [];
    const id = this.#ask({ asked: "close", session, claims }, now, HOUSEKEEPING_TIMEOUT_MS);
    return [{ kind: "send", request: { kind: "session.close", id, session, reason } }];
  }

  /** Also what was asked for and is not answered yet: the agent may be about to open it. */
  #closeAll(reason: string, now: Millis): readonly AgentClientEffect[] {
    const asked = [...this.#asking.values()].map(({ session }) => session);
    const sessions = new Set([...this.#kept.keys(), ...asked]);
    this.#held.takeAll();
    return [...sessions].flatMap((session) => this.#close(session, reason, now));
  }

  #receive(message: AgentMessage, now: Millis): readonly AgentClientEffect[] {
    if (message.kind !== "reply") return this.#hear(message);
    const pending = message.id === null ? undefined : this.#answered(message.id);
    if (message.id === null || pending === undefined) return [];
    switch (pending.asked) {
      case "hello":
        return message.ok ? this.#rise(now) : [disconnect(`hello: ${message.error.code}`)];
      case "put":
        return this.#settle(message.id, message, now);
      case "again":
        return message.ok ? [] : this.#dropStale(pending, message.error.code);
      case "close":
        return message.ok
          ? [closed(pending.session, message.counters ?? {}, message.exact ?? false)]
          : [];
      case "sync":
        return message.ok ? [] : [disconnect(`sync: ${message.error.code}`)];
      default:
        return assertNever(pending.asked);
    }
  }

  #hear(event: ControlEvent): readonly AgentClientEffect[] {
    const lost = event.kind === "session.expired" && this.#kept.has(event.session);
    return [
      { kind: "event", event },
      ...(lost ? this.#drop(event.session, "ERR_CONTROL_EXPIRED") : []),
    ];
  }

  #settle(id: string, reply: ControlReply, now: Millis): readonly AgentClientEffect[] {
    const wanted = this.#asking.get(id);
    this.#asking.delete(id);
    if (wanted === undefined) return [];
    if (!reply.ok) {
      const verdict = reply.error.path === "recording" ? "not-recorded" : "gateway-refused";
      return [fail(wanted, verdict, reply.error.code)];
    }
    const { session, revision } = wanted;
    if (reply.applied !== revision) return [fail(wanted, "gateway-refused", "ERR_CONTROL_STATE")];
    // A later one may have been put behind it meanwhile.
    if ((this.#kept.get(session)?.revision ?? 0) < revision) this.#keep(wanted, now);
    const recording = reply.recording === undefined ? {} : { recording: reply.recording };
    return [{ kind: "put-result", session, revision, result: { kind: "applied", ...recording } }];
  }

  /** Says all that is wanted again; what the agent holds beyond that, it closes. */
  #rise(now: Millis): readonly AgentClientEffect[] {
    this.#link = { kind: "up" };
    this.#epoch += 1;
    const ask = () => this.#ask({ asked: "sync" }, now, HOUSEKEEPING_TIMEOUT_MS);
    const begin = { kind: "sync.begin", id: ask(), epoch: `${now}.${this.#epoch}` } as const;
    const puts = [...this.#kept.values()].flatMap((wanted) => this.#again(wanted, now));
    const end = { kind: "sync.end", id: ask(), count: puts.length } as const;
    return [
      { kind: "send", request: begin },
      ...puts,
      { kind: "send", request: end },
      { kind: "availability", up: true },
    ];
  }

  #again(wanted: WantedSession, now: Millis): readonly AgentClientEffect[] {
    const { session, revision } = wanted;
    this.#keep(wanted, now);
    const id = this.#ask({ asked: "again", session, revision }, now, HOUSEKEEPING_TIMEOUT_MS);
    return [{ kind: "send", request: { kind: "session.put", id, ...wanted } }];
  }

  /** A refused renewal says nothing about what was put since. */
  #dropStale({ session, revision }: Pending, code: string): readonly AgentClientEffect[] {
    return this.#kept.get(session)?.revision === revision ? this.#drop(session, code) : [];
  }

  #drop(session: string, code: string): readonly AgentClientEffect[] {
    return this.#unkeep(session) ? [{ kind: "session-lost", session, code }] : [];
  }

  #keep(wanted: WantedSession, now: Millis): readonly AgentClientEffect[] {
    const { session } = wanted;
    if (this.#kept.get(session) !== wanted) {
      this.#unkeep(session);
      this.#kept.set(session, wanted);
      this.#claimed.add(wanted);
    }
    this.#renewAt.set(session, now + renewalMs(wanted));
    return [];
  }

  #unkeep(session: string): boolean {
    const kept = this.#kept.get(session);
    if (kept === undefined) return false;
    this.#kept.delete(session);
    this.#claimed.remove(kept);
    this.#renewAt.set(session, undefined);
    return true;
  }

  #tick(now: Millis): readonly AgentClientEffect[] {
    if (this.#link.kind === "down") {
      if (now < this.#link.retryAt) return [];
      this.#link = { kind: "connecting" };
      return [{ kind: "connect" }];
    }
    const stuck = this.#held.takeLate(now);
    const effects = stuck.map(({ wanted }) => fail(wanted, "gateway-refused", "ERR_CONTROL_STATE"));
    for (let id = this.#replyBy.takeDue(now); id !== undefined; id = this.#replyBy.takeDue(now))
      effects.push(...this.#expire(id));
    if (this.#link.kind === "up") effects.push(...this.#renew(now));
    return effects;
  }

  /** A put is only late; an agent that neglects its housekeeping is not there. */
  #expire(id: string): readonly AgentClientEffect[] {
    const pending = this.#answered(id);
    const wanted = this.#asking.get(id);
    this.#asking.delete(id);
    if (pending === undefined) return [];
    if (pending.asked !== "put") return [disconnect(`${pending.asked}: no reply`)];
    return wanted === undefined ? [] : [fail(wanted, "gateway-slow")];
  }

  #renew(now: Millis): readonly AgentClientEffect[] {
    const effects: AgentClientEffect[] = [];
    for (
      let due = this.#renewAt.takeDue(now);
      due !== undefined;
      due = this.#renewAt.takeDue(now)
    ) {
      const wanted = this.#kept.get(due);
      if (wanted !== undefined) effects.push(...this.#again(wanted, now));
    }
    return effects;
  }

  #ask(pending: Partial<Pending> & Pick<Pending, "asked">, now: Millis, timeoutMs: number): string {
    this.#requests += 1;
    const id = `r${this.#requests}`;
    const asked = { session: "", revision: 0, claims: [], ...pending };
    this.#pending.set(id, asked);
    this.#replyBy.set(id, now + timeoutMs);
    for (const wanted of asked.claims) this.#claimed.add(wanted);
    return id;
  }

  /** A request is over, answered or given up. */
  #answered(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    this.#replyBy.set(id, undefined);
    for (const wanted of pending?.claims ?? []) this.#claimed.remove(wanted);
    return pending;
  }
}

/** Three chances before the lease ends. */
const renewalMs = ({ leaseMs }: WantedSession) => Math.floor(leaseMs / 3);

const wantedOf = ({ wanted }: { readonly wanted: WantedSession }) => wanted;

const disconnect = (reason: string): AgentClientEffect => ({ kind: "disconnect", reason });

const closed = (session: string, counters: Counters, exact: boolean): AgentClientEffect => ({
  kind: "closed",
  session,
  counters,
  exact,
});

function fail(
  { session, revision }: WantedSession,
  verdict: GatewayVerdict,
  code?: string,
): AgentClientEffect {
  const result = { kind: "failed", verdict, ...(code === undefined ? {} : { code }) } as const;
  return { kind: "put-result", session, revision, result };
}
