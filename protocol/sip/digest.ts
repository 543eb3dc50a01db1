/**
 * Digest (RFC 7616, RFC 8760), `qop` always: what both sides compute. Pure.
 * SHA-256 comes first; MD5 is for devices that know nothing better, and only where it is asked for.
 */
import { createHash } from "node:crypto";
import { Secret } from "../secret.ts";

/** As `algorithm` names them (RFC 8760 §2.1); no `-sess` forms. */
export type DigestAlgorithm = "SHA-256" | "SHA-512-256" | "MD5";

const HASHES: Readonly<Record<DigestAlgorithm, string>> = {
  "SHA-256": "sha256",
  "SHA-512-256": "sha512-256",
  MD5: "md5",
};

/** The algorithm that a parameter names, in any case; without one it is MD5 (RFC 7616 §3.3). */
export function parseDigestAlgorithm(text: string | undefined): DigestAlgorithm | undefined {
  const wanted = (text ?? "MD5").toUpperCase();
  return Object.hasOwn(HASHES, wanted) ? (wanted as DigestAlgorithm) : undefined;
}

/** `auth-int` binds the body as well. */
export type DigestQop = "auth" | "auth-int";

export interface DigestInput {
  /** SHA-256 if absent. */
  readonly algorithm?: DigestAlgorithm;
  /** Of the same algorithm. */
  readonly ha1: Secret;
  readonly method: string;
  readonly uri: string;
  readonly nonce: string;
  /** Eight hexadecimal digits. */
  readonly nc: string;
  readonly cnonce: string;
  readonly qop: DigestQop;
  readonly body: Uint8Array;
}

function hashHex(algorithm: DigestAlgorithm, ...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash(HASHES[algorithm]);
  for (const part of parts)
    hash.update(typeof part === "string" ? Buffer.from(part, "latin1") : part);
  return hash.digest("hex");
}

/** H(username:realm:password), as hexadecimal digits: what a server keeps instead of passwords. */
export const digestHa1 = (
  username: string,
  realm: string,
  password: Secret,
  algorithm: DigestAlgorithm = "SHA-256",
): Secret =>
  new Secret(Buffer.from(hashHex(algorithm, `${username}:${realm}:`, password.expose()), "latin1"));

/** The `response` parameter (RFC 7616 §3.4.1). */
export function digestResponse(input: DigestInput): string {
  const { algorithm = "SHA-256", ha1, method, uri, qop, body, ...rest } = input;
  const entity = qop === "auth-int" ? `:${hashHex(algorithm, body)}` : "";
  const ha2 = hashHex(algorithm, `${method}:${uri}${entity}`);
  const nonces = `${rest.nonce}:${rest.nc}:${rest.cnonce}`;
  return hashHex(algorithm, ha1.expose(), `:${nonces}:${qop}:${ha2}`);
}
