/**
 * A request outside any dialog that may go on: who sends it, whom it is for, and by which ways.
 * Pure.
 */
import type { SipRequest } from "../../protocol/sip/message.ts";
import type { TimedRequest } from "../../protocol/sip/session-timer.ts";
import type { Origin } from "./gatekeeper.ts";
import type { RoutePlan } from "./next-hops.ts";
import type { Party } from "./party.ts";
import type { User } from "./users.ts";

export interface Relaying {
  /** Without our own Route. */
  readonly request: SipRequest;
  readonly origin: Origin;
  readonly plan: RoutePlan;
  readonly emergency: boolean;
}

/** An INVITE that may become a call. */
export interface Placing extends Relaying {
  readonly caller: Party;
  readonly callee: Party;
  /** Our own users among the two. */
  readonly users: readonly User[];
  /** An inspection label names us. */
  readonly labelled: boolean;
  /** What it asked of the session timer. */
  readonly timed?: TimedRequest;
}
