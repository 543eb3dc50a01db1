/**
 * DNS for `locateServer`, by Node's own resolver (c-ares: random ids and ports, answers checked
 * against their question). Touches the network and, for names of this machine, its hosts file.
 *
 * A and AAAA keep the time that DNS gave them. Node tells no time for NAPTR and SRV, nor for what
 * does not exist: these are asked for again after a few seconds. Equal questions at one time are
 * asked once.
 */
import { lookup, Resolver } from "node:dns/promises";
import type { DnsAnswer, SipResolver } from "../protocol/sip/locate-server.ts";
import type { NaptrRecord, SrvRecord } from "../protocol/sip/service-records.ts";
import { DnsCache } from "./dns-cache.ts";

export interface DnsResolverSetting {
  /** `address`, `address:port` or `[address]:port`; those of the system if empty or absent. */
  readonly servers?: readonly string[];
  /** For one try at one server. */
  readonly timeoutMs?: number;
  readonly tries?: number;
  readonly maxEntries?: number;
  /** A clock that never jumps. */
  readonly now?: () => number;
}

export const DEFAULT_TIMEOUT_MS = 1_000;
export const DEFAULT_TRIES = 2;
export const MAX_ENTRIES = 10_000;
/** Names asked for at one time. */
export const MAX_QUESTIONS = 1_000;
/** The most that a TTL counts. */
export const MAX_TTL_MS = 3_600_000;
/** For answers whose TTL Node does not tell. */
export const UNKNOWN_TTL_MS = 5_000;
/** How long nobody is asked again after no answer. */
export const FAILED_MS = 1_000;
const MAX_NAME_CHARACTERS = 255; // RFC 1035 §2.3.4
const MAX_RECORDS = 64;

interface Records<R> {
  readonly records: readonly R[];
  readonly ttlMs: number;
}

export class DnsResolver implements SipResolver {
  readonly #resolver: Resolver;
  readonly #now: () => number;
  readonly #usesSystem: boolean;
  readonly #cache: DnsCache<DnsAnswer<unknown>>;
  readonly #asking = new Map<string, Promise<DnsAnswer<unknown>>>();

  /** @throws TypeError for what is no server. */
  constructor(setting: DnsResolverSetting = {}) {
    const { servers = [], timeoutMs = DEFAULT_TIMEOUT_MS, tries = DEFAULT_TRIES } = setting;
    this.#resolver = new Resolver({ timeout: timeoutMs, maxTimeout: timeoutMs, tries });
    this.#usesSystem = servers.length === 0;
    if (!this.#usesSystem) this.#resolver.setServers(servers);
    this.#now = setting.now ?? (() => performance.now());
    this.#cache = new DnsCache(setting.maxEntries ?? MAX_ENTRIES);
  }

  naptr(name: string): Promise<DnsAnswer<NaptrRecord>> {
    return this.#ask("NAPTR", name, async () => untimed(await this.#resolver.resolveNaptr(name)));
  }

  srv(name: string): Promise<DnsAnswer<SrvRecord>> {
    return this.#ask("SRV", name, async () => untimed(await this.#resolver.resolveSrv(name)));
  }

  async addresses(name: string): Promise<DnsAnswer<string>> {
    if (name === "localhost") return { kind: "records", records: LOOPBACK }; // RFC 6761 §6.3
    const answers = await Promise.all([
      this.#ask("AAAA", name, async () => timed(await this.#resolver.resolve6(name, TTL))),
      this.#ask("A", name, async () => timed(await this.#resolver.resolve4(name, TTL))),
    ]);
    const records = answers.flatMap((answer) => (answer.kind === "records" ? answer.records : []));
    const failure = answers.find(({ kind }) => kind === "failed");
    if (records.length > 0) return { kind: "records", records };
    if (this.#usesSystem) return this.#ask("hosts", name, () => hosts(name));
    return failure ?? { kind: "records", records };
  }

  async #ask<R>(
    type: string,
    name: string,
    query: () => Promise<Records<R>>,
  ): Promise<DnsAnswer<R>> {
    if (name.length > MAX_NAME_CHARACTERS) return { kind: "records", records: [] };
    const key = `${type} ${name.toLowerCase()}`;
    const known = this.#cache.fresh(key, this.#now()) ?? this.#asking.get(key);
    if (known !== undefined) return (await known) as DnsAnswer<R>;
    if (this.#asking.size >= MAX_QUESTIONS) return UNREACHABLE;
    const asked = this.#query(key, query);
    this.#asking.set(key, asked);
    try {
      return await asked;
    } finally {
      this.#asking.delete(key);
    }
  }

  async #query<R>(key: string, query: () => Promise<Records<R>>): Promise<DnsAnswer<R>> {
    try {
      const { records, ttlMs } = await query();
      const answer = { kind: "records", records: records.slice(0, MAX_RECORDS) } as const;
      this.#cache.set(key, answer, Math.min(ttlMs, MAX_TTL_MS), true, this.#now());
      return answer;
    } catch (error) {
      return this.#noteFault(key, faultAnswer(error));
    }
  }

  #noteFault<R>(key: string, answer: DnsAnswer<R>): DnsAnswer<R> {
    const now = this.#now();
    if (answer.kind === "records") {
      this.#cache.set(key, answer, UNKNOWN_TTL_MS, false, now);
      return answer;
    }
    const last = this.#cache.revive(key, FAILED_MS, now);
    if (last !== undefined) return last as DnsAnswer<R>;
    this.#cache.set(key, answer, FAILED_MS, false, now);
    return answer;
  }
}

const TTL = { ttl: true } as const;
const LOOPBACK = ["::1", "127.0.0.1"] as const;
const UNREACHABLE = { kind: "failed", reason: "unreachable" } as const;

const untimed = <R>(records: readonly R[]): Records<R> => ({ records, ttlMs: UNKNOWN_TTL_MS });

function timed(records: readonly { address: string; ttl: number }[]): Records<string> {
  const ttlMs = Math.min(...records.map(({ ttl }) => ttl * 1_000), MAX_TTL_MS);
  return { records: records.map(({ address }) => address), ttlMs };
}

async function hosts(name: string): Promise<Records<string>> {
  const found = await lookup(name, { all: true });
  return untimed(found.map(({ address }) => address));
}

/** Codes of c-ares. What is none of them is no fault of the network. */
function faultAnswer<R>(error: unknown): DnsAnswer<R> {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  switch (code) {
    case "ENODATA":
    case "ENOTFOUND":
    case "EBADNAME":
    case "EBADSTR":
    case "EBADQUERY":
      return { kind: "records", records: [] };
    case "ETIMEOUT":
    case "ECONNREFUSED":
    case "ECANCELLED":
    case "EAI_AGAIN":
      return UNREACHABLE;
    case "ESERVFAIL":
    case "EREFUSED":
    case "ENOTIMP":
    case "EFORMERR":
    case "EBADRESP":
    case "EBADFAMILY":
      return { kind: "failed", reason: "refused" };
    default:
      throw error;
  }
}
