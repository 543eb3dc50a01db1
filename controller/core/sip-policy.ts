/**
 * What the proxy knows of its neighbourhood: where it listens, whom it serves, where other domains
 * are; and which of a message's addresses are its own (RFC 3261 §16.4-16.6, RFC 5658). Pure.
 */
import { type Address, parseAddress } from "../../protocol/net/address.ts";
import type { Secret } from "../../protocol/secret.ts";
import type { Peer, SipTransport, Target } from "../../protocol/sip/flow.ts";
import { DEFAULT_PORTS } from "../../protocol/sip/next-hop.ts";
import { type SipUri, serializeHostPort } from "../../protocol/sip/uri.ts";
import type { Via } from "../../protocol/sip/via.ts";
import { parsed } from "./verdict.ts";

export interface Listener {
  readonly transport: SipTransport;
  /** Canonical. */
  readonly address: string;
  readonly port: number;
}

/** The next hop for one other domain, and the only one that may call from there. */
export interface Route extends Listener {
  readonly domain: string;
}

export interface User {
  /** In the spelling of `addressOfRecord`. */
  readonly aor: string;
  /** H(user:realm:password), if he may use digest. */
  readonly ha1?: Secret;
  /** Canonical addresses of his media, beside the one that he signals from. */
  readonly addresses: readonly string[];
}

export interface SipPolicy {
  /** Host name, lower case. */
  readonly name: string;
  readonly domains: readonly string[];
  readonly listeners: readonly Listener[];
  readonly routes: readonly Route[];
  readonly users: readonly User[];
}

/** Canonical text of an address literal; anything else as it came. */
export function canonicalAddress(text: string): string {
  const address = parsed(() => parseAddress(text));
  return address.ok ? address.value.text : text;
}

/** True for a Route or Request-URI that names this proxy itself. */
export function isOwnUri({ name, listeners }: SipPolicy, { host, port }: SipUri): boolean {
  if (host.toLowerCase() === name)
    return port === undefined || listeners.some((listener) => listener.port === port);
  const address = canonicalAddress(host);
  return listeners.some(
    (listener) =>
      listener.address === address && listener.port === (port ?? DEFAULT_PORTS[listener.transport]),
  );
}

/** True for a Via that this proxy wrote. */
export function isOwnVia({ listeners }: SipPolicy, { host, port, transport }: Via): boolean {
  return listeners.some(
    (listener) =>
      listener.address === canonicalAddress(host) &&
      listener.port === port &&
      listener.transport === transport.toLowerCase(),
  );
}

/** The URI by which others reach a listener. */
export const listenerUri = ({ transport, address, port }: Listener): string =>
  `sip:${serializeHostPort(address, port)};transport=${transport}`;

/**
 * The listener that faces an address: of those with its transport, the one that shares most
 * leading bits with it.
 */
export function listenerFacing(
  { listeners }: SipPolicy,
  { transport, address }: Pick<Target, "transport" | "address">,
): Listener | undefined {
  const faced = parsed(() => parseAddress(address));
  const candidates = listeners.filter((listener) => listener.transport === transport);
  const shared = (listener: Listener) =>
    faced.ok ? sharedBits(parseAddress(listener.address), faced.value) : 0;
  return candidates.toSorted((one, other) => shared(other) - shared(one))[0];
}

/** The listener that a peer's connection came to, as far as it can be told. */
export function listenerOf(
  policy: SipPolicy,
  peer: Omit<Peer, "port" | "identities">,
): Listener | undefined {
  const reached = policy.listeners.find(
    ({ transport, address }) => transport === peer.transport && address === peer.localAddress,
  );
  return reached ?? listenerFacing(policy, peer);
}

/** True for the next hop of a route, by address and transport: its port may be any. */
export const isPeerOfRoute = (route: Route, peer: Peer): boolean =>
  route.address === canonicalAddress(peer.address) && route.transport === peer.transport;

/** The route that a target means, by domain name or by address and port. */
export function routeOfTarget({ routes }: SipPolicy, target: Target): Route | undefined {
  const host = target.address.toLowerCase();
  const address = canonicalAddress(host);
  return routes.find(
    (route) => route.domain === host || (route.address === address && route.port === target.port),
  );
}

/** A route as the transport wants it. */
export const routeTarget = ({ transport, address, port, domain }: Route): Target => ({
  transport,
  address,
  port,
  ...(transport === "tls" ? { serverName: domain } : {}),
});

function sharedBits(one: Address, other: Address): number {
  if (one.family !== other.family) return -1;
  const differing = one.octets.findIndex((octet, index) => octet !== other.octets[index]);
  if (differing < 0) return one.octets.length * 8;
  const difference = (one.octets[differing] ?? 0) ^ (other.octets[differing] ?? 0);
  return differing * 8 + Math.clz32(difference) - 24;
}
