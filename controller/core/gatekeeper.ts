/**
 * Who may ask anything of the proxy: a user by the certificate of his TLS connection or by digest,
 * a trunk by the address or certificate that its route names (RFC 3261 §22.3, §26.3.2; RFC 5922
 * §7.1; RFC 8760). Everybody else gets a challenge that he cannot meet. Pure.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { Secret } from "../../protocol/secret.ts";
import type { DigestAlgorithm } from "../../protocol/sip/digest.ts";
import { DigestServer } from "../../protocol/sip/digest-server.ts";
import type { Peer, PeerCertificate } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import { escapeUser, isSipScheme, parseSipUri } from "../../protocol/sip/uri.ts";
import { aorOf } from "./destination.ts";
import { GuessLimit } from "./guess-limit.ts";
import type { Neighbourhood } from "./neighbourhood.ts";
import { canonicalAddress, type SipPolicy, type Trunk } from "./sip-policy.ts";
import type { User, UserDirectory } from "./users.ts";
import { parsed } from "./verdict.ts";

/** Who sends a request. */
export type Origin =
  | { readonly kind: "user"; readonly user: User; readonly addresses: readonly string[] }
  | { readonly kind: "trunk"; readonly trunk: Trunk };

export type Admission =
  | Origin
  /** Values of WWW-Authenticate or Proxy-Authenticate, the preferred first. */
  | { readonly kind: "challenge"; readonly values: readonly string[] }
  | { readonly kind: "forbidden" };

export interface GatekeeperSetting {
  readonly policy: SipPolicy;
  readonly neighbourhood: Neighbourhood;
  /** 32 octets, new at each start. */
  readonly nonceKey: Secret;
  readonly random: (size: number) => Buffer;
  /**
   * False for a certificate that is revoked, or that we issued for a registration which is over:
   * whatever a connection proved by it when it opened counts no more. Absent: all are in service.
   */
  readonly isInService?: (certificate: PeerCertificate, now: Millis) => boolean;
}

/** Where a request carries its credentials: for a registrar, or for a proxy. */
export type CredentialField = "Authorization" | "Proxy-Authorization";

/** RFC 3323 §4.1.1.3: a From that names nobody; who it is, the credentials say. */
const ANONYMOUS = "anonymous.invalid";

export class Gatekeeper {
  readonly #setting: GatekeeperSetting;
  readonly #users: UserDirectory;
  readonly #neighbourhood: Neighbourhood;
  readonly #domains: readonly string[];
  readonly #guesses: GuessLimit;
  /** One realm a domain. */
  readonly #realms: ReadonlyMap<string, DigestServer>;

  constructor(setting: GatekeeperSetting, before?: Gatekeeper) {
    const { policy, neighbourhood, nonceKey, random } = setting;
    const { domains, users, digest } = policy;
    const { algorithms, nonceLifetimeMs } = digest;
    this.#setting = setting;
    this.#guesses = before === undefined ? new GuessLimit() : before.#guesses;
    this.#users = users;
    this.#neighbourhood = neighbourhood;
    this.#domains = domains;
    this.#realms = new Map(
      domains.map((realm) => [
        realm,
        (before === undefined ? undefined : before.#realms.get(realm)) ??
          new DigestServer({
            ...{ realm, nonceKey, random, algorithms, nonceLifetimeMs },
            qops: ["auth-int", "auth"],
          }),
      ]),
    );
  }

  /** The same for other rules: nonces that were given out stay good, and stay used up. */
  with(policy: SipPolicy, neighbourhood: Neighbourhood): Gatekeeper {
    return new Gatekeeper({ ...this.#setting, policy, neighbourhood }, this);
  }

  /** Judges a request by its From and by the connection that it came by. */
  admit(
    request: SipRequest,
    from: Peer,
    now: Millis,
    field: CredentialField = "Proxy-Authorization",
  ): Admission {
    const peer = this.believed(from, now);
    const trunk = this.#neighbourhood.trunkOfPeer(peer);
    const sender = senderOf(request);
    if (trunk !== undefined) {
      const isOurs = sender !== undefined && this.#neighbourhood.isOwnDomain(sender.domain);
      return isOurs ? { kind: "forbidden" } : { kind: "trunk", trunk };
    }
    if (sender === undefined) return { kind: "forbidden" };
    return peer.identities.length > 0
      ? this.#byCertificate(sender, peer)
      : this.#byDigest(request, sender, peer, field, now);
  }

  /** The peer with what it has proved that still holds: a connection may outlive its certificate. */
  believed(peer: Peer, now: Millis): Peer {
    if (peer.certificate === undefined) return peer;
    const { certificate, ...rest } = peer;
    const holds = this.#setting.isInService?.(certificate, now) !== false;
    return holds ? peer : { ...rest, identities: [] };
  }

  #byCertificate(sender: Sender, peer: Peer): Admission {
    for (const uri of peer.identities) {
      const aor = aorOfUri(uri);
      const user = aor === undefined ? undefined : this.#users.find(aor);
      if (user !== undefined && isSentBy(sender, user)) return admitted(user, peer);
    }
    return { kind: "forbidden" };
  }

  #byDigest(
    request: SipRequest,
    sender: Sender,
    peer: Peer,
    field: CredentialField,
    now: Millis,
  ): Admission {
    const ours = this.#neighbourhood.isOwnDomain(sender.domain);
    const realm = ours ? sender.domain : (this.#domains[0] ?? "");
    const server = this.#realms.get(realm);
    if (server === undefined) return { kind: "forbidden" };
    const challenge = (stale = false): Admission => ({
      kind: "challenge",
      values: server.challenges(now, stale),
    });
    const userOf = (username: string) => this.#users.find(aorIn(realm, username));
    // Whose password is tried is in the credentials: From is whatever the sender likes.
    let tried = "";
    const ha1Of = (username: string, algorithm: DigestAlgorithm): Secret | undefined => {
      tried = aorIn(realm, username);
      if (this.#guesses.isExhausted(peer.address, tried, now)) return undefined;
      return ha1By(userOf(username), algorithm);
    };
    const verdict = server.check(request, field, ha1Of, now);
    switch (verdict.kind) {
      case "authenticated": {
        this.#guesses.right(peer.address, tried);
        const user = userOf(verdict.username);
        return user !== undefined && isSentBy(sender, user)
          ? admitted(user, peer)
          : { kind: "forbidden" };
      }
      case "rejected":
        this.#guesses.wrong(peer.address, tried, now);
        return challenge();
      case "stale":
        return challenge(true);
      case "absent":
        return challenge();
      default:
        return assertNever(verdict);
    }
  }
}

/** What is kept of a user's password for an algorithm. */
const ha1By = (user: User | undefined, algorithm: DigestAlgorithm): Secret | undefined =>
  algorithm === "MD5" ? user?.ha1?.md5 : algorithm === "SHA-256" ? user?.ha1?.sha256 : undefined;

interface Sender {
  readonly aor: string;
  readonly domain: string;
}

const isSentBy = ({ aor, domain }: Sender, user: User): boolean =>
  aor === user.aor || domain === ANONYMOUS;

const admitted = (user: User, peer: Peer): Admission => ({
  kind: "user",
  user,
  addresses: [canonicalAddress(peer.address), ...user.addresses],
});

function senderOf(request: SipRequest): Sender | undefined {
  const sender = parsed(() => {
    const uri = parseSipUri(messageAddress(request, "From").uri);
    return { aor: aorOf(uri), domain: uri.host.toLowerCase().replace(/\.$/, "") };
  });
  return sender.ok ? sender.value : undefined;
}

const aorIn = (domain: string, username: string): string => `sip:${escapeUser(username)}@${domain}`;

/** The address of record that a URI names. */
export function aorOfUri(text: string): string | undefined {
  if (!isSipScheme(text)) return undefined;
  const uri = parsed(() => parseSipUri(text));
  return uri.ok ? aorOf(uri.value) : undefined;
}
