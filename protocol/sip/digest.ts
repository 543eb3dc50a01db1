/**
 * Digest with SHA-256 (RFC 7616, RFC 8760), `qop` always: what both sides compute, and the
 * client's answer. Pure. MD5 is neither offered nor answered.
 */
import { createHash } from "node:crypto";
import { isProtocolError } from "../errors.ts";
import { Secret } from "../secret.ts";
import { type AuthValue, parseAuthValue } from "./credentials.ts";
import { quote, trimLws } from "./grammar.ts";
import { headerRows, type SipRequest, type SipResponse } from "./message.ts";

export const DIGEST_ALGORITHM = "SHA-256";

/** `auth-int` binds the body as well. */
export type DigestQop = "auth" | "auth-int";

export interface DigestInput {
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

const sha256Hex = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash("sha256");
  for (const part of parts)
    hash.update(typeof part === "string" ? Buffer.from(part, "latin1") : part);
  return hash.digest("hex");
};

/** H(username:realm:password), as 64 hexadecimal digits: what a server keeps instead of passwords. */
export const digestHa1 = (username: string, realm: string, password: Secret): Secret =>
  new Secret(Buffer.from(sha256Hex(`${username}:${realm}:`, password.expose()), "latin1"));

/** The `response` parameter (RFC 7616 §3.4.1). */
export function digestResponse({ ha1, method, uri, qop, body, ...rest }: DigestInput): string {
  const entity = qop === "auth-int" ? `:${sha256Hex(body)}` : "";
  const ha2 = sha256Hex(`${method}:${uri}${entity}`);
  return sha256Hex(ha1.expose(), `:${rest.nonce}:${rest.nc}:${rest.cnonce}:${qop}:${ha2}`);
}

export interface DigestClient {
  readonly username: string;
  readonly password: Secret;
  readonly random: (size: number) => Buffer;
}

const CNONCE_BYTES = 16;

/**
 * The header with which to send a request again after a 401 or 407: name and value, or undefined
 * when no challenge can be met. `count` is how often this nonce was used before.
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
    .map(({ value }) => readChallenge(value))
    .find((each) => each !== undefined);
  if (challenge === undefined) return undefined;
  const name = proxy ? "Proxy-Authorization" : "Authorization";
  return [name, credentials(request, challenge, client, count)];
}

interface Challenge {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  readonly qop: DigestQop;
}

/** Undefined for a scheme, algorithm or qop that is not ours: the next row may do. */
function readChallenge(value: string): Challenge | undefined {
  const parsed = tryParse(value);
  if (parsed?.scheme !== "digest") return undefined;
  const { params } = parsed;
  const [realm, nonce] = [params.get("realm"), params.get("nonce")];
  const qops = (params.get("qop") ?? "").toLowerCase().split(",").map(trimLws);
  const qop = (["auth-int", "auth"] as const).find((each) => qops.includes(each));
  const algorithm = params.get("algorithm")?.toUpperCase();
  if (algorithm !== DIGEST_ALGORITHM || qop === undefined) return undefined;
  if (realm === undefined || nonce === undefined) return undefined;
  return { realm, nonce, opaque: params.get("opaque"), qop };
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
  { realm, nonce, opaque, qop }: Challenge,
  { username, password, random }: DigestClient,
  count: number,
): string {
  const { method, uri, body } = request;
  const nc = (count + 1).toString(16).padStart(8, "0");
  const cnonce = random(CNONCE_BYTES).toString("hex");
  const ha1 = digestHa1(username, realm, password);
  const response = digestResponse({ ha1, method, uri, nonce, nc, cnonce, qop, body });
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
  return `Digest ${[...params, `algorithm=${DIGEST_ALGORITHM}`, `qop=${qop}`, `nc=${nc}`].join(", ")}`;
}
