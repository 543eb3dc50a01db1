/**
 * Two domains that trust each other with their own users and nothing else, as configuration files:
 * atlanta's controller stands on the gateway, biloxi's behind it. Pure.
 */
import { type Config, IDENTITIES } from "./site-config.ts";
import { type HostName, LEAVES } from "./topology.ts";

export const SIP_PORT = 5060;
export const SIPS_PORT = 5061;

/** One domain of the two, and what is where in it. */
export interface Domain {
  readonly name: string;
  readonly controller: string;
  /** Where its controller runs. */
  readonly host: HostName;
  /** Where phones reach it. */
  readonly inside: string;
  /** Where the other domain reaches it. */
  readonly outside: string;
  readonly users: readonly string[];
  /** Those of them who have a certificate of the root before they register. */
  readonly certified: readonly string[];
}

export const DOMAINS = {
  atlanta: {
    name: "atlanta.example.com",
    controller: "ss1.atlanta.example.com",
    host: "gateway",
    inside: LEAVES.alice.router,
    outside: LEAVES.biloxi.router,
    users: ["alice", "carol"],
    certified: ["alice"],
  },
  biloxi: {
    name: "biloxi.example.com",
    controller: "ss2.biloxi.example.com",
    host: "biloxi",
    inside: LEAVES.biloxi.address,
    outside: LEAVES.biloxi.address,
    users: ["bob", "dave"],
    certified: ["dave"],
  },
} as const satisfies Readonly<Record<string, Domain>>;
export type DomainName = keyof typeof DOMAINS;

export const aorIn = (domain: DomainName, user: string): string =>
  `sip:${user}@${DOMAINS[domain].name}`;
export const passwordOf = (user: string): string => `the word of ${user}`;

/** A controller's file: phones by TLS, or TCP in clear; the other domain by TLS alone. */
export function domainConfig(name: DomainName, more: Config = {}): Config {
  const own: Domain = DOMAINS[name];
  const other = DOMAINS[name === "atlanta" ? "biloxi" : "atlanta"];
  const credentials = {
    certificate: `${own.controller}.pem`,
    key: `${own.controller}.key`,
    anchors: ["ca.pem"],
  };
  return {
    name: own.controller,
    domains: [own.name],
    process: IDENTITIES.controller,
    log: { level: "debug" },
    tls: credentials,
    body: credentials,
    listen: [
      ...[...new Set([own.inside, own.outside])].map((address) => ({
        ...{ transport: "tls", address, port: SIPS_PORT, clientCertificates: "request" },
      })),
      { transport: "tcp", address: own.inside, port: SIP_PORT },
    ],
    route: [
      {
        ...{ domain: other.name, transport: "tls", address: other.outside, port: SIPS_PORT },
        identities: [`sip:${other.name}`],
      },
    ],
    user: own.users.map((user) => ({
      ...{ aor: aorIn(name, user), ha1: `${user}.ha1`, sharedKey: `${user}.sharedkey` },
    })),
    registrar: { minExpiresS: 1 },
    state: { database: "state.sqlite" },
    authority: {
      certificate: "issuer.pem",
      key: "issuer.key",
      database: "authority.sqlite",
      trust: [{ domain: other.name, anchors: [`${other.name}-ca.pem`] }],
    },
    ...more,
  };
}

/** A phone's file. */
export function domainPhoneConfig(name: DomainName, user: string, more: Config = {}): Config {
  const { inside, controller } = DOMAINS[name];
  return {
    aor: aorIn(name, user),
    address: LEAVES[name === "atlanta" ? "alice" : "bob"].address,
    trust: { anchors: ["ca.pem"] },
    outbound: { transport: "tls", address: inside, port: SIPS_PORT, serverName: controller },
    registration: phoneRegistration(name, user),
    ...more,
  };
}

/** The table `[registration]`; `more` replaces its keys. */
export const phoneRegistration = (name: DomainName, user: string, more: Config = {}): Config => ({
  store: `${user}.json`,
  password: `${user}.password`,
  controller: `${DOMAINS[name].controller}.pem`,
  ...more,
});
