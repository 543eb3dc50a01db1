/**
 * The configuration as the core wants it: addresses in one spelling, the gateway's own ones
 * gathered. Reads the interfaces of this host.
 */
import { networkInterfaces } from "node:os";
import { parseAddress, parsePrefix } from "../../protocol/net/address.ts";
import { DEFAULT_PORTS } from "../../protocol/sip/next-hop.ts";
import { type ControllerConfig, MIN_SESSION_EXPIRES_S, type RouteRow } from "../config.ts";
import type { AuthorityPolicy } from "../core/authority-policy.ts";
import type { ControllerRules } from "../core/controller-port.ts";
import type { MediaPolicy } from "../core/media-policy.ts";
import { canonicalAddress, type SipPolicy, type Trunk } from "../core/sip-policy.ts";
import type { UserDirectory } from "../core/users.ts";
import type { Credentials } from "./credentials.ts";
import { type StoredUser, userOf } from "./user-entry.ts";

/** Everything of the configuration that may change while the controller runs. */
export function rulesOf(
  config: ControllerConfig,
  credentials: Credentials,
  users: UserDirectory,
  authority?: AuthorityPolicy,
): ControllerRules {
  const media = mediaPolicyOf(config);
  return {
    sip: sipPolicyOf(config, users),
    ...(media === undefined ? {} : { media }),
    ...(authority === undefined ? {} : { authority }),
    applyTimeoutMs: config.agent?.applyTimeoutMs ?? 0,
    recordingRequired: isRecordingRequired(config),
    bodyCertificate: credentials.body?.identity.certificate ?? Buffer.alloc(0),
  };
}

export const isRecordingRequired = ({ recording }: ControllerConfig): boolean =>
  recording?.required ?? false;

export function sipPolicyOf(config: ControllerConfig, users: UserDirectory): SipPolicy {
  const { name, domains, listen, route, digest, emergency, dns } = config;
  const { algorithms, nonceLifetimeS } = digest;
  return {
    name,
    domains,
    listeners: listen.map(({ transport, address, port }) => ({
      transport,
      address: canonicalAddress(address),
      port,
    })),
    trunks: route.map(trunkOf),
    users,
    digest: { algorithms, nonceLifetimeMs: nonceLifetimeS * 1000 },
    ...(emergency === undefined
      ? {}
      : { emergency: { numbers: new Set(emergency.numbers), trunk: emergency.route } }),
    sessionTimer: config.sessionTimer ?? { minSeS: MIN_SESSION_EXPIRES_S },
    anyDomain: dns?.anyDomain ?? false,
  };
}

function trunkOf(row: RouteRow): Trunk {
  const { domain, transport, address, host = "", port, from, identities, to, trusted } = row;
  return {
    domain,
    transport,
    place:
      address === undefined
        ? { kind: "name", host, ...(port === undefined ? {} : { port }) }
        : {
            kind: "address",
            address: canonicalAddress(address),
            port: port ?? DEFAULT_PORTS[transport],
          },
    from: from.map(parsePrefix),
    identities,
    to: new Set(to),
    trusted,
  };
}

/** The users that stand in the configuration itself. */
export const userRowsOf = (
  config: ControllerConfig,
  { userSecrets }: Pick<Credentials, "userSecrets">,
): readonly StoredUser[] =>
  config.user.map(({ ha1: _digests, sharedKey: _key, ...row }, at) =>
    userOf(row, userSecrets[at] ?? {}, isRecordingRequired(config)),
  );

/** Undefined without a gateway. */
export function mediaPolicyOf({ media, listen }: ControllerConfig): MediaPolicy | undefined {
  if (media === undefined) return undefined;
  const listened = listen.map(({ address }) => address);
  const own = [...media.gatewayAddresses, ...listened, ...interfaceAddresses()];
  return {
    protectedPrefixes: media.protectedPrefixes.map(parsePrefix),
    ports: media.ports,
    otherMedia: media.otherMedia,
    undecryptable: media.undecryptable,
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
