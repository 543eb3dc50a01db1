/**
 * Whether a request of a dialog comes from the party that it names as its sender, and where the
 * other party is (RFC 3261 §12.2, §16.5-16.6). Pure. A wrong sender changes nothing.
 */
import type { Millis } from "../../protocol/machine.ts";
import {
  isForbiddenMediaAddress,
  parseAddress,
  prefixContains,
} from "../../protocol/net/address.ts";
import { type FlowId, isReliableHop, type Peer, type Target } from "../../protocol/sip/flow.ts";
import { firstValue, type SipRequest } from "../../protocol/sip/message.ts";
import { nextHop } from "../../protocol/sip/next-hop.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { nextUri } from "./destination.ts";
import type { DialogPlace, Leg } from "./dialog-table.ts";
import { aorOfUri } from "./gatekeeper.ts";
import { hopTo, type NextHop, type RoutePlan } from "./next-hops.ts";
import { type Rejection, rejection } from "./sender.ts";
import { canonicalAddress } from "./sip-policy.ts";
import type { Site } from "./site.ts";
import { parsed } from "./verdict.ts";

/** What a datagram's source address is believed for: an end of what is there, no beginning. */
const BELIEVED_BY_ADDRESS: ReadonlySet<string> = new Set(["ACK", "BYE", "PRACK"]);

/** What a stranger to a dialog is told; undefined for the party itself. */
export function strangerTo(
  site: Site,
  { set, side, tag }: DialogPlace,
  request: SipRequest,
  received: Arrival,
  now: Millis,
): Rejection | undefined {
  const peer = site.gatekeeper.believed(received.peer, now);
  const isDisowned = peer !== received.peer;
  const arrival = isDisowned ? { ...received, peer } : received;
  const leg = side === "caller" ? set.caller : set.callees.get(tag);
  if (leg === undefined)
    return set.asked.some((each) => isAt(site, each, arrival)) && !isDisowned
      ? undefined
      : rejection(403);
  if (isAt(site, leg, arrival) && isEnough(leg, request, peer, isDisowned)) return undefined;
  const { aor } = leg.whom;
  if (aor === undefined) return rejection(403);
  if (peer.identities.some((uri) => aorOfUri(uri) === aor)) return undefined;
  const admission = site.gatekeeper.admit(request, peer, now);
  switch (admission.kind) {
    case "user":
      return admission.user.aor === aor ? undefined : rejection(403);
    case "challenge":
      return challenged(admission.values);
    default:
      return rejection(403);
  }
}

export const challenged = (values: readonly string[]): Rejection =>
  rejection(
    407,
    values.map((value) => ["Proxy-Authenticate", value] as const),
  );

/** The connection that the party used last, its trunk, or, of nobody here, its address. */
function isAt({ neighbourhood }: Site, leg: Leg, { flow, peer }: Arrival): boolean {
  if (flow === leg.flow) return true;
  const { trunk, aor } = leg.whom;
  if (trunk !== undefined && neighbourhood.trunkOfPeer(peer)?.domain === trunk.domain) return true;
  if (aor !== undefined) return false;
  const address = canonicalAddress(peer.address);
  return address === leg.contact || address === leg.peer.address;
}

/**
 * A connection is its owner's, unless it was opened with a certificate that is out of service; of
 * that one, as of a datagram, whose source anybody may write, only an end is believed.
 */
const isEnough = (
  { whom }: Leg,
  { method }: SipRequest,
  { transport }: Peer,
  isDisowned: boolean,
): boolean =>
  BELIEVED_BY_ADDRESS.has(method) ||
  (!isDisowned && (transport !== "udp" || whom.aor === undefined));

/** How the other party is reached; undefined if nothing that may be asked leads there. */
export function wayToParty(
  site: Site,
  leg: Leg | undefined,
  request: SipRequest,
): RoutePlan | undefined {
  const hop = parsed(() => nextHop(request));
  if (leg === undefined || !hop.ok) return undefined;
  const routed = firstValue(request, "Route") !== undefined;
  const flow = leg.whom.aor === undefined || routed ? undefined : leg.flow;
  if (flow !== undefined)
    return { kind: "groups", groups: [[waysByFlow(site, leg, flow, hop.value)]] };
  const target = permitted(site, leg, hop.value);
  if (target !== undefined && !site.neighbourhood.hasTransport(target.transport)) return undefined;
  if (target !== undefined) return { kind: "groups", groups: [[[hopTo(target, leg.whom)]]] };
  if (isLiteral(hop.value)) return undefined;
  const { trunk, aor } = leg.whom;
  if (site.policy.anyDomain && trunk === undefined && aor === undefined)
    return { kind: "locate", uri: nextUri(request), whom: leg.whom };
  // Whoever answered from there knows its own names.
  return leg.flow === undefined
    ? undefined
    : { kind: "groups", groups: [[[flowHop(leg, leg.flow)]]] };
}

/** A user is reached by his flow; if that is gone, where his Contact says. */
function waysByFlow(site: Site, leg: Leg, flow: FlowId, contact: Target): readonly NextHop[] {
  const target = permitted(site, leg, contact);
  const byFlow = flowHop(leg, flow);
  return target === undefined || !isReliableHop(flow)
    ? [byFlow]
    : [byFlow, hopTo(target, leg.whom)];
}

const flowHop = ({ peer, whom }: Leg, flow: FlowId): NextHop => ({
  to: flow,
  toward: peer,
  path: [],
  whom,
});

const isLiteral = ({ address }: Target): boolean => parsed(() => parseAddress(address)).ok;

/**
 * A trunk, the place that the party was seen at, or any place outside: what a sender writes into
 * Route and Request-URI sends nothing back inside, nor to ourselves.
 */
function permitted(site: Site, leg: Leg, target: Target): Target | undefined {
  const { neighbourhood } = site;
  const trunk = neighbourhood.trunkOfTarget(target);
  if (trunk?.place.kind === "address") {
    const { address, port } = trunk.place;
    const { transport, domain } = trunk;
    return { transport, address, port, ...(transport === "tls" ? { serverName: domain } : {}) };
  }
  const { address, ...rest } = target;
  const text = canonicalAddress(address);
  if (text === leg.peer.address && !neighbourhood.isOwnUri(uriOf(target)))
    return { ...rest, address: text };
  return isOutside(site, address) ? target : undefined;
}

/** False for what nobody may be sent to by his own or a stranger's word: inside, or ourselves. */
export function isOutside({ neighbourhood, media }: Site, address: string): boolean {
  const read = parsed(() => parseAddress(address));
  if (!read.ok || isForbiddenMediaAddress(read.value)) return false;
  const { text } = read.value;
  if (neighbourhood.isOwnAddress(text)) return false;
  if (media === undefined) return true;
  const inside = media.protectedPrefixes.some((prefix) => prefixContains(prefix, read.value));
  return !inside && !media.gatewayAddresses.includes(text);
}

const uriOf = ({ address: host, port }: Target) =>
  ({ scheme: "sip", host, port, params: [] }) as const;
