/**
 * What `keyhole ca init` makes: which certificates and keys, in which files, for whom. Pure.
 */
import { isProtocolError } from "../../protocol/errors.ts";
import { type Address, parseAddress } from "../../protocol/net/address.ts";
import type { AlternativeName } from "../../protocol/pki/general-name.ts";

export interface AuthorityRequest {
  /** SIP domain whose authority this is. */
  readonly domain: string;
  /** DNS name of the controller's host. */
  readonly controller: string;
  /** Addresses of record, `sip:user@domain`. */
  readonly users: readonly string[];
  /** IP addresses of the controller's host. */
  readonly addresses: readonly string[];
  /** Of every certificate. */
  readonly keyType: "p256" | "rsa2048" | "rsa3072";
}

/** One key pair and the two files that hold it. */
export type PlannedItem = {
  /** File names within the directory. */
  readonly privateFile: string;
  readonly publicFile: string;
  readonly purpose: string;
  /** Which programs need the private file. */
  readonly holder: string;
} & (
  | {
      readonly kind: "certificate";
      readonly profile: "authority" | "host" | "user";
      readonly commonName: string;
      readonly alternativeNames: readonly AlternativeName[];
      readonly keyType: AuthorityRequest["keyType"];
      /** How many authorities may follow below an authority. */
      readonly pathLength?: number;
      /** The public file goes on with the authority's own certificate. */
      readonly isChain?: true;
    }
  | { readonly kind: "key-pair"; readonly algorithm: "ed25519" | "x25519" }
);

export type AuthorityPlan =
  | { readonly kind: "plan"; readonly items: readonly PlannedItem[] }
  /** Everything that is wrong with the request. */
  | { readonly kind: "refused"; readonly faults: readonly string[] };

const DNS_NAME =
  /^(?=.{1,253}$)(?:[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?\.)*[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?$/i;
const ADDRESS_OF_RECORD = /^sips?:([^@:;?\s]+)@([^@;?\s]+)$/;
const FILE_NAME = /^[a-z\d][\w.+-]{0,63}$/i;

const KEY_PAIRS: readonly PlannedItem[] = [
  keyPair("order", "ed25519", "signs recording orders", "controller"),
  keyPair("recorder", "x25519", "opens recording orders", "recorder"),
  keyPair("archive", "x25519", "opens recordings", "whoever replays: keep it off the gateway"),
  keyPair("ledger", "ed25519", "signs the ledger of recordings", "recorder"),
];

/** Plans the authority, its host, its users and the keys of the programs, or says what is wrong. */
export function planAuthority(request: AuthorityRequest): AuthorityPlan {
  const items = [
    authorityItem(request),
    issuerItem(request),
    hostItem(request),
    ...request.users.map((user) => userItem(user, request)),
    ...KEY_PAIRS,
  ];
  const faults = [...findFaults(request), ...findCollisions(items)];
  return faults.length > 0 ? { kind: "refused", faults } : { kind: "plan", items };
}

function findFaults({ domain, controller, users, addresses }: AuthorityRequest): string[] {
  const faults: string[] = [];
  if (!DNS_NAME.test(domain)) faults.push(`--domain '${domain}': not a DNS name`);
  if (!DNS_NAME.test(controller)) faults.push(`--controller '${controller}': not a DNS name`);
  for (const address of addresses)
    if (tryParseAddress(address) === undefined)
      faults.push(`--address '${address}': not an IP address`);
  for (const user of users) {
    const [, name = "", host = ""] = ADDRESS_OF_RECORD.exec(user) ?? [];
    if (!FILE_NAME.test(name) || !DNS_NAME.test(host))
      faults.push(`--user '${user}': not an address of record like sip:alice@${domain}`);
  }
  return faults;
}

function findCollisions(items: readonly PlannedItem[]): string[] {
  const files = items.flatMap(({ privateFile, publicFile }) => [privateFile, publicFile]);
  const twice = new Set(files.filter((file, index) => files.indexOf(file) !== index));
  return [...twice].map((file) => `${file}: two owners would share this file`);
}

function authorityItem({ domain, keyType }: AuthorityRequest): PlannedItem {
  return {
    kind: "certificate",
    profile: "authority",
    keyType,
    pathLength: 1,
    commonName: `${domain} Keyhole CA`,
    alternativeNames: [],
    ...certificateFiles("ca"),
    purpose: `authority of ${domain}`,
    holder: "nobody online: it signs new certificates",
  };
}

/** Certifies users while they register, so that the root's key need not be where the network is. */
function issuerItem({ domain, keyType }: AuthorityRequest): PlannedItem {
  return {
    kind: "certificate",
    profile: "authority",
    keyType,
    pathLength: 0,
    isChain: true,
    commonName: `${domain} Keyhole issuer`,
    alternativeNames: [],
    ...certificateFiles("issuer"),
    purpose: `certifies phones of ${domain}`,
    holder: "controller",
  };
}

function hostItem({ domain, controller, addresses, keyType }: AuthorityRequest): PlannedItem {
  const parsed = addresses.flatMap((address) => tryParseAddress(address) ?? []);
  return {
    kind: "certificate",
    profile: "host",
    keyType,
    commonName: controller,
    alternativeNames: [
      { kind: "dns", name: controller },
      { kind: "uri", uri: `sip:${domain}` }, // speaks for its domain (RFC 5922 §7.1)
      ...parsed.map(({ octets }) => ({ kind: "address" as const, octets })),
    ],
    ...certificateFiles(controller),
    purpose: "TLS server, recipient of sealed SDP",
    holder: "controller",
  };
}

function userItem(user: string, { keyType }: AuthorityRequest): PlannedItem {
  const name = ADDRESS_OF_RECORD.exec(user)?.[1] ?? "";
  return {
    kind: "certificate",
    profile: "user",
    keyType,
    commonName: user,
    alternativeNames: [{ kind: "uri", uri: user }],
    ...certificateFiles(name),
    purpose: `signs, seals and TLS for ${user}`,
    holder: `device of ${name}`,
  };
}

function keyPair(
  name: string,
  algorithm: "ed25519" | "x25519",
  purpose: string,
  holder: string,
): PlannedItem {
  return {
    kind: "key-pair",
    algorithm,
    privateFile: `${name}.key`,
    publicFile: `${name}.pub`,
    purpose,
    holder,
  };
}

const certificateFiles = (name: string): { privateFile: string; publicFile: string } => ({
  privateFile: `${name}.key`,
  publicFile: `${name}.pem`,
});

function tryParseAddress(text: string): Address | undefined {
  try {
    return parseAddress(text);
  } catch (error) {
    if (isProtocolError(error)) return undefined;
    throw error;
  }
}
