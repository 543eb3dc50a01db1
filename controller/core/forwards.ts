/**
 * Requests on their way: each with its response context and the client transactions of its
 * branches (RFC 3261 §16.6-16.8, §18.1.1). Pure.
 *
 * ```text
 *   begin ─▶ located ─▶ ┌────────────┐ ─▶ request, cancel ─▶ client transactions
 *                       │ Forwards   │ ◀─ response, failed ◀─
 *   owner ◀── respond ──└────────────┘
 * ```
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { AvoidedTargets } from "../../protocol/sip/avoided-targets.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { DeadlineHeap, NOT_WAITING, type Waiting } from "../../protocol/sip/deadline-heap.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import { MAX_BREADTH_EXCEEDED } from "../../protocol/sip/max-breadth.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { forwardResponse } from "../../protocol/sip/proxy.ts";
import { COMPLETED_ELSEWHERE, type Reason } from "../../protocol/sip/reason.ts";
import {
  type CancelCause,
  ResponseContext,
  type ResponseContextEffect,
  type ResponseContextInput,
} from "../../protocol/sip/response-context.ts";
import type { FailureReason } from "../../protocol/sip/transaction.ts";
import { clientKey } from "../../protocol/sip/transaction-key.ts";
import { breadthsOf, NO_BREADTHS, withBreadth } from "./branch-breadth.ts";
import type { ControllerEffect } from "./controller-port.ts";
import { leavingRequest } from "./forward.ts";
import { amendedResponse, amendment } from "./identity.ts";
import type { Neighbour, Neighbourhood } from "./neighbourhood.ts";
import {
  type HopGroups,
  locatedGroups,
  type NextHop,
  type RoutePlan,
  type Whom,
} from "./next-hops.ts";
import { isTooLong } from "./request-bytes.ts";
import { type Sender, transaction } from "./sender.ts";

export interface Forwarding<Owner> {
  /** Its server transaction, which names the forward. */
  readonly key: string;
  /** As received. */
  readonly received: SipRequest;
  /** Without our own Route. */
  readonly request: SipRequest;
  readonly from: Neighbour;
  readonly plan: RoutePlan;
  readonly recordRoute: boolean;
  /** Whom its responses are for. */
  readonly owner: Owner;
  /** Who sent it, authenticated: what may be told of him depends on who is told. */
  readonly sender: Whom;
}

export type ForwardEffect<Owner> =
  | ControllerEffect
  /** A response for whoever sent the request, without our Via. */
  | {
      readonly kind: "respond";
      readonly forwarding: Forwarding<Owner>;
      readonly response: SipResponse;
    };

interface Client {
  readonly key: string;
  readonly hop: NextHop;
  /** It went over TCP for its size alone: UDP is still to be tried, unless it was cancelled. */
  insteadOfUdp: boolean;
}

interface Forward<Owner> extends Waiting {
  forwarding: Forwarding<Owner>;
  readonly context: ResponseContext<NextHop>;
  /** By branch; undefined before the branch could leave. */
  readonly clients: (Client | undefined)[];
  /** Every client transaction that it ever had. */
  readonly keys: string[];
  /** Max-Breadth by branch; empty where the request goes one way and names none (RFC 5393 §5.3). */
  breadths: readonly number[];
  state: "locating" | "begun";
}

/** The branch that a client transaction serves, and where that went. */
export interface BranchPlace<Owner> {
  readonly forwarding: Forwarding<Owner>;
  readonly hop: NextHop;
}

export interface ForwardsSetting {
  readonly sender: Sender;
  readonly neighbourhood: () => Neighbourhood;
  readonly random: (size: number) => Buffer;
  /** 64*T1. */
  readonly acceptedMs: number;
}

export class Forwards<Owner> {
  readonly #setting: ForwardsSetting;
  readonly #byKey = new Map<string, Forward<Owner>>();
  readonly #byClient = new Map<
    string,
    { readonly forward: Forward<Owner>; readonly branch: number }
  >();
  readonly #deadlines = new DeadlineHeap<Forward<Owner>>();
  readonly #avoided = new AvoidedTargets();

  constructor(setting: ForwardsSetting) {
    this.#setting = setting;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Those that wait for a final response. */
  get pendingCount(): number {
    let pending = 0;
    for (const { context, state } of this.#byKey.values())
      if (state === "locating" || context.pendingCount > 0) pending += 1;
    return pending;
  }

  begin(forwarding: Forwarding<Owner>, now: Millis): readonly ForwardEffect<Owner>[] {
    const { key, plan, request } = forwarding;
    const { acceptedMs } = this.#setting;
    const context = new ResponseContext<NextHop>({ method: request.method, acceptedMs });
    const forward: Forward<Owner> = {
      forwarding,
      context,
      clients: [],
      keys: [],
      breadths: NO_BREADTHS,
      state: "begun",
      place: NOT_WAITING,
    };
    this.#byKey.set(key, forward);
    if (plan.kind === "groups") return this.#start(forward, plan.groups, now);
    forward.state = "locating";
    return [{ kind: "locate", ref: key, uri: plan.uri }];
  }

  #start(forward: Forward<Owner>, groups: HopGroups, now: Millis): readonly ForwardEffect<Owner>[] {
    const breadths = breadthsOf(forward.forwarding.request, groups);
    if (breadths === undefined) {
      const { forwarding } = forward;
      this.#forget(forward);
      const { status, reason } = MAX_BREADTH_EXCEEDED;
      const toTag = this.#setting.sender.newTag();
      const response = createResponse(forwarding.received, status, { reason, toTag });
      return [{ kind: "respond", forwarding, response }];
    }
    forward.breadths = breadths;
    return this.#run(forward, { kind: "start", groups }, now);
  }

  /** Whether a request waits for the servers of one of our own routes. */
  isToTrunk(key: string): boolean {
    const plan = this.#byKey.get(key)?.forwarding.plan;
    return plan?.kind === "locate" && plan.whom.trunk !== undefined;
  }

  /** What DNS said; nothing when the request was cancelled meanwhile. */
  located(key: string, targets: readonly Target[], now: Millis): readonly ForwardEffect<Owner>[] {
    const forward = this.#byKey.get(key);
    if (forward?.state !== "locating" || forward.forwarding.plan.kind !== "locate") return [];
    forward.state = "begun";
    const ordered = this.#avoided.order(targets, now);
    return this.#start(forward, locatedGroups(ordered, forward.forwarding.plan.whom), now);
  }

  /** Where a response comes from, before it is handed on. */
  placeOf(client: string): BranchPlace<Owner> | undefined {
    const place = this.#byClient.get(client);
    const hop = place?.forward.clients[place.branch]?.hop;
    return place === undefined || hop === undefined
      ? undefined
      : { forwarding: place.forward.forwarding, hop };
  }

  /** @param client The client transaction that it answers. */
  receive(client: string, response: SipResponse, now: Millis): readonly ForwardEffect<Owner>[] {
    const place = this.#byClient.get(client);
    if (place === undefined) return [];
    const { forward, branch } = place;
    const isCurrent = forward.clients[branch]?.key === client;
    const isSuccess = response.status >= 200 && response.status < 300;
    if (!isCurrent && !isSuccess) return [];
    const stripped = forwardResponse(response);
    // One that lost the Vias behind ours leads nowhere; a final one is the last word all the same.
    if (stripped === undefined)
      return response.status < 200 ? [] : this.#fail(forward, branch, "transport", now);
    const { sender } = forward.forwarding;
    const hop = forward.clients[branch]?.hop;
    const told = hop === undefined ? stripped : amendedResponse(stripped, hop.whom, sender);
    return this.#run(forward, { kind: "response", branch, response: told }, now);
  }

  failed(client: string, reason: FailureReason, now: Millis): readonly ForwardEffect<Owner>[] {
    const place = this.#byClient.get(client);
    if (place === undefined || place.forward.clients[place.branch]?.key !== client) return [];
    const { forward, branch } = place;
    const sent = forward.clients[branch];
    if (sent?.insteadOfUdp === true && reason === "transport")
      return (
        this.#leave(forward, branch, sent.hop, false) ?? this.#fail(forward, branch, reason, now)
      );
    return this.#fail(forward, branch, reason, now);
  }

  cancel(key: string, now: Millis): readonly ForwardEffect<Owner>[] {
    const forward = this.#byKey.get(key);
    if (forward === undefined) return [];
    forward.state = "begun";
    return this.#run(forward, { kind: "cancel" }, now);
  }

  deadline(): Millis | undefined {
    return this.#deadlines.next();
  }

  tick(now: Millis): readonly ForwardEffect<Owner>[] {
    const effects: ForwardEffect<Owner>[] = [];
    for (let due = this.#deadlines.takeDue(now); due; due = this.#deadlines.takeDue(now))
      effects.push(...this.#run(due, { kind: "tick" }, now));
    return effects;
  }

  #fail(
    forward: Forward<Owner>,
    branch: number,
    reason: FailureReason,
    now: Millis,
  ): readonly ForwardEffect<Owner>[] {
    return this.#run(forward, { kind: "failed", branch, reason }, now);
  }

  #run(
    forward: Forward<Owner>,
    input: ResponseContextInput<NextHop>,
    now: Millis,
  ): readonly ForwardEffect<Owner>[] {
    const asked = forward.context.handle(input, now);
    this.#deadlines.set(forward, forward.context.deadline());
    const effects: ForwardEffect<Owner>[] = [];
    for (const effect of asked) effects.push(...this.#perform(forward, effect, now));
    return effects;
  }

  #perform(
    forward: Forward<Owner>,
    effect: ResponseContextEffect<NextHop>,
    now: Millis,
  ): readonly ForwardEffect<Owner>[] {
    const { forwarding } = forward;
    switch (effect.kind) {
      case "forward": {
        const { branch, target } = effect;
        const byStream = this.#goesByStream(forwarding.request, target);
        return (
          (byStream ? this.#leave(forward, branch, target, true) : undefined) ??
          this.#leave(forward, branch, target, false) ??
          this.#fail(forward, branch, "transport", now)
        );
      }
      case "cancel-branch": {
        const client = forward.clients[effect.branch];
        if (client === undefined) return [];
        client.insteadOfUdp = false;
        return [transaction({ kind: "cancel", key: client.key, ...CANCEL_REASONS[effect.cause] })];
      }
      case "respond": {
        const { response } = effect;
        const made =
          response.kind === "own"
            ? this.#setting.sender.own(forwarding.received, response)
            : response;
        if (made.status >= 200) forward.forwarding = settled(forwarding);
        return [{ kind: "respond", forwarding, response: made }];
      }
      case "target-failed": {
        const { to } = effect.target;
        if (typeof to !== "string") this.#avoided.avoid(to, effect.retryAfterS, now);
        return [];
      }
      case "done":
        this.#forget(forward);
        return [];
      default:
        return assertNever(effect);
    }
  }

  /** Sends a branch on; undefined if no listener of ours has its transport. */
  #leave(
    forward: Forward<Owner>,
    branch: number,
    hop: NextHop,
    insteadOfUdp: boolean,
  ): readonly ForwardEffect<Owner>[] | undefined {
    const { request, received, from, recordRoute, sender } = forward.forwarding;
    const { random, neighbourhood } = this.#setting;
    const change = amendment(request, sender, hop.whom);
    const { isWithheld, added } = withBreadth(change, forward.breadths[branch]);
    const leaving = leavingRequest({
      request,
      neighbourhood: neighbourhood(),
      random,
      from,
      to: hop.toward,
      uri: hop.uri,
      path: hop.path,
      recordRoute,
      over: insteadOfUdp ? "tcp" : undefined,
      isWithheld,
      added,
    });
    const key = leaving === undefined ? undefined : clientKey(leaving);
    if (leaving === undefined || key === undefined) return undefined;
    forward.clients[branch] = { key, hop, insteadOfUdp };
    forward.keys.push(key);
    this.#byClient.set(key, { forward, branch });
    const to =
      insteadOfUdp && typeof hop.to !== "string"
        ? overTcp(hop.to)
        : neighbourhood().wayTo(hop.to, hop.toward);
    const timerC = received.method === "INVITE";
    return [transaction({ kind: "request", request: leaving, to, timerC })];
  }

  /** A flow stays what it is: whoever registered by UDP is reached by it alone. */
  #goesByStream(request: SipRequest, { to }: NextHop): boolean {
    return (
      typeof to !== "string" &&
      to.transport === "udp" &&
      isTooLong(request) &&
      this.#setting.neighbourhood().hasTransport("tcp")
    );
  }

  #forget(forward: Forward<Owner>): void {
    const { key } = forward.forwarding;
    if (this.#byKey.get(key) === forward) this.#byKey.delete(key);
    this.#deadlines.set(forward, undefined);
    for (const client of forward.keys) this.#byClient.delete(client);
  }
}

/** Answered: only who it was for and from is still asked of it, for as long as 2xx may come again. */
const settled = <Owner>(forwarding: Forwarding<Owner>): Forwarding<Owner> => {
  const spent: SipRequest = { ...forwarding.received, headers: [], body: NO_BODY };
  return { ...forwarding, received: spent, request: spent, plan: NO_PLAN };
};

const NO_BODY = Buffer.alloc(0);
const NO_PLAN: RoutePlan = { kind: "groups", groups: [] };

function overTcp({ address, port }: Target): Target {
  return { transport: "tcp", address, port };
}

/** What a phone is told, so that it counts no missed call where there was none (RFC 3326). */
const CANCEL_REASONS: Readonly<Partial<Record<CancelCause, { readonly reason: Reason }>>> = {
  "answered-elsewhere": { reason: COMPLETED_ELSEWHERE },
  "declined-elsewhere": { reason: { protocol: "SIP", cause: 603, text: "Declined" } },
};
