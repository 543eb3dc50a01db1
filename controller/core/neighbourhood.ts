/**
 * Which of a message's addresses are our own, by which listener somebody is reached, and which
 * trunk stands where (RFC 3261 §16.4-16.6, RFC 5658). Pure. What is asked for every message is
 * looked up in tables made once.
 */
import {
  type Address,
  type Prefix,
  parseAddress,
  prefixContains,
} from "../../protocol/net/address.ts";
import type { FlowId, Peer, SipTransport, Target } from "../../protocol/sip/flow.ts";
import { DEFAULT_PORTS } from "../../protocol/sip/next-hop.ts";
import { type SipUri, serializeHostPort } from "../../protocol/sip/uri.ts";
import type { Via } from "../../protocol/sip/via.ts";
import { canonicalAddress, type Listener, type SipPolicy, type Trunk } from "./sip-policy.ts";
import { parsed } from "./verdict.ts";

/** Who stands at the other end of a hop. */
export type Neighbour = Pick<Peer, "transport" | "address" | "localAddress" | "localPort">;

/** A listener, and how it is written into messages. */
export interface Door extends Listener {
  /** Record-Route value. */
  readonly route: string;
  /** Record-Route value for what must not leave TLS. */
  readonly secureRoute: string;
}

/** Addresses of which it is remembered which listener faces them. */
export const MAX_FACED = 10_000;

type Known = Pick<SipPolicy, "name" | "domains" | "listeners" | "trunks">;

export class Neighbourhood {
  readonly #doors: readonly Door[];
  readonly #domains: ReadonlySet<string>;
  readonly #trunks: readonly Trunk[];
  readonly #ownPlaces: ReadonlySet<string>;
  readonly #ownVias: ReadonlySet<string>;
  readonly #ownAddresses: ReadonlySet<string>;
  readonly #reached = new Map<string, Door>();
  readonly #faced = new Map<string, Door | undefined>();
  readonly #trunkOfDomain: ReadonlyMap<string, Trunk>;
  readonly #trunkOfSource = new Map<string, Trunk>();
  readonly #trunkOfPlace = new Map<string, Trunk>();

  constructor({ name, domains, listeners, trunks }: Known) {
    this.#doors = listeners.map(doorOf);
    this.#domains = new Set(domains);
    this.#trunks = trunks;
    this.#ownPlaces = new Set([`${name}|`, ...listeners.flatMap((each) => placesOf(name, each))]);
    this.#ownVias = new Set(listeners.map(viaKey));
    this.#ownAddresses = new Set(listeners.map(({ address }) => address));
    for (const door of this.#doors.toReversed()) {
      const { transport, address, port } = door;
      this.#reached.set(`${transport}|${address}`, door);
      this.#reached.set(`${transport}|${address}|${port}`, door);
    }
    this.#trunkOfDomain = new Map(trunks.map((trunk) => [trunk.domain, trunk]));
    for (const trunk of trunks) this.#indexTrunk(trunk);
  }

  #indexTrunk(trunk: Trunk): void {
    const { place, transport } = trunk;
    if (place.kind === "address") {
      this.#trunkOfSource.set(`${transport}|${place.address}`, trunk);
      this.#trunkOfPlace.set(`${place.address}|${place.port}`, trunk);
    } else this.#trunkOfPlace.set(`${place.host}|`, trunk);
  }

  isOwnDomain(host: string): boolean {
    return this.#domains.has(host) || this.#domains.has(host.toLowerCase());
  }

  /** True for a Route or Request-URI that names this proxy itself. */
  isOwnUri({ host, port }: SipUri): boolean {
    const key = `${canonicalAddress(host)}|${port ?? ""}`;
    return this.#ownPlaces.has(key) || this.#ownPlaces.has(key.toLowerCase());
  }

  /** True for a Via that this proxy wrote. */
  isOwnVia({ host, port, transport }: Via): boolean {
    const key = `${transport.toLowerCase()}|${canonicalAddress(host)}|${port ?? ""}`;
    return this.#ownVias.has(key);
  }

  isOwnAddress(address: string): boolean {
    return this.#ownAddresses.has(address);
  }

  hasTransport(transport: SipTransport): boolean {
    return this.#doors.some((door) => door.transport === transport);
  }

  /** The listener that a hop passes; undefined if none has its transport. */
  doorTo({ transport, address, localAddress, localPort }: Neighbour): Door | undefined {
    if (localAddress === undefined) return this.#facing(transport, address);
    return (
      this.#reached.get(`${transport}|${localAddress}|${localPort ?? ""}`) ??
      this.#reached.get(`${transport}|${localAddress}`) ??
      this.#facing(transport, address)
    );
  }

  /** A datagram leaves by the listener whose address its Via has (RFC 3261 §18.1.1). */
  wayTo(to: FlowId | Target, toward: Neighbour): FlowId | Target {
    if (typeof to === "string" || to.transport !== "udp") return to;
    const door = this.doorTo(toward);
    return door === undefined ? to : { ...to, localAddress: door.address, localPort: door.port };
  }

  /** Of the listeners with that transport, the one that shares most leading bits with an address. */
  #facing(transport: SipTransport, address: string): Door | undefined {
    const key = `${transport}|${address}`;
    if (this.#faced.has(key)) return this.#faced.get(key);
    const faced = parsed(() => parseAddress(address));
    const shared = (door: Door) =>
      faced.ok ? sharedBits(parseAddress(door.address), faced.value) : 0;
    const candidates = this.#doors.filter((door) => door.transport === transport);
    const [best] = candidates.toSorted((one, other) => shared(other) - shared(one));
    if (this.#faced.size >= MAX_FACED) this.#faced.clear();
    this.#faced.set(key, best);
    return best;
  }

  trunkOfDomain(domain: string): Trunk | undefined {
    return this.#trunkOfDomain.get(domain.toLowerCase());
  }

  /**
   * The trunk that speaks: by its certificate, where its route names any, else by its address and
   * transport; its port may be any.
   */
  trunkOfPeer({ transport, address, identities }: Peer): Trunk | undefined {
    const isShown = (trunk: Trunk): boolean =>
      identities.some((uri) => trunk.identities.includes(uri));
    const known = this.#trunkOfSource.get(`${transport}|${address}`);
    if (known !== undefined)
      return known.identities.length === 0 || isShown(known) ? known : undefined;
    return this.#trunks.find(
      (trunk) =>
        trunk.transport === transport &&
        (trunk.identities.length === 0 ? isWithin(trunk.from, address) : isShown(trunk)),
    );
  }

  /** The trunk that a target means, by name or by address and port. */
  trunkOfTarget({ address, port }: Pick<Target, "address" | "port">): Trunk | undefined {
    const host = address.toLowerCase();
    return (
      this.#trunkOfDomain.get(host) ??
      this.#trunkOfPlace.get(`${canonicalAddress(host)}|${port}`) ??
      this.#trunkOfPlace.get(`${host}|`)
    );
  }
}

function doorOf(listener: Listener): Door {
  const { transport, address, port } = listener;
  const place = serializeHostPort(address, port);
  return {
    ...listener,
    route: `<sip:${place};transport=${transport};lr>`,
    secureRoute: `<sips:${place};lr>`,
  };
}

/** How a URI may name a listener: by our name or its address, without port only at the usual one. */
function placesOf(name: string, { transport, address, port }: Listener): readonly string[] {
  const usual = port === DEFAULT_PORTS[transport] ? [`${address}|`] : [];
  return [`${name}|${port}`, `${address}|${port}`, ...usual];
}

const viaKey = ({ transport, address, port }: Listener): string =>
  `${transport}|${address}|${port}`;

function isWithin(prefixes: readonly Prefix[], text: string): boolean {
  if (prefixes.length === 0) return false;
  const address = parsed(() => parseAddress(text));
  return address.ok && prefixes.some((prefix) => prefixContains(prefix, address.value));
}

function sharedBits(one: Address, other: Address): number {
  if (one.family !== other.family) return -1;
  const differing = one.octets.findIndex((octet, index) => octet !== other.octets[index]);
  if (differing < 0) return one.octets.length * 8;
  const difference = (one.octets[differing] ?? 0) ^ (other.octets[differing] ?? 0);
  return differing * 8 + Math.clz32(difference) - 24;
}
