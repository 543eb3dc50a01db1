/**
 * Where a request goes: to the route of another domain, to a party of a call, or nowhere
 * (RFC 3261 §16.5, §16.6 items 6-7). Names are resolved by configuration alone. Pure.
 */
import {
  isForbiddenMediaAddress,
  parseAddress,
  prefixContains,
} from "../../protocol/net/address.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { nextHop } from "../../protocol/sip/next-hop.ts";
import { addressOfRecord, parseSipUri } from "../../protocol/sip/uri.ts";
import type { MediaPolicy } from "./media-policy.ts";
import { isOwnUri, type Route, routeOfTarget, routeTarget, type SipPolicy } from "./sip-policy.ts";
import { parsed } from "./verdict.ts";

export type Destination =
  | { readonly kind: "route"; readonly route: Route; readonly target: Target }
  /** This proxy itself. */
  | { readonly kind: "self" }
  /** One of our own users, known or not: there is no location service to ask. */
  | { readonly kind: "own-user"; readonly known: boolean }
  | { readonly kind: "nowhere" };

/** Where a request outside any dialog goes; its own Route is taken off already. */
export function destinationOf(request: SipRequest, policy: SipPolicy): Destination {
  const hop = parsed(() => nextHop(request));
  const route = hop.ok ? routeOfTarget(policy, hop.value) : undefined;
  if (route !== undefined) return { kind: "route", route, target: routeTarget(route) };
  const uri = parsed(() => parseSipUri(request.uri));
  if (!uri.ok) return { kind: "nowhere" };
  const domain = policy.domains.includes(uri.value.host.toLowerCase());
  if (!domain && !isOwnUri(policy, uri.value)) return { kind: "nowhere" };
  if (uri.value.user === undefined) return { kind: "self" };
  const aor = addressOfRecord(request.uri);
  return { kind: "own-user", known: policy.users.some((user) => user.aor === aor) };
}

/**
 * Where a request of a dialog goes on the far side: to a route, or straight to the address that
 * the callee's Contact names, never back inside and never to ourselves.
 */
export function farTarget(
  request: SipRequest,
  policy: SipPolicy,
  media: Pick<MediaPolicy, "protectedPrefixes" | "gatewayAddresses">,
): Target | undefined {
  const hop = parsed(() => nextHop(request));
  if (!hop.ok) return undefined;
  const route = routeOfTarget(policy, hop.value);
  if (route !== undefined) return routeTarget(route);
  const address = parsed(() => parseAddress(hop.value.address));
  if (!address.ok || isForbiddenMediaAddress(address.value)) return undefined;
  const inside = media.protectedPrefixes.some((prefix) => prefixContains(prefix, address.value));
  const own = [...policy.listeners.map((listener) => listener.address), ...media.gatewayAddresses];
  return inside || own.includes(address.value.text) ? undefined : hop.value;
}
