/**
 * From a SIP URI to the servers to try, in order (RFC 3263 §4, both address families alike:
 * RFC 7984). Pure: the resolver and chance are arguments.
 */
import { isProtocolError } from "../errors.ts";
import { parseAddress } from "../net/address.ts";
import type { SipTransport, Target } from "./flow.ts";
import { DEFAULT_PORTS } from "./next-hop.ts";
import { chooseNaptr, type NaptrRecord, orderSrv, type SrvRecord } from "./service-records.ts";
import { parseSipUri, type SipUri, uriParam } from "./uri.ts";

/**
 * What DNS said. No records: the name or the type does not exist. `unreachable`: nobody answered;
 * `refused`: somebody did, but not to the question.
 */
export type DnsAnswer<R> =
  | { readonly kind: "records"; readonly records: readonly R[] }
  | { readonly kind: "failed"; readonly reason: "unreachable" | "refused" };

/** Asks DNS; keeps what it learns as long as it may. */
export interface SipResolver {
  naptr(name: string): Promise<DnsAnswer<NaptrRecord>>;
  srv(name: string): Promise<DnsAnswer<SrvRecord>>;
  /** Of A and AAAA together. */
  addresses(name: string): Promise<DnsAnswer<string>>;
}

export interface LocateSetting {
  readonly resolver: SipResolver;
  /** What we speak, what we like best first. */
  readonly supported: readonly SipTransport[];
  /** Families we can send to, the preferred first; both if absent, IPv6 first (RFC 6724). */
  readonly families?: readonly (4 | 6)[];
  /** For SRV weights. */
  readonly random: (size: number) => Buffer;
}

/** `none`: no such server, or none we can speak to. `failed`: DNS did not tell; later it may. */
export type Located =
  | { readonly kind: "found"; readonly targets: readonly Target[] }
  | { readonly kind: "none" }
  | { readonly kind: "failed" };

/** Targets of one URI; whoever needs more is down. */
export const MAX_TARGETS = 16;
/** Hosts of one URI whose addresses are asked for. */
export const MAX_SERVERS = 8;

/** One transport at one name: where SRV records would be. */
interface Service {
  readonly transport: SipTransport;
  readonly srvName: string;
}

/** One host that offers a transport at a port. */
interface Server {
  readonly transport: SipTransport;
  readonly host: string;
  readonly port: number;
}

const SERVICE_NAMES: Readonly<Record<SipTransport, string>> = {
  udp: "_sip._udp",
  tcp: "_sip._tcp",
  tls: "_sips._tcp",
};

/**
 * The servers of a `sip:` or `sips:` URI (§4.1, §4.2).
 * @throws ProtocolError `ERR_SIP_SYNTAX` for text that is none.
 */
export async function locateServer(uri: string | SipUri, setting: LocateSetting): Promise<Located> {
  const parsed = typeof uri === "string" ? parseSipUri(uri) : uri;
  const literal = locateLiteral(parsed, setting);
  if (literal !== undefined) return found(literal);
  const allowed = setting.supported.filter((transport) => mayCarry(parsed, transport));
  const [first] = allowed;
  if (first === undefined) return { kind: "none" };
  const name = targetName(parsed);
  const plain = allowed.includes(defaultTransport(parsed)) ? defaultTransport(parsed) : first;
  const at = (transport: SipTransport, port = DEFAULT_PORTS[transport]) =>
    atServers([{ transport, host: name, port }], parsed, setting);
  if (parsed.port !== undefined) return at(plain, parsed.port);

  const services = await servicesOf(name, allowed, hasTransport(parsed), setting);
  if (services === "unreachable") return { kind: "failed" };
  const servers = await serversOf(services, setting);
  if (servers === "unreachable") return { kind: "failed" };
  return servers === undefined ? at(plain) : atServers(servers, parsed, setting);
}

/** The targets of a URI with a numeric host, without DNS; undefined for a name. */
export function locateLiteral(
  uri: string | SipUri,
  { supported, families = BOTH }: Pick<LocateSetting, "supported" | "families">,
): readonly Target[] | undefined {
  const parsed = typeof uri === "string" ? parseSipUri(uri) : uri;
  const name = targetName(parsed);
  const family = familyOf(name);
  if (family === undefined) return undefined;
  const allowed = supported.filter((transport) => mayCarry(parsed, transport));
  const usual = defaultTransport(parsed);
  const transport = allowed.includes(usual) ? usual : allowed[0];
  if (transport === undefined || !families.includes(family)) return [];
  return [
    targetAt(name, { transport, port: parsed.port ?? DEFAULT_PORTS[transport] }, parsed.host),
  ];
}

/** The transports at a name, as NAPTR tells, or else all that may carry the URI (§4.1). */
async function servicesOf(
  name: string,
  allowed: readonly SipTransport[],
  isGiven: boolean,
  { resolver }: LocateSetting,
): Promise<readonly Service[] | "unreachable"> {
  const usual = allowed.map((transport) => ({
    transport,
    srvName: `${SERVICE_NAMES[transport]}.${name}`,
  }));
  if (isGiven) return usual;
  const answer = await resolver.naptr(name);
  if (answer.kind === "failed" && answer.reason === "unreachable") return "unreachable";
  const chosen = answer.kind === "failed" ? [] : chooseNaptr(answer.records, allowed);
  return chosen.length === 0 ? usual : chosen;
}

/**
 * The hosts behind services, in order; none if they are stated not to exist (RFC 2782, target "."),
 * undefined if there is no SRV record at all.
 */
async function serversOf(
  services: readonly Service[],
  { resolver, random }: LocateSetting,
): Promise<readonly Server[] | undefined | "unreachable"> {
  const answers = await Promise.all(services.map(({ srvName }) => resolver.srv(srvName)));
  const servers: Server[] = [];
  let isStated = false;
  for (const [index, answer] of answers.entries()) {
    const transport = services[index]?.transport;
    if (answer.kind === "failed") {
      if (answer.reason === "unreachable") return "unreachable";
      continue;
    }
    if (transport === undefined || answer.records.length === 0) continue;
    isStated = true;
    for (const { name, port } of orderSrv(answer.records, random))
      servers.push({ transport, host: name, port });
  }
  return isStated ? servers : undefined;
}

/** All addresses of the servers, server by server. */
async function atServers(
  servers: readonly Server[],
  uri: SipUri,
  { resolver, families = BOTH }: LocateSetting,
): Promise<Located> {
  const asked = servers.slice(0, MAX_SERVERS);
  const answers = await Promise.all(asked.map(({ host }) => resolver.addresses(host)));
  const targets = answers.flatMap((answer, index) => {
    const server = asked[index];
    if (server === undefined || answer.kind === "failed") return [];
    return families.flatMap((family) =>
      answer.records
        .filter((address) => familyOf(address) === family)
        .map((address) => targetAt(address, server, uri.host)),
    );
  });
  const isSure = answers.every(({ kind }) => kind === "records");
  return found(targets, isSure ? { kind: "none" } : { kind: "failed" });
}

const BOTH = [6, 4] as const;

const found = (targets: readonly Target[], otherwise: Located = { kind: "none" }): Located =>
  targets.length === 0 ? otherwise : { kind: "found", targets: targets.slice(0, MAX_TARGETS) };

/** The certificate must be that of the URI's host, wherever DNS led (RFC 5922 §4). */
const targetAt = (
  address: string,
  { transport, port }: Pick<Server, "transport" | "port">,
  serverName: string,
): Target => ({ transport, address, port, ...(transport === "tls" ? { serverName } : {}) });

/** What RFC 3263 §4 calls TARGET. */
const targetName = (uri: SipUri): string =>
  unbracketed(uriParam(uri, "maddr") ?? uri.host)
    .toLowerCase()
    .replace(/\.$/, "");

const unbracketed = (host: string): string => host.replace(/^\[(.*)\]$/, "$1");

const defaultTransport = ({ scheme }: SipUri): SipTransport => (scheme === "sips" ? "tls" : "udp");

const hasTransport = (uri: SipUri): boolean => uriParam(uri, "transport") !== undefined;

/** `sips` is TLS all the way; `transport=tls` in a `sip` URI is obsolete, yet everybody writes it. */
function mayCarry(uri: SipUri, transport: SipTransport): boolean {
  const named = uriParam(uri, "transport")?.toLowerCase();
  if (uri.scheme === "sips") return transport === "tls" && named !== "udp";
  return named === undefined || named === transport;
}

function familyOf(host: string): 4 | 6 | undefined {
  if (!/^[\d.]+$|:/.test(host)) return undefined;
  try {
    return parseAddress(host).family;
  } catch (error) {
    if (isProtocolError(error)) return undefined;
    throw error;
  }
}
