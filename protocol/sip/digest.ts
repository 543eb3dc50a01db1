/**
 * Digest (RFC 7616, RFC 8760), `qop` always: what both sides compute, and the client's answer. Pure.
 * SHA-256 comes first; MD5 is for devices that know nothing better, and only where it is asked for.
 */
import { createHash } from "node:crypto";
import { isProtocolError } from "../errors.ts";
import { Secret } from "../secret.ts";
import { type AuthValue, parseAuthValue } from "./credentials.ts";
import { quote, trimLws } from "./grammar.ts";
import { headerRows, type SipRequest, type SipResponse } from "./message.ts";

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

export interface DigestClient {
  readonly username: string;
  readonly password: Secret;
  readonly random: (size: number) => Buffer;
  /** Those it will use; SHA-256 and SHA-512-256 if absent. */
  readonly algorithms?: readonly DigestAlgorithm[];
}

const STRONG: readonly DigestAlgorithm[] = ["SHA-256", "SHA-512-256"];
const CNONCE_BYTES = 16;

/**
 * The header with which to send a request again after a 401 or 407: name and value, or undefined
 * when no challenge can be met. The topmost that can be is (RFC 8760 §2.4). `count` is how often this nonce was used before.
 */
export function answerChallenge(
  request: SipRequest,
  response: SipResponse,
  client: DigestClient,
  count = 0,
): readonly [name: string, value: string] | undefined {
  const proxy = response.status === 407;
  const rows = headerRows(response, proxy ? "Proxy-Authenticate" : "WWW-Authenticate");
  const challenge = rows
    .map(({ value }) => readChallenge(value, client.algorithms ?? STRONG))
    .find((each) => each !== undefined);
  if (challenge === undefined) return undefined;
  const name = proxy ? "Proxy-Authorization" : "Authorization";
  return [name, credentials(request, challenge, client, count)];
}

interface Challenge {
  readonly algorithm: DigestAlgorithm;
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  readonly qop: DigestQop;
}

/** Undefined for a scheme, algorithm or qop that is not ours: the next row may do. */
function readChallenge(
  value: string,
  algorithms: readonly DigestAlgorithm[],
): Challenge | undefined {
  const parsed = tryParse(value);
  if (parsed?.scheme !== "digest") return undefined;
  const { params } = parsed;
  const [realm, nonce] = [params.get("realm"), params.get("nonce")];
  const qops = (params.get("qop") ?? "").toLowerCase().split(",").map(trimLws);
  const qop = (["auth-int", "auth"] as const).find((each) => qops.includes(each));
  const algorithm = parseDigestAlgorithm(params.get("algorithm"));
  if (algorithm === undefined || !algorithms.includes(algorithm) || qop === undefined)
    return undefined;
  if (realm === undefined || nonce === undefined) return undefined;
  return { algorithm, realm, nonce, opaque: params.get("opaque"), qop };
}

function tryParse(value: string): AuthValue | undefined {
  try {
    return parseAuthValue(value);
  } catch (error) {
    if (isProtocolError(error)) return undefined;
    throw error;
  }
}

function credentials(
  request: SipRequest,
  { algorithm, realm, nonce, opaque, qop }: Challenge,
  { username, password, random }: DigestClient,
  count: number,
): string {
  const { method, uri, body } = request;
  const nc = (count + 1).toString(16).padStart(8, "0");
  const cnonce = random(CNONCE_BYTES).toString("hex");
  const ha1 = digestHa1(username, realm, password, algorithm);
  const response = digestResponse({ algorithm, ha1, method, uri, nonce, nc, cnonce, qop, body });
  ha1.wipe();
  const quoted = {
    username,
    realm,
    nonce,
    uri,
    response,
    cnonce,
    ...(opaque === undefined ? {} : { opaque }),
  };
  const params = Object.entries(quoted).map(([name, value]) => `${name}=${quote(value)}`);
  return `Digest ${[...params, `algorithm=${algorithm}`, `qop=${qop}`, `nc=${nc}`].join(", ")}`;
}
