/**
 * The asking side of Digest (RFC 7616 §3.3-3.4, RFC 8760 §2.4, RFC 3261 §22), for a registrar
 * (WWW-Authenticate) as for a proxy. Pure; time and random octets are arguments. A nonce is its own proof, `time || random || HMAC(time || random || realm)`, so
 * nothing is remembered of a challenge; only a nonce that was answered rightly is, with its count.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Millis } from "../machine.ts";
import { Secret } from "../secret.ts";
import { type AuthValue, authValues } from "./credentials.ts";
import {
  type DigestAlgorithm,
  type DigestQop,
  digestResponse,
  parseDigestAlgorithm,
} from "./digest.ts";
import { quote } from "./grammar.ts";
import type { SipRequest } from "./message.ts";

export interface DigestServerSetting {
  readonly realm: string;
  /** Makes nonces; any 32 octets, new at each start if wished. */
  readonly nonceKey: Secret;
  readonly random: (size: number) => Buffer;
  /** What clients may choose from. */
  readonly qops: readonly DigestQop[];
  /** The same, the preferred first; SHA-256 alone if absent. */
  readonly algorithms?: readonly DigestAlgorithm[];
  readonly nonceLifetimeMs?: number;
}

export type DigestVerdict =
  | { readonly kind: "authenticated"; readonly username: string }
  /** No credentials for this realm. */
  | { readonly kind: "absent" }
  /**
   * Whoever sent it knows the password, but the nonce has grown old, was made before we started,
   * or its count was used before: ask again with `stale=true`.
   */
  | { readonly kind: "stale" }
  /** Wrong user, password, method, URI or body; which of them is nobody's business. */
  | { readonly kind: "rejected" };

export const NONCE_LIFETIME_MS = 300_000;
/** Nonces whose counts are kept; the oldest is forgotten first and then counts as stale. */
export const MAX_LIVE_NONCES = 10_000;
/** How far below the highest count one may still come, as UDP and several connections deliver. */
export const COUNT_WINDOW = 32;
const [TIME_BYTES, RANDOM_BYTES, MAC_BYTES] = [6, 16, 16];
/** Compared against for users that do not exist, so that they take as long. */
const NOBODY = new Secret(Buffer.alloc(64, 0x30));

/** The counts seen of one nonce: the highest, and bit n for the one n below it. */
interface Counts {
  readonly highest: number;
  readonly seen: number;
}

export class DigestServer {
  readonly #setting: DigestServerSetting;
  readonly #algorithms: readonly DigestAlgorithm[];
  readonly #lifetimeMs: number;
  /** Of each nonce that was answered rightly, oldest first. */
  readonly #counts = new Map<string, Counts>();
  /** Nonces made before this may have been forgotten. */
  #forgottenBefore: Millis = 0;

  constructor(setting: DigestServerSetting) {
    this.#setting = setting;
    this.#algorithms = setting.algorithms ?? ["SHA-256"];
    this.#lifetimeMs = setting.nonceLifetimeMs ?? NONCE_LIFETIME_MS;
  }

  /** Values of WWW-Authenticate or Proxy-Authenticate: one row an algorithm, in that order. */
  challenges(now: Millis, stale = false): readonly string[] {
    const { realm, qops } = this.#setting;
    const nonce = quote(this.#makeNonce(now));
    const rest = `qop=${quote(qops.join(","))}${stale ? ", stale=true" : ""}`;
    return this.#algorithms.map(
      (name) => `Digest realm=${quote(realm)}, nonce=${nonce}, algorithm=${name}, ${rest}`,
    );
  }

  /**
   * Checks the credentials of a request; `ha1Of` gives what is kept of a user for an algorithm
   * (`digestHa1`). `username*` and `userhash`, which no challenge of ours offers, are nobody's.
   */
  check(
    request: SipRequest,
    field: "Authorization" | "Proxy-Authorization",
    ha1Of: (username: string, algorithm: DigestAlgorithm) => Secret | undefined,
    now: Millis,
  ): DigestVerdict {
    const params = this.#credentials(request, field);
    if (params === undefined) return { kind: "absent" };
    const algorithm = parseDigestAlgorithm(params.get("algorithm"));
    if (algorithm === undefined || !this.#algorithms.includes(algorithm))
      return { kind: "rejected" };
    const username = params.get("userhash") === "true" ? "" : (params.get("username") ?? "");
    const ha1 = username === "" ? undefined : ha1Of(username, algorithm);
    if (!this.#isResponseRight(request, params, algorithm, ha1)) return { kind: "rejected" };
    const nonce = params.get("nonce") ?? "";
    return this.#isFresh(nonce, now) &&
      this.#commitCount(nonce, Number.parseInt(params.get("nc") ?? "", 16))
      ? { kind: "authenticated", username }
      : { kind: "stale" };
  }

  #isFresh(nonce: string, now: Millis): boolean {
    const madeAt = this.#nonceTime(nonce);
    if (madeAt === undefined || madeAt > now || madeAt < this.#forgottenBefore) return false;
    return now - madeAt <= this.#lifetimeMs;
  }

  #credentials(request: SipRequest, field: string): AuthValue["params"] | undefined {
    const ours = authValues(request, field).find(
      ({ scheme, params }) => scheme === "digest" && params.get("realm") === this.#setting.realm,
    );
    return ours?.params;
  }

  #isResponseRight(
    request: SipRequest,
    params: AuthValue["params"],
    algorithm: DigestAlgorithm,
    ha1: Secret | undefined,
  ): boolean {
    const get = (name: string): string => params.get(name) ?? "";
    const qop = this.#setting.qops.find((each) => each === get("qop").toLowerCase());
    const wellFormed =
      qop !== undefined &&
      get("uri") === request.uri &&
      get("cnonce") !== "" &&
      /^[\da-f]{8}$/i.test(get("nc"));
    if (!wellFormed) return false;
    const { method, uri, body } = request;
    const [nonce, nc, cnonce] = [get("nonce"), get("nc"), get("cnonce")];
    const input = { algorithm, method, uri, body, nonce, nc, cnonce, qop };
    const right = digestResponse({ ...input, ha1: ha1 ?? NOBODY });
    return isEqual(right, get("response").toLowerCase()) && ha1 !== undefined;
  }

  /** A count is good once (RFC 7616 §3.4), so that what was overheard opens nothing. */
  #commitCount(nonce: string, count: number): boolean {
    const before = this.#counts.get(nonce) ?? { highest: 0, seen: 0 };
    const ahead = count - before.highest;
    if (count < 1 || -ahead >= COUNT_WINDOW) return false;
    if (ahead <= 0 && ((before.seen >>> -ahead) & 1) === 1) return false;
    const counts =
      ahead > 0
        ? { highest: count, seen: (ahead < COUNT_WINDOW ? before.seen << ahead : 0) | 1 }
        : { highest: before.highest, seen: before.seen | (1 << -ahead) };
    this.#counts.set(nonce, counts);
    const [oldest] = this.#counts.keys();
    if (this.#counts.size > MAX_LIVE_NONCES && oldest !== undefined) {
      this.#counts.delete(oldest);
      this.#forgottenBefore = Math.max(this.#forgottenBefore, (this.#nonceTime(oldest) ?? 0) + 1);
    }
    return true;
  }

  #makeNonce(now: Millis): string {
    const stamp = Buffer.alloc(TIME_BYTES);
    stamp.writeUIntBE(now, 0, TIME_BYTES);
    const fresh = Buffer.concat([stamp, this.#setting.random(RANDOM_BYTES)]);
    return Buffer.concat([fresh, this.#mac(fresh)]).toString("base64url");
  }

  /** When one of our own nonces was made; undefined for anybody else's. */
  #nonceTime(nonce: string): Millis | undefined {
    const octets = Buffer.from(nonce, "base64url");
    const size = TIME_BYTES + RANDOM_BYTES;
    if (octets.length !== size + MAC_BYTES || octets.toString("base64url") !== nonce)
      return undefined;
    const made = octets.subarray(0, size);
    return timingSafeEqual(this.#mac(made), octets.subarray(size))
      ? octets.readUIntBE(0, TIME_BYTES)
      : undefined;
  }

  #mac(octets: Uint8Array): Buffer {
    const hmac = createHmac("sha256", this.#setting.nonceKey.expose());
    const realm = Buffer.from(this.#setting.realm, "latin1");
    return hmac.update(octets).update(realm).digest().subarray(0, MAC_BYTES);
  }
}

function isEqual(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one, "latin1"), Buffer.from(other, "latin1")];
  return a.length === b.length && timingSafeEqual(a, b);
}
