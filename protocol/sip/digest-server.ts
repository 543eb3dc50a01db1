/**
 * The asking side of Digest (RFC 7616 §3.3-3.4, RFC 3261 §22). Pure; time and random octets are
 * arguments. A nonce is its own proof, `time || random || HMAC(time || random || realm)`, so
 * nothing is remembered of a challenge; only a nonce that was answered rightly is, with its count.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { isProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import { Secret } from "../secret.ts";
import { type AuthValue, parseAuthValue } from "./credentials.ts";
import { DIGEST_ALGORITHM, type DigestQop, digestResponse } from "./digest.ts";
import { quote } from "./grammar.ts";
import { headerRows, type SipRequest } from "./message.ts";

export interface DigestServerSetting {
  readonly realm: string;
  /** Makes nonces; any 32 octets, new at each start if wished. */
  readonly nonceKey: Secret;
  readonly random: (size: number) => Buffer;
  /** What clients may choose from. */
  readonly qops: readonly DigestQop[];
  readonly nonceLifetimeMs?: number;
}

export type DigestVerdict =
  | { readonly kind: "authenticated"; readonly username: string }
  /** No credentials for this realm. */
  | { readonly kind: "absent" }
  /** Right, but with a nonce that has grown old: ask again with `stale=true`. */
  | { readonly kind: "stale" }
  /** Wrong user, password, nonce, count or URI; which of them is nobody's business. */
  | { readonly kind: "rejected" };

export const NONCE_LIFETIME_MS = 300_000;
/** Nonces whose counts are kept; the oldest is forgotten first and then counts as stale. */
export const MAX_LIVE_NONCES = 10_000;
const [TIME_BYTES, RANDOM_BYTES, MAC_BYTES] = [6, 16, 16];
/** Compared against for users that do not exist, so that they take as long. */
const NOBODY = new Secret(Buffer.alloc(64, 0x30));

export class DigestServer {
  readonly #setting: DigestServerSetting;
  readonly #lifetimeMs: number;
  /** The highest count seen of each nonce that was answered rightly, oldest first. */
  readonly #counts = new Map<string, number>();
  /** Nonces made before this may have been forgotten. */
  #forgottenBefore: Millis = 0;

  constructor(setting: DigestServerSetting) {
    this.#setting = setting;
    this.#lifetimeMs = setting.nonceLifetimeMs ?? NONCE_LIFETIME_MS;
  }

  /** The value of WWW-Authenticate or Proxy-Authenticate. */
  challenge(now: Millis, stale = false): string {
    const { realm, qops } = this.#setting;
    const qop = quote(qops.join(","));
    const base = `Digest realm=${quote(realm)}, nonce=${quote(this.#makeNonce(now))}`;
    return `${base}, algorithm=${DIGEST_ALGORITHM}, qop=${qop}${stale ? ", stale=true" : ""}`;
  }

  /** Checks the credentials of a request; `ha1Of` gives what is kept of a user (`digestHa1`). */
  check(
    request: SipRequest,
    field: "Authorization" | "Proxy-Authorization",
    ha1Of: (username: string) => Secret | undefined,
    now: Millis,
  ): DigestVerdict {
    const params = this.#credentials(request, field);
    if (params === undefined) return { kind: "absent" };
    const username = params.get("username") ?? "";
    const nonce = params.get("nonce") ?? "";
    const madeAt = this.#nonceTime(nonce);
    if (madeAt === undefined || !this.#isResponseRight(request, params, ha1Of(username)))
      return { kind: "rejected" };
    if (madeAt > now || now - madeAt > this.#lifetimeMs || madeAt < this.#forgottenBefore)
      return { kind: "stale" };
    return this.#commitCount(nonce, Number.parseInt(params.get("nc") ?? "", 16))
      ? { kind: "authenticated", username }
      : { kind: "rejected" };
  }

  #credentials(request: SipRequest, field: string): AuthValue["params"] | undefined {
    const values = headerRows(request, field).flatMap(({ value }) => tryParse(value));
    const ours = values.find(
      ({ scheme, params }) => scheme === "digest" && params.get("realm") === this.#setting.realm,
    );
    return ours?.params;
  }

  #isResponseRight(
    request: SipRequest,
    params: AuthValue["params"],
    ha1: Secret | undefined,
  ): boolean {
    const get = (name: string): string => params.get(name) ?? "";
    const qop = this.#setting.qops.find((each) => each === get("qop").toLowerCase());
    const wellFormed =
      qop !== undefined &&
      get("algorithm").toUpperCase() === DIGEST_ALGORITHM &&
      get("uri") === request.uri &&
      get("cnonce") !== "" &&
      /^[\da-f]{8}$/i.test(get("nc"));
    if (!wellFormed) return false;
    const { method, uri, body } = request;
    const [nonce, nc, cnonce] = [get("nonce"), get("nc"), get("cnonce")];
    const input = { method, uri, body, nonce, nc, cnonce, qop };
    const right = digestResponse({ ...input, ha1: ha1 ?? NOBODY });
    return isEqual(right, get("response").toLowerCase()) && ha1 !== undefined;
  }

  /** A count must grow (RFC 7616 §3.4): the same credentials are good only once. */
  #commitCount(nonce: string, count: number): boolean {
    if (count <= (this.#counts.get(nonce) ?? 0)) return false;
    this.#counts.set(nonce, count);
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

function tryParse(value: string): AuthValue[] {
  try {
    return [parseAuthValue(value)];
  } catch (error) {
    if (isProtocolError(error)) return [];
    throw error;
  }
}

function isEqual(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one, "latin1"), Buffer.from(other, "latin1")];
  return a.length === b.length && timingSafeEqual(a, b);
}
