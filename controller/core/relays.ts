/**
 * Requests of no call: those outside any dialog, those of the dialogs that some of these make
 * (SUBSCRIBE, REFER, methods nobody knows yet), and every ACK of a 2xx (RFC 3261 §16.6, RFC 6665
 * §4). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import { headerValue, type SipRequest } from "../../protocol/sip/message.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import type { ControllerEffect } from "./controller-port.ts";
import { type DialogSet, type DialogTable, senderOf } from "./dialog-table.ts";
import { leavingRequest } from "./forward.ts";
import type { ForwardEffect, Forwards } from "./forwards.ts";
import type { Origin } from "./gatekeeper.ts";
import type { Neighbourhood } from "./neighbourhood.ts";
import { dialogsOf, whomOf } from "./new-call.ts";
import { hopTo, type NextHop, type RoutePlan } from "./next-hops.ts";
import type { Owner } from "./owner.ts";
import type { Relaying } from "./placing.ts";
import { transaction } from "./sender.ts";
import type { Passing } from "./triage.ts";

/** Methods that make no dialog; all others may, known or not (§16.6 item 4). */
const STANDALONE: ReadonlySet<string> = new Set(["OPTIONS", "MESSAGE", "PUBLISH", "REGISTER"]);
/** A dialog without INVITE that says nothing of its end, or nothing believable, lasts this long. */
export const DEFAULT_DIALOG_MS = 3_600_000;
export const MAX_DIALOG_MS = 86_400_000;
/** What is added for responses and requests that were on their way. */
export const DIALOG_GRACE_MS = 32_000;
/** Dialogs of no call at one time; requests beyond pass, but what they make is not known. */
export const MAX_RELAYED_DIALOGS = 20_000;
/** ACKs that wait for DNS at one time; one that is dropped comes again with its 2xx. */
export const MAX_WAITING_ACKS = 1_000;

export interface RelaysSetting {
  readonly dialogs: DialogTable;
  readonly forwards: Forwards<Owner>;
  readonly settle: (
    effects: readonly ForwardEffect<Owner>[],
    now: Millis,
  ) => readonly ControllerEffect[];
  readonly neighbourhood: () => Neighbourhood;
  readonly random: (size: number) => Buffer;
}

interface Received {
  readonly received: SipRequest;
  /** Its server transaction. */
  readonly key: string;
  readonly arrival: Arrival;
}

export class Relays {
  readonly #setting: RelaysSetting;
  /** Those whose next hop is asked for. */
  readonly #acks = new Map<string, { readonly passing: Passing; readonly arrival: Arrival }>();
  #lastAck = 0;

  constructor(setting: RelaysSetting) {
    this.#setting = setting;
  }

  /** A request outside any dialog. */
  begin(
    { received, key, arrival, relaying }: Received & { readonly relaying: Relaying },
    now: Millis,
  ): readonly ControllerEffect[] {
    const { forwards, settle } = this.#setting;
    const { request, origin, plan } = relaying;
    const recordRoute = !STANDALONE.has(request.method);
    const dialogs = recordRoute ? this.#remember(relaying, arrival, now) : undefined;
    const owner: Owner = { kind: "relay", ...(dialogs === undefined ? undefined : { dialogs }) };
    const begun = forwards.begin(
      {
        ...{ key, received, request, plan, recordRoute, owner },
        from: arrival.peer,
        sender: whomOf(origin),
      },
      now,
    );
    return settle(begun, now);
  }

  /** A request of a dialog of no call. */
  pass(
    { received, key, arrival, passing }: Received & { readonly passing: Passing },
    now: Millis,
  ): readonly ControllerEffect[] {
    const { forwards, settle, dialogs } = this.#setting;
    const { request, plan, place } = passing;
    if (headerValue(request, "Expires") !== undefined)
      dialogs.touch(place.set, now + lifetimeMs(request));
    const begun = forwards.begin(
      {
        ...{ key, received, request, plan, recordRoute: false },
        owner: { kind: "relay" },
        from: arrival.peer,
        sender: senderOf(place),
      },
      now,
    );
    return settle(begun, now);
  }

  /** The ACK of a 2xx, which makes no transaction. */
  acknowledge(passing: Passing, arrival: Arrival): readonly ControllerEffect[] {
    const { plan } = passing;
    if (plan.kind === "groups") return this.#sendAck(passing, arrival, plan.groups[0]?.[0]?.[0]);
    if (this.#acks.size >= MAX_WAITING_ACKS) return [];
    this.#lastAck += 1;
    const ref = `ack ${this.#lastAck}`;
    this.#acks.set(ref, { passing, arrival });
    return [{ kind: "locate", ref, uri: plan.uri }];
  }

  /** What DNS said of an ACK's next hop; undefined for what is none. */
  located(ref: string, [target]: readonly Target[]): readonly ControllerEffect[] | undefined {
    const ack = this.#acks.get(ref);
    if (ack === undefined) return undefined;
    this.#acks.delete(ref);
    const { passing, arrival } = ack;
    return this.#sendAck(passing, arrival, target === undefined ? target : hopTo(target, {}));
  }

  #sendAck(
    { request }: Passing,
    { peer }: Arrival,
    hop: NextHop | undefined,
  ): readonly ControllerEffect[] {
    if (hop === undefined) return [];
    const { random } = this.#setting;
    const neighbourhood = this.#setting.neighbourhood();
    const message = leavingRequest({
      request,
      neighbourhood,
      random,
      from: peer,
      to: hop.toward,
      recordRoute: false,
    });
    const to = neighbourhood.wayTo(hop.to, hop.toward);
    return message === undefined ? [] : [transaction({ kind: "send", message, to })];
  }

  #remember(
    { request, origin, plan }: Relaying,
    arrival: Arrival,
    now: Millis,
  ): DialogSet | undefined {
    const { dialogs } = this.#setting;
    if (dialogs.size >= MAX_RELAYED_DIALOGS) return undefined;
    const before = dialogs.ofCaller(request);
    if (before !== undefined && (before.call !== undefined || !isBy(before, origin)))
      return undefined;
    const set = { ...dialogsOf(request, origin, arrival), asked: askedOf(plan) };
    dialogs.add(set, now + lifetimeMs(request));
    return set;
  }
}

/** Whoever has seen Call-ID and tag of another's dialog does not take it over. */
const isBy = ({ caller: { whom } }: DialogSet, origin: Origin): boolean => {
  const { aor, trunk } = whomOf(origin);
  return whom.aor === aor && whom.trunk?.domain === trunk?.domain;
};

/** Everybody that the request may reach. */
function askedOf(plan: RoutePlan): DialogSet["asked"] {
  if (plan.kind === "locate") return [];
  return plan.groups.flat(2).map(({ to, toward, whom }) => ({
    whom,
    flow: typeof to === "string" ? to : undefined,
    peer: toward,
    contact: undefined,
  }));
}

function lifetimeMs(request: SipRequest): Millis {
  const text = headerValue(request, "Expires") ?? "";
  const asked = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : DEFAULT_DIALOG_MS;
  return Math.min(asked, MAX_DIALOG_MS) + DIALOG_GRACE_MS;
}
