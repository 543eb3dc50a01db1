/**
 * What becomes of a request that was received: refused, answered here, passed on, or made a call
 * (RFC 3261 §16.3-16.5, §12.2.2, §22.3). Nothing is changed here. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import { inspectionLabels } from "../../protocol/sip/inspection-label.ts";
import { isLoop } from "../../protocol/sip/loop.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import { uriTarget } from "../../protocol/sip/next-hop.ts";
import { removeOwnRoute, validateRequest } from "../../protocol/sip/proxy.ts";
import {
  isSessionRequest,
  type RequestTiming,
  type TimedRequest,
  timeRequest,
} from "../../protocol/sip/session-timer.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { isSipScheme, parseSipUri } from "../../protocol/sip/uri.ts";
import type { Binding } from "./bindings.ts";
import { bodyKind } from "./body-kind.ts";
import { isCertificateQuery } from "./certificate-query.ts";
import { ALLOW_EVENTS, isCertificateSubscribe } from "./certificate-watch-request.ts";
import { type Destination, destinationOf, isEmergencyUri } from "./destination.ts";
import { challenged, strangerTo, wayToParty } from "./dialog-guard.ts";
import type { DialogPlace, DialogTable, Leg } from "./dialog-table.ts";
import { aorOfUri, type Origin } from "./gatekeeper.ts";
import { privacyFault } from "./identity.ts";
import { namesBody } from "./labelled-body.ts";
import { bindingGroups, type RoutePlan, trunkPlan } from "./next-hops.ts";
import type { Party } from "./party.ts";
import type { Placing, Relaying } from "./placing.ts";
import { admitRegister, isPrivate, isSealedRegister } from "./sealed-register.ts";
import { ALLOWED_METHODS, type Rejection, rejection } from "./sender.ts";
import type { Site } from "./site.ts";
import { mayReach } from "./topology.ts";
import type { User } from "./users.ts";
import { parsed, refusalOf } from "./verdict.ts";

/** A request of a dialog, from a party of it. */
export interface Passing {
  /** Without our own Route. */
  readonly request: SipRequest;
  readonly place: DialogPlace;
  readonly plan: RoutePlan;
  /** What it asked of the session timer. */
  readonly timed?: TimedRequest;
}

export type Decision =
  | { readonly kind: "reject"; readonly rejection: Rejection }
  /** An ACK that belongs to nothing. */
  | { readonly kind: "drop" }
  /** OPTIONS to the proxy itself (RFC 3261 §11). */
  | { readonly kind: "answer-options" }
  /** REGISTER by one of our users. */
  | { readonly kind: "register"; readonly user: User }
  /** One whose body counts; without a user it is to be opened before anybody can be asked. */
  | { readonly kind: "register-sealed"; readonly user: User | undefined }
  /** OPTIONS that asks for the certificates of one of our users. */
  | { readonly kind: "query-certificates"; readonly asked: AskedCertificates }
  /** SUBSCRIBE that wants to know of them as long as it lasts. */
  | { readonly kind: "watch-certificates"; readonly asked: AskedCertificates }
  | { readonly kind: "place"; readonly placing: Placing }
  | { readonly kind: "relay"; readonly relaying: Relaying }
  | { readonly kind: "in-dialog"; readonly passing: Passing };

/** By whom, and whose. */
export interface AskedCertificates {
  readonly origin: Origin;
  readonly aor: string;
}

export interface TriageSetting {
  readonly site: () => Site;
  readonly dialogs: DialogTable;
  /** Where a user is, the best contact first. */
  readonly bindingsOf: (aor: string, now: Millis) => readonly Binding[];
}

const NO_TAGS = { optionTags: [] };

export class Triage {
  readonly #setting: TriageSetting;

  constructor(setting: TriageSetting) {
    this.#setting = setting;
  }

  decide(received: SipRequest, arrival: Arrival, now: Millis): Decision {
    const { neighbourhood, policy } = this.#site;
    const { request } = removeOwnRoute(received, (uri) => neighbourhood.isOwnUri(uri));
    const looped = isLoop(request, (via) => neighbourhood.isOwnVia(via));
    const isKnownUri = (uri: string) => isEmergencyUri(uri, policy);
    const invalid = validateRequest(request, { ...NO_TAGS, looped, isKnownUri });
    if (invalid !== undefined) return reject(invalid.status, invalid.headers);
    return messageTag(request, "To") === undefined
      ? this.#outside(request, arrival, now)
      : this.#inside(request, arrival, now);
  }

  get #site(): Site {
    return this.#setting.site();
  }

  #outside(request: SipRequest, arrival: Arrival, now: Millis): Decision {
    if (request.method === "ACK") return { kind: "drop" };
    // One that found its INVITE was answered before it came here (RFC 3261 §9.2).
    if (request.method === "CANCEL") return reject(481);
    if (request.method === "REGISTER" && this.#isForRegistrar(request))
      return this.#register(request, arrival, now);
    const { gatekeeper, policy, neighbourhood } = this.#site;
    const admission = gatekeeper.admit(request, arrival.peer, now);
    if (admission.kind === "forbidden") return reject(403);
    if (admission.kind === "challenge")
      return { kind: "reject", rejection: challenged(admission.values) };
    const unmet = privacyFault(request);
    if (unmet !== undefined) return { kind: "reject", rejection: unmet };
    const destination = destinationOf(request, policy, neighbourhood);
    if (!mayReach(admission, destination, aorOfUri(request.uri) ?? request.uri)) return reject(403);
    return this.#route(request, admission, destination, now);
  }

  #route(request: SipRequest, origin: Origin, destination: Destination, now: Millis): Decision {
    switch (destination.kind) {
      case "self":
        return this.#toSelf(request);
      case "nowhere":
        return reject(destination.status);
      case "user":
        return this.#toUser(request, origin, destination.aor, now);
      case "trunk":
      case "emergency": {
        const emergency = destination.kind === "emergency";
        const plan = trunkPlan(destination.trunk);
        return this.#onward({ request, origin, plan, emergency }, undefined, []);
      }
      case "domain":
        return this.#onward(
          { request, origin, plan: domainPlan(destination.uri), emergency: false },
          undefined,
          [],
        );
    }
  }

  #toSelf({ method }: SipRequest): Decision {
    if (method === "OPTIONS") return { kind: "answer-options" };
    return method === "SUBSCRIBE" && this.#site.authority !== undefined
      ? reject(489, [ALLOW_EVENTS])
      : reject(405, [["Allow", ALLOWED_METHODS]]);
  }

  /** All phones of the user; 404 for nobody of ours, 480 for one who is not there (§16.5, §21.4.18). */
  #toUser(request: SipRequest, origin: Origin, aor: string, now: Millis): Decision {
    const user = this.#site.policy.users.find(aor);
    if (user === undefined) return reject(404);
    if (this.#site.authority !== undefined) {
      const asked = { origin, aor };
      if (isCertificateQuery(request)) return { kind: "query-certificates", asked };
      if (isCertificateSubscribe(request)) return { kind: "watch-certificates", asked };
    }
    const bindings = this.#setting.bindingsOf(aor, now);
    const groups = bindingGroups(bindings, targetOf);
    if (groups.length === 0) return reject(480);
    const relaying: Relaying = {
      request,
      origin,
      plan: { kind: "groups", groups },
      emergency: false,
    };
    return this.#onward(relaying, user, bindings);
  }

  #onward(relaying: Relaying, callee: User | undefined, bindings: readonly Binding[]): Decision {
    const { request, origin } = relaying;
    if (request.method !== "INVITE") return { kind: "relay", relaying };
    if (messageTag(request, "From") === undefined) return reject(400);
    const labelled = this.#isLabelled(request);
    if (typeof labelled !== "boolean") return labelled;
    const caller = origin.kind === "user" ? origin.user : undefined;
    const places = bindings.flatMap(({ addresses }) => addresses);
    const timing = this.#time(request);
    if (timing.kind === "refuse") return tooBrief(timing.minSeS);
    const placing: Placing = {
      ...relaying,
      request: timing.request,
      timed: timing.timed,
      caller: partyOf(caller, origin.kind === "user" ? origin.addresses : []),
      callee: partyOf(callee, callee === undefined ? [] : [...places, ...callee.addresses]),
      users: [caller, callee].filter((user) => user !== undefined),
      labelled,
    };
    return { kind: "place", placing };
  }

  /** Whether a label names us, and then whether what it names is there. */
  #isLabelled(request: SipRequest): boolean | Decision {
    if (this.#site.media === undefined) return false;
    const rows = parsed(() => inspectionLabels(request));
    if (!rows.ok) return reject(400);
    if (rows.value.length === 0) return false;
    const labels = rows.value.filter(({ host }) => host === this.#site.policy.name);
    if (labels.length === 0) return false;
    const kind = bodyKind(request);
    const cids = labels.flatMap((label) => label.cids);
    if (kind === "other") return { kind: "reject", rejection: refusalOf("not-a-recipient") };
    return kind === "sealed" && namesBody(request, cids)
      ? true
      : { kind: "reject", rejection: refusalOf("body-absent") };
  }

  #isForRegistrar({ uri }: SipRequest): boolean {
    if (!isSipScheme(uri)) return false;
    const { neighbourhood } = this.#site;
    const { host } = parseSipUri(uri);
    return neighbourhood.isOwnDomain(host);
  }

  #register(request: SipRequest, arrival: Arrival, now: Millis): Decision {
    const site = this.#site;
    const peer = site.gatekeeper.believed(arrival.peer, now);
    const isSealed = isSealedRegister(request, site);
    const isOpenedFirst = isSealed && site.authority !== undefined && isPrivate(request, peer);
    if (isOpenedFirst && site.neighbourhood.trunkOfPeer(peer) === undefined)
      return { kind: "register-sealed", user: undefined };
    const admission = admitRegister(site.gatekeeper, request, peer, now);
    if (admission.kind === "reject") return admission;
    return { kind: isSealed ? "register-sealed" : "register", user: admission.user };
  }

  #inside(request: SipRequest, arrival: Arrival, now: Millis): Decision {
    const place = this.#setting.dialogs.find(request);
    const isAck = request.method === "ACK";
    if (place === undefined) return isAck ? { kind: "drop" } : reject(481);
    const stranger = strangerTo(this.#site, place, request, arrival, now);
    if (stranger !== undefined)
      return isAck ? { kind: "drop" } : { kind: "reject", rejection: stranger };
    const receiver = this.#setting.dialogs.receiverOf(place);
    const plan =
      this.#byRegistration(request, receiver, now) ??
      wayToParty(this.#site, receiver, request) ??
      NOWHERE;
    if (isAck && plan === NOWHERE) return { kind: "drop" };
    if (place.set.call === undefined || !isSessionRequest(request))
      return { kind: "in-dialog", passing: { request, place, plan } };
    const timing = this.#time(request);
    if (timing.kind === "refuse") return tooBrief(timing.minSeS);
    const { request: timedRequest, timed } = timing;
    return { kind: "in-dialog", passing: { request: timedRequest, place, plan, timed } };
  }

  /** The phone that registered the contact anew, once the connection that it used is gone. */
  #byRegistration(
    request: SipRequest,
    receiver: Leg | undefined,
    now: Millis,
  ): RoutePlan | undefined {
    const aor = receiver?.whom.aor;
    if (aor === undefined || receiver?.flow !== undefined) return undefined;
    const bindings = this.#setting.bindingsOf(aor, now);
    const same = bindings.filter(({ contact }) => contact === request.uri);
    const groups = bindingGroups(same, targetOf);
    return groups.length === 0 ? undefined : { kind: "groups", groups };
  }

  #time(request: SipRequest): RequestTiming {
    return timeRequest(request, this.#site.policy.sessionTimer);
  }
}

/** Answered by 480, so that BYE ends the dialog all the same. */
const NOWHERE: RoutePlan = { kind: "groups", groups: [] };

const domainPlan = (uri: string): RoutePlan => ({ kind: "locate", uri, whom: {} });

const partyOf = (user: User | undefined, addresses: readonly string[]): Party => ({
  ...(user === undefined ? undefined : { aor: user.aor }),
  addresses: [...new Set(addresses)],
  requireSealed: user?.requireSealed ?? false,
});

/** The target of a URI with a numeric host; undefined for what only DNS knows. */
function targetOf(uri: string): Target | undefined {
  const target = parsed(() => uriTarget(uri));
  return target.ok ? target.value : undefined;
}

const tooBrief = (minSeS: number): Decision => reject(422, [["Min-SE", String(minSeS)]]);

const reject = (status: number, headers?: Rejection["headers"]): Decision => ({
  kind: "reject",
  rejection: rejection(status, headers),
});
