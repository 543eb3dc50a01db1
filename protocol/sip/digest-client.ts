/**
 * The answering side of Digest (RFC 7616 §3.4, RFC 8760 §2.4, RFC 3261 §22): what a registrar (401)
 * or a proxy (407) asks, and the credentials it gets. Pure; random octets are an argument.
 *
 * ```text
 *   send(client.authorize(request)) ──401/407──▶ client.challenged(sent, response)
 *        ▲                                              │ "again": same request, next CSeq, new branch
 *        └──────────────────────────────────────────────┘ "refused": no use in asking again
 * ```
 */
import type { Secret } from "../secret.ts";
import { type AuthValue, authValues } from "./credentials.ts";
import {
  type DigestAlgorithm,
  type DigestQop,
  digestHa1,
  digestResponse,
  parseDigestAlgorithm,
} from "./digest.ts";
import { quote, trimLws } from "./grammar.ts";
import { appendHeader, type SipRequest, type SipResponse } from "./message.ts";

/** A user's name as header text (`octetText`), and what he proves himself by. */
export type DigestUser = { readonly username: string } & (
  | { readonly password: Secret }
  | { readonly ha1: KeptHa1 }
);

/** What `digestHa1` makes of a password; good for that realm and algorithm alone. */
export interface KeptHa1 {
  readonly realm: string;
  readonly algorithm: DigestAlgorithm;
  readonly value: Secret;
}

export type DigestClientSetting = DigestUser & {
  readonly random: (size: number) => Buffer;
  /** Those it will use; SHA-256 and SHA-512-256 if absent. MD5 is used where nothing else is asked. */
  readonly algorithms?: readonly DigestAlgorithm[];
  /** Those it will use, `auth-int` before `auth`; both if absent. */
  readonly qops?: readonly DigestQop[];
  /** A realm that always offers `auth-int`: there, whoever offers `auth` alone is on the way. */
  readonly integrityRealm?: string;
  /** Whose challenges it answers, in no other spelling; anybody's if absent. */
  readonly realm?: string;
};

export type ChallengeVerdict =
  /** Send the request again, through `authorize`. */
  | "again"
  /** The credentials are wrong, or none of the challenges can be met. */
  | "refused";

/** Challenges of one response that are looked at; the rest is ignored. */
export const MAX_CHALLENGES = 16;
/** Realms whose last challenge is remembered; the oldest is forgotten first. */
export const MAX_REALMS = 8;
/** How often in a row a server may call a nonce stale that it has just given out. */
export const MAX_STALE_IN_A_ROW = 2;
const CNONCE_BYTES = 16;
/** The preferred first. */
const QOPS: readonly DigestQop[] = ["auth-int", "auth"];
const INTEGRITY: readonly DigestQop[] = ["auth-int"];
const STRONG: readonly DigestAlgorithm[] = ["SHA-256", "SHA-512-256"];

type CredentialField = "Authorization" | "Proxy-Authorization";

interface Challenge {
  readonly algorithm: DigestAlgorithm;
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  readonly qop: DigestQop;
  readonly isStale: boolean;
}

/** The last challenge of a realm, and how often its nonce was used. */
interface Standing {
  readonly field: CredentialField;
  readonly challenge: Challenge;
  readonly staleInARow: number;
  count: number;
}

/** One user towards all who ask for his password. Nonces are used again, counted (RFC 7616 §3.4). */
export class DigestClient {
  readonly #setting: DigestClientSetting;
  /** By field and realm, the oldest first. */
  readonly #standings = new Map<string, Standing>();

  constructor(setting: DigestClientSetting) {
    this.#setting = setting;
  }

  /**
   * The request, in its final form but for this, with credentials for every realm that has asked
   * before. Not for CANCEL, nor for ACK, which repeats those of its INVITE (RFC 3261 §22.1).
   */
  authorize(request: SipRequest): SipRequest {
    let authorized = request;
    for (const standing of this.#standings.values()) {
      const value = credentialsFor(request, standing.challenge, this.#setting, standing.count);
      standing.count += 1;
      authorized = appendHeader(authorized, standing.field, value);
    }
    return authorized;
  }

  /** Takes a 401 or 407 to a request, as it was sent. */
  challenged(sent: SipRequest, response: SipResponse): ChallengeVerdict {
    const field = fieldFor(response);
    const standings = challengesOf(response, this.#setting).map((challenge) =>
      standingAfter(sent, field, challenge, this.#standings.get(keyOf(field, challenge.realm))),
    );
    for (const standing of standings) this.#forget(standing.field, standing.challenge.realm);
    if (standings.length === 0 || standings.some(({ isRefused }) => isRefused)) return "refused";
    for (const standing of standings) this.#remember(standing);
    return "again";
  }

  #forget(field: CredentialField, realm: string): void {
    this.#standings.delete(keyOf(field, realm));
  }

  #remember({ field, challenge, staleInARow }: Judged): void {
    const [oldest] = this.#standings.keys();
    if (this.#standings.size >= MAX_REALMS && oldest !== undefined) this.#standings.delete(oldest);
    const standing = { field, challenge, staleInARow, count: 0 };
    this.#standings.set(keyOf(field, challenge.realm), standing);
  }
}

/**
 * The header with which to send one request again after a 401 or 407: name and value, or undefined
 * when no challenge can be met. `count` is how often this nonce was used before.
 */
export function answerChallenge(
  request: SipRequest,
  response: SipResponse,
  setting: DigestClientSetting,
  count = 0,
): readonly [name: CredentialField, value: string] | undefined {
  const [challenge] = challengesOf(response, setting);
  if (challenge === undefined) return undefined;
  return [fieldFor(response), credentialsFor(request, challenge, setting, count)];
}

const keyOf = (field: CredentialField, realm: string): string => `${field} ${realm}`;

const fieldFor = ({ status }: SipResponse): CredentialField =>
  status === 407 ? "Proxy-Authorization" : "Authorization";

interface Judged {
  readonly field: CredentialField;
  readonly challenge: Challenge;
  readonly staleInARow: number;
  readonly isRefused: boolean;
}

/**
 * Who asks once more for what a fresh nonce has just been answered by does not believe the
 * password, unless he says `stale`; an older nonce may have run out without a word.
 */
function standingAfter(
  sent: SipRequest,
  field: CredentialField,
  challenge: Challenge,
  before: Standing | undefined,
): Judged {
  const given = authValues(sent, field).find(
    ({ params }) => params.get("realm") === challenge.realm,
  )?.params;
  if (given === undefined) return { field, challenge, staleInARow: 0, isRefused: false };
  const wasFresh = Number.parseInt(given.get("nc") ?? "", 16) === 1;
  const staleInARow = wasFresh && challenge.isStale ? (before?.staleInARow ?? 0) + 1 : 0;
  const isRefused =
    given.get("nonce") === challenge.nonce ||
    (wasFresh && !challenge.isStale) ||
    staleInARow > MAX_STALE_IN_A_ROW;
  return { field, challenge, staleInARow, isRefused };
}

/** The challenges that can be met, one a realm: the topmost (RFC 8760 §2.4), but MD5 only alone. */
function challengesOf(response: SipResponse, setting: DigestClientSetting): readonly Challenge[] {
  const field = response.status === 407 ? "Proxy-Authenticate" : "WWW-Authenticate";
  const byRealm = new Map<string, Challenge>();
  for (const value of authValues(response, field).slice(0, MAX_CHALLENGES)) {
    const challenge = readChallenge(value, setting);
    if (challenge === undefined) continue;
    const better = byRealm.get(challenge.realm);
    const isBetter = better?.algorithm === "MD5" && challenge.algorithm !== "MD5";
    if (better === undefined || isBetter) byRealm.set(challenge.realm, challenge);
  }
  return [...byRealm.values()];
}

/** Undefined for a scheme, realm, algorithm or qop that is not ours: the next row may do. */
function readChallenge(
  { scheme, params }: AuthValue,
  setting: DigestClientSetting,
): Challenge | undefined {
  if (scheme !== "digest") return undefined;
  const [realm, nonce] = [params.get("realm"), params.get("nonce")];
  const algorithm = parseDigestAlgorithm(params.get("algorithm"));
  const qops = (params.get("qop") ?? "").toLowerCase().split(",").map(trimLws);
  const wanted = realm !== undefined && realm === setting.integrityRealm ? INTEGRITY : setting.qops;
  const qop = QOPS.find((each) => qops.includes(each) && wanted?.includes(each) !== false);
  if (realm === undefined || nonce === undefined || qop === undefined) return undefined;
  if (algorithm === undefined || !mayAnswer(setting, realm, algorithm)) return undefined;
  const isStale = params.get("stale")?.toLowerCase() === "true";
  return { algorithm, realm, nonce, opaque: params.get("opaque"), qop, isStale };
}

function mayAnswer(
  setting: DigestClientSetting,
  realm: string,
  algorithm: DigestAlgorithm,
): boolean {
  if (setting.realm !== undefined && setting.realm !== realm) return false;
  if (!(setting.algorithms ?? STRONG).includes(algorithm)) return false;
  return (
    "password" in setting || (setting.ha1.realm === realm && setting.ha1.algorithm === algorithm)
  );
}

function credentialsFor(
  request: SipRequest,
  { algorithm, realm, nonce, opaque, qop }: Challenge,
  setting: DigestClientSetting,
  count: number,
): string {
  const { username, random } = setting;
  const { method, uri, body } = request;
  const nc = (count + 1).toString(16).padStart(8, "0");
  const cnonce = random(CNONCE_BYTES).toString("hex");
  const input = { algorithm, method, uri, body, nonce, nc, cnonce, qop };
  const response = withHa1(setting, realm, algorithm, (ha1) => digestResponse({ ...input, ha1 }));
  const quoted = { username, realm, nonce, uri, response, cnonce };
  const params = Object.entries(opaque === undefined ? quoted : { ...quoted, opaque }).map(
    ([name, value]) => `${name}=${quote(value)}`,
  );
  return `Digest ${[...params, `algorithm=${algorithm}`, `qop=${qop}`, `nc=${nc}`].join(", ")}`;
}

/** What is made of a password for one answer does not outlive it. */
function withHa1<T>(
  setting: DigestClientSetting,
  realm: string,
  algorithm: DigestAlgorithm,
  use: (ha1: Secret) => T,
): T {
  if (!("password" in setting)) return use(setting.ha1.value);
  const ha1 = digestHa1(setting.username, realm, setting.password, algorithm);
  try {
    return use(ha1);
  } finally {
    ha1.wipe();
  }
}
