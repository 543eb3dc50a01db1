/**
 * Whom a request outside any dialog is for (RFC 3261 §16.5): this proxy, a user of ours, a trunk,
 * an emergency service, or a domain that only DNS knows. Its own Route is taken off already. Pure.
 */
import type { SipRequest } from "../../protocol/sip/message.ts";
import { firstValue } from "../../protocol/sip/message.ts";
import { parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { nextHop } from "../../protocol/sip/next-hop.ts";
import {
  canonicalUser,
  isSipScheme,
  parseSipUri,
  type SipUri,
  serializeHostPort,
} from "../../protocol/sip/uri.ts";
import type { Neighbourhood } from "./neighbourhood.ts";
import type { SipPolicy, Trunk } from "./sip-policy.ts";
import { parsed } from "./verdict.ts";

export type Destination =
  | { readonly kind: "self" }
  /** In the spelling of `addressOfRecord`, scheme `sip`. */
  | { readonly kind: "user"; readonly aor: string }
  | { readonly kind: "trunk"; readonly trunk: Trunk }
  | { readonly kind: "emergency"; readonly trunk: Trunk }
  /** Of its next hop: a Route that the sender chose, or the Request-URI. */
  | { readonly kind: "domain"; readonly uri: string }
  | { readonly kind: "nowhere"; readonly status: number };

type Known = Pick<SipPolicy, "emergency" | "anyDomain">;

const SOS = /^urn:service:sos(?:\.[a-z\d.-]+)?$/i;
const NOT_FOUND = { kind: "nowhere", status: 404 } as const;

/** True for a URI that asks for an emergency service (RFC 5031), or a number that is dialled for it. */
export function isEmergencyUri(uri: string, { emergency }: Known): boolean {
  if (emergency === undefined) return false;
  if (!isSipScheme(uri)) return SOS.test(uri) || emergency.numbers.has(uri.replace(/^tel:/i, ""));
  const colon = uri.indexOf(":");
  const at = uri.indexOf("@", colon);
  return at > 0 && emergency.numbers.has(uri.slice(colon + 1, at).split(";", 1)[0] ?? "");
}

export function destinationOf(
  request: SipRequest,
  policy: Known,
  neighbourhood: Neighbourhood,
): Destination {
  const { emergency } = policy;
  if (emergency !== undefined && isForHelp(request.uri, policy, neighbourhood)) {
    const trunk = neighbourhood.trunkOfDomain(emergency.trunk);
    return trunk === undefined ? NOT_FOUND : { kind: "emergency", trunk };
  }
  if (firstValue(request, "Route") !== undefined) return routed(request, policy, neighbourhood);
  const uri = parsed(() => parseSipUri(request.uri));
  if (!uri.ok) return { kind: "nowhere", status: 416 };
  const { host, user } = uri.value;
  if (neighbourhood.isOwnDomain(host) || neighbourhood.isOwnUri(uri.value))
    return user === undefined ? { kind: "self" } : { kind: "user", aor: aorOf(uri.value) };
  return foreign(request, policy, neighbourhood);
}

/** A number is one of ours to dial only in our own domains. */
function isForHelp(uri: string, policy: Known, neighbourhood: Neighbourhood): boolean {
  if (!isEmergencyUri(uri, policy)) return false;
  if (!isSipScheme(uri)) return true;
  const read = parsed(() => parseSipUri(uri));
  return (
    read.ok && (neighbourhood.isOwnDomain(read.value.host) || neighbourhood.isOwnUri(read.value))
  );
}

/** A Route of the sender's own choice leads to a trunk, or wherever DNS may lead. */
function routed(request: SipRequest, policy: Known, neighbourhood: Neighbourhood): Destination {
  const found = foreign(request, policy, neighbourhood);
  return found.kind === "nowhere" ? { kind: "nowhere", status: 403 } : found;
}

function foreign(
  request: SipRequest,
  { anyDomain }: Known,
  neighbourhood: Neighbourhood,
): Destination {
  const hop = parsed(() => nextHop(request));
  if (!hop.ok) return NOT_FOUND;
  const trunk = neighbourhood.trunkOfTarget(hop.value);
  if (trunk !== undefined) return { kind: "trunk", trunk };
  return anyDomain ? { kind: "domain", uri: nextUri(request) } : NOT_FOUND;
}

/** The URI of the next hop: the topmost Route's, or the Request-URI. @throws ProtocolError as `nextHop`. */
export const nextUri = (request: SipRequest): string => {
  const route = firstValue(request, "Route");
  return route === undefined ? request.uri : parseNameAddr(route).uri;
};

/** As `addressOfRecord`, but one name for `sip` and `sips`. */
export function aorOf({ user = "", host }: SipUri): string {
  const name = serializeHostPort(host.toLowerCase().replace(/\.$/, ""));
  return `sip:${user.includes("%") ? canonicalUser(user) : user}@${name}`;
}
