/**
 * The configuration as the core wants it: addresses in one spelling, the gateway's own ones
 * gathered. Reads the interfaces of this host.
 */
import { networkInterfaces } from "node:os";
import { parseAddress, parsePrefix } from "../../protocol/net/address.ts";
import type { Secret } from "../../protocol/secret.ts";
import { DEFAULT_PORTS } from "../../protocol/sip/next-hop.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import type { ControllerConfig } from "../config.ts";
import type { MediaPolicy } from "../core/media-policy.ts";
import { canonicalAddress, type SipPolicy } from "../core/sip-policy.ts";

export function sipPolicyOf(config: ControllerConfig, ha1: ReadonlyMap<number, Secret>): SipPolicy {
  const { name, domains, listen, route, user } = config;
  return {
    name,
    domains,
    listeners: listen.map((row) => ({ ...row, address: canonicalAddress(row.address) })),
    routes: route.map(({ domain, transport, address = "", port = DEFAULT_PORTS[transport] }) => ({
      domain,
      transport,
      address: canonicalAddress(address),
      port,
    })),
    users: user.map(({ aor, addresses }, at) => {
      const secret = ha1.get(at);
      return {
        aor: addressOfRecord(aor),
        addresses: addresses.map(canonicalAddress),
        ...(secret === undefined ? {} : { ha1: secret }),
      };
    }),
  };
}

export function mediaPolicyOf({ media, listen }: ControllerConfig): MediaPolicy {
  if (media === undefined) throw new TypeError("no gateway to open");
  const listened = listen.map(({ address }) => address);
  const own = [...media.gatewayAddresses, ...listened, ...interfaceAddresses()];
  return {
    protectedPrefixes: media.protectedPrefixes.map(parsePrefix),
    ports: media.ports,
    gatewayAddresses: [...new Set(own.map((text) => parseAddress(text).text))],
  };
}

/** What this host answers to by itself; link-local ones are never media addresses anyway. */
function interfaceAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => address)
    .filter((address) => !address.includes("%"));
}
