/**
 * One subscription to a user's certificate: who is told, in which dialog, and the NOTIFY that tells
 * him (RFC 6072 §6.4, §6.7, RFC 6665 §4.2.2). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { type Dialog, dialogOfCallee, requestInDialog } from "../../protocol/sip/dialog.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import { headerValues, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";
import { DEFAULT_PORTS } from "../../protocol/sip/next-hop.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { serializeHostPort } from "../../protocol/sip/uri.ts";
import type { Via } from "../../protocol/sip/via.ts";
import { wayToParty } from "./dialog-guard.ts";
import type { DialogPlace, Leg } from "./dialog-table.ts";
import { isSipsUri } from "./forward.ts";
import type { Origin } from "./gatekeeper.ts";
import type { Door, Neighbourhood } from "./neighbourhood.ts";
import { whomOf } from "./new-call.ts";
import type { NextHop } from "./next-hops.ts";
import { contactHost } from "./note-party.ts";
import { isTooLong } from "./request-bytes.ts";
import { type Rejection, rejection } from "./sender.ts";
import type { Site } from "./site.ts";
import { parsed } from "./verdict.ts";

/** A certificate in service, and the first moment when it is so no more. */
export interface WatchedCertificate {
  /** DER. */
  readonly der: Buffer;
  readonly endsAt: Millis;
}

export interface Watch {
  /** Call-ID and our tag. */
  readonly key: string;
  /** Whose certificate it is. */
  readonly aor: string;
  /** Who asked: an address of record, or a trunk. */
  readonly subscriber: string;
  readonly eventId: string | undefined;
  /** Where the subscriber is, as he last showed. */
  readonly leg: Leg;
  /** Our own Contact. */
  readonly contact: string;
  dialog: Dialog;
  endsAt: Millis;
  /** What the last NOTIFY said; undefined for none. */
  shown: Buffer | undefined;
  notifiedAt: Millis;
  /** The NOTIFY that waits for its answer. */
  pending: string | undefined;
  /** A refresh came while one waited: it has a NOTIFY to get. */
  owed: boolean;
}

/** Why a subscription ends (RFC 6665 §4.2.2, §4.1.3). */
export type WatchEnd = "timeout" | "noresource" | "rejected";

/** A first SUBSCRIBE that was let in, and what it is granted. */
export interface Subscribing {
  readonly received: SipRequest;
  readonly arrival: Arrival;
  readonly origin: Origin;
  readonly aor: string;
  readonly eventId: string | undefined;
  readonly expiresS: number;
  readonly toTag: string;
}

/** The subscription that a SUBSCRIBE makes, and its 200; or why it makes none. */
export function newWatch(
  { received, arrival, origin, aor, eventId, expiresS, toTag }: Subscribing,
  neighbourhood: Neighbourhood,
  now: Millis,
): { readonly watch: Watch; readonly response: SipResponse } | Rejection {
  const door = neighbourhood.doorTo(arrival.peer);
  if (door === undefined) return rejection(500);
  const contact = contactAt(door, isSipsUri(received.uri));
  const routes = headerValues(received, "Record-Route");
  const headers = [
    ...routes.map((route) => ["Record-Route", route] as const),
    ["Contact", contact] as const,
    ["Expires", String(expiresS)] as const,
  ];
  const response = createResponse(received, 200, { toTag, headers });
  const made = parsed(() => dialogOfCallee(received, response));
  if (!made.ok) return rejection(400);
  const known = { dialog: made.value, contactHost: contactHost(received) };
  const { dialog, ...place } = detached(known);
  const whom = whomOf(origin);
  const watch: Watch = {
    ...{ aor, contact, dialog },
    eventId: eventId && detached(eventId),
    key: watchKey(dialog.callId, dialog.localTag),
    subscriber: whom.aor ?? `trunk ${whom.trunk?.domain}`,
    leg: { whom, flow: arrival.flow, peer: arrival.peer, contact: place.contactHost },
    endsAt: now + expiresS * 1000,
    ...{ shown: undefined, notifiedAt: now, pending: undefined, owed: false },
  };
  return { watch, response };
}

/** Stands until it is known where the request leaves. */
const NO_VIA: Via = { transport: "TLS", host: "invalid", params: [] };

/** The next NOTIFY of the dialog, which is moved on; its Via is still to be written. */
export function notifyOf(
  watch: Watch,
  certificate: WatchedCertificate | undefined,
  end: WatchEnd | undefined,
  now: Millis,
): SipRequest {
  const leftS = Math.max(0, Math.ceil((watch.endsAt - now) / 1000));
  const state = end === undefined ? `active;expires=${leftS}` : `terminated;reason=${end}`;
  const id = watch.eventId === undefined ? "" : `;id=${watch.eventId}`;
  const { dialog, request } = requestInDialog(watch.dialog, {
    method: "NOTIFY",
    via: NO_VIA,
    headers: [
      ["Event", `certificate${id}`],
      ["Subscription-State", state],
      ["Contact", watch.contact],
      ["Content-Disposition", "signal"],
      ...(certificate === undefined ? [] : [["Content-Type", "application/pkix-cert"] as const]),
    ],
    body: certificate?.der ?? Buffer.alloc(0),
  });
  watch.dialog = dialog;
  return request;
}

/**
 * The ways to the subscriber, the best first: the connection that he used, or where his route and
 * Contact lead, if those lead nowhere forbidden.
 */
export function waysToSubscriber(site: Site, leg: Leg, request: SipRequest): readonly NextHop[] {
  const plan = wayToParty(site, leg, request);
  if (plan?.kind === "groups")
    return plan.groups
      .flat(2)
      .flatMap((way) => (isTooLong(request) ? [...byStream(way), way] : way));
  const { flow, peer, whom } = leg;
  return flow === undefined ? [] : [{ to: flow, toward: peer, path: [], whom }];
}

/** What is too long for a datagram goes over TCP first (RFC 3261 §18.1.1). */
function byStream({ to, ...way }: NextHop): readonly NextHop[] {
  if (typeof to === "string" || to.transport !== "udp") return [];
  const { address, port } = to;
  const target: Target = { transport: "tcp", address, port };
  return [{ ...way, to: target, toward: target }];
}

/** Whether the last NOTIFY said what is true now. */
export function isShown({ shown }: Watch, current: WatchedCertificate | undefined): boolean {
  if (shown === undefined || current === undefined) return shown === current?.der;
  return shown.equals(current.der);
}

/** Why other rules end a subscription: one of the two is nobody any more. */
export function endByRules(
  { aor, leg }: Watch,
  { policy, neighbourhood }: Site,
): WatchEnd | undefined {
  if (policy.users.find(aor) === undefined) return "noresource";
  const { whom } = leg;
  const isKnown =
    whom.aor === undefined
      ? neighbourhood.trunkOfDomain(whom.trunk?.domain ?? "") !== undefined
      : policy.users.find(whom.aor) !== undefined;
  return isKnown ? undefined : "rejected";
}

/** The subscriber as the sender of a request of his dialog. */
export const placeOfSubscriber = (
  leg: Leg,
  { callId, remoteTag = "", localTag }: Dialog,
): DialogPlace => ({
  set: { callId, callerTag: remoteTag, caller: leg, callees: new Map(), asked: [] },
  side: "caller",
  tag: localTag,
});

/** NUL stands in neither. */
export const watchKey = (callId: string, ourTag: string): string => `${callId}\0${ourTag}`;

/** Where later requests of the dialog are to come: a SIPS dialog stays one (RFC 3261 §12.1.1). */
function contactAt({ transport, address, port }: Door, secure: boolean): string {
  const place = serializeHostPort(address, port === DEFAULT_PORTS[transport] ? undefined : port);
  return secure ? `<sips:${place}>` : `<sip:${place};transport=${transport}>`;
}

/** The same value, of texts that keep no whole message in memory as a piece of one does. */
export const detached = <T>(value: T): T => JSON.parse(JSON.stringify(value));
