/**
 * What becomes of a request that was received: refused, answered here, passed on, or made a call
 * (RFC 3261 §16.3-16.5, §12.2.2, §22.3). Nothing is changed here. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { reasonPhrase } from "../../protocol/sip/create-response.ts";
import type { FlowId, Target } from "../../protocol/sip/flow.ts";
import { inspectionLabels, stripContentId } from "../../protocol/sip/inspection-label.ts";
import { isLoop } from "../../protocol/sip/loop.ts";
import { headerValue, type SipRequest } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import { removeOwnRoute, validateRequest } from "../../protocol/sip/proxy.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import { bodyKind } from "./body-kind.ts";
import type { CallTable, DialogSide } from "./call-table.ts";
import type { ControllerSetting } from "./controller-port.ts";
import { destinationOf, farTarget } from "./destination.ts";
import type { Admission, Gatekeeper } from "./gatekeeper.ts";
import type { Placing } from "./placing.ts";
import { canonicalAddress, isOwnUri, isOwnVia, isPeerOfRoute, type Route } from "./sip-policy.ts";
import { parsed, type Refusal, refusalOf } from "./verdict.ts";

/** A refusal made by the rules of a proxy, with the header fields that explain it. */
export interface Rejection extends Refusal {
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

export type Decision =
  | { readonly kind: "reject"; readonly rejection: Rejection }
  /** An ACK that belongs to nothing. */
  | { readonly kind: "drop" }
  /** OPTIONS to the proxy itself (RFC 3261 §11). */
  | { readonly kind: "answer-options" }
  | { readonly kind: "place"; readonly placing: Placing }
  | { readonly kind: "relay"; readonly request: SipRequest; readonly to: Target }
  | {
      readonly kind: "in-dialog";
      readonly request: SipRequest;
      readonly to: FlowId | Target;
      readonly dialog: DialogSide;
    };

/** What may be sent through here, said in Allow. */
export const ALLOWED_METHODS = "INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE, INFO, UPDATE, PRACK";
/** What makes no dialog, and so may pass outside one: of dialogs we know only those of calls. */
const STANDALONE: ReadonlySet<string> = new Set(["OPTIONS", "MESSAGE"]);

export interface TriageSetting {
  readonly setting: ControllerSetting;
  readonly gatekeeper: Gatekeeper;
  readonly calls: CallTable;
}

export class Triage {
  readonly #setting: ControllerSetting;
  readonly #gatekeeper: Gatekeeper;
  readonly #calls: CallTable;

  constructor({ setting, gatekeeper, calls }: TriageSetting) {
    this.#setting = setting;
    this.#gatekeeper = gatekeeper;
    this.#calls = calls;
  }

  decide(received: SipRequest, arrival: Arrival, now: Millis): Decision {
    const { sip } = this.#setting;
    const { request } = removeOwnRoute(received, (uri) => isOwnUri(sip, uri));
    const looped = isLoop(request, (via) => isOwnVia(sip, via));
    const invalid = validateRequest(request, { optionTags: [], looped });
    if (invalid !== undefined) return reject(invalid.status, invalid.headers);
    return messageTag(request, "To") === undefined
      ? this.#outside(request, arrival, now)
      : this.#inside(request, arrival, now);
  }

  #outside(request: SipRequest, { peer }: Arrival, now: Millis): Decision {
    if (request.method === "ACK") return { kind: "drop" };
    // One that found its INVITE was answered before it came here (RFC 3261 §9.2).
    if (request.method === "CANCEL") return reject(481);
    const admission = this.#gatekeeper.admit(request, peer, now);
    if (admission.kind === "challenge" || admission.kind === "forbidden")
      return turnedAway(admission);
    const destination = destinationOf(request, this.#setting.sip);
    switch (destination.kind) {
      case "self":
        return request.method === "OPTIONS"
          ? { kind: "answer-options" }
          : reject(405, [["Allow", ALLOWED_METHODS]]);
      case "own-user":
        return reject(destination.known ? 480 : 404);
      case "nowhere":
        return reject(404);
      case "route":
        // From one domain to another is nothing to us: nobody here takes part.
        if (admission.kind === "trunk") return reject(403);
        if (request.method === "INVITE") return this.#place(request, admission, destination);
        return STANDALONE.has(request.method)
          ? { kind: "relay", request, to: destination.target }
          : reject(405, [["Allow", ALLOWED_METHODS]]);
    }
  }

  #place(
    request: SipRequest,
    { user, addresses }: Admission & { kind: "user" },
    { route, target }: { route: Route; target: Target },
  ): Decision {
    if (messageTag(request, "From") === undefined) return reject(400);
    const rows = parsed(() => inspectionLabels(request));
    if (!rows.ok) return reject(400);
    const labels = rows.value.filter(({ host }) => host === this.#setting.sip.name);
    const labelled = labels.length > 0;
    const kind = bodyKind(request);
    const sealed = kind === "sealed";
    const cids = labels.flatMap((label) => label.cids);
    if (labelled && kind === "other")
      return { kind: "reject", rejection: refusalOf("not-a-recipient") };
    if (labelled && !(sealed && namesBody(request, cids)))
      return { kind: "reject", rejection: refusalOf("body-absent") };
    const body = sealed ? "sealed" : "passing";
    const caller = { callerAor: user.aor, ownAddresses: addresses };
    return { kind: "place", placing: { request, ...caller, route, to: target, body, labelled } };
  }

  #inside(request: SipRequest, arrival: Arrival, now: Millis): Decision {
    const dialog = this.#calls.ofDialog(request);
    const isAck = request.method === "ACK";
    if (dialog === undefined) return isAck ? { kind: "drop" } : reject(481);
    const stranger = this.#strangerTo(dialog, request, arrival, now);
    if (stranger !== undefined) return isAck ? { kind: "drop" } : stranger;
    if (dialog.record.call.isSealed && changesMedia(request))
      return { kind: "reject", rejection: refusalOf("running-media") };
    const to = this.#partyBeyond(dialog, request);
    if (to === undefined) return isAck ? { kind: "drop" } : reject(404);
    return { kind: "in-dialog", request, to, dialog };
  }

  /** A request of a dialog must come from the party that it names as its sender. */
  #strangerTo(
    { record, side, tag }: DialogSide,
    request: SipRequest,
    { peer, flow }: Arrival,
    now: Millis,
  ): Decision | undefined {
    if (side === "callee") {
      const direct = canonicalAddress(peer.address) === record.contacts.get(tag);
      return direct || isPeerOfRoute(record.placing.route, peer) ? undefined : reject(403);
    }
    if (flow === record.callerFlow) return undefined;
    const isCaller = peer.identities.some((uri) => {
      const aor = parsed(() => addressOfRecord(uri));
      return aor.ok && aor.value === record.callerAor;
    });
    if (isCaller) return undefined;
    const admission = this.#gatekeeper.admit(request, peer, now);
    if (admission.kind === "user" && admission.user.aor === record.callerAor) return undefined;
    return admission.kind === "challenge" ? turnedAway(admission) : reject(403);
  }

  #partyBeyond({ record, side }: DialogSide, request: SipRequest): FlowId | Target | undefined {
    if (side === "callee") return record.callerFlow;
    const { sip, media } = this.#setting;
    return farTarget(request, sip, media);
  }
}

/** The body's own Content-ID, where it has one, is among those that the label names. */
function namesBody(request: SipRequest, cids: readonly string[]): boolean {
  const contentId = headerValue(request, "Content-ID");
  return contentId === undefined || cids.includes(stripContentId(contentId));
}

/** Offers in a running dialog: what they would open, nobody has judged. */
const changesMedia = ({ method, body }: SipRequest) =>
  method === "INVITE" || (method === "UPDATE" && body.length > 0);

const turnedAway = (admission: Admission & { kind: "challenge" | "forbidden" }): Decision =>
  admission.kind === "challenge"
    ? reject(407, [["Proxy-Authenticate", admission.value]])
    : reject(403);

function reject(
  status: number,
  headers: readonly (readonly [name: string, value: string])[] = [],
): Decision {
  return { kind: "reject", rejection: { status, reason: reasonPhrase(status), headers } };
}
