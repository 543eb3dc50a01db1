/**
 * Who may ask anything of the proxy: a user by the certificate of his TLS connection or by digest,
 * another domain by the address that its route names (RFC 3261 §22.3, §26.3.2; RFC 5922 §7.1;
 * RFC 8760). Everybody else gets a challenge that he cannot meet. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { Secret } from "../../protocol/secret.ts";
import { DigestServer } from "../../protocol/sip/digest-server.ts";
import type { Peer } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { messageAddress } from "../../protocol/sip/name-addr.ts";
import { addressOfRecord, parseSipUri } from "../../protocol/sip/uri.ts";
import { canonicalAddress, isPeerOfRoute, type SipPolicy, type User } from "./sip-policy.ts";
import { parsed } from "./verdict.ts";

export type Admission =
  | { readonly kind: "user"; readonly user: User; readonly addresses: readonly string[] }
  | { readonly kind: "trunk" }
  /** The value of Proxy-Authenticate. */
  | { readonly kind: "challenge"; readonly value: string }
  | { readonly kind: "forbidden" };

export interface GatekeeperSetting {
  readonly policy: SipPolicy;
  /** 32 octets, new at each start. */
  readonly nonceKey: Secret;
  readonly random: (size: number) => Buffer;
}

export class Gatekeeper {
  readonly #policy: SipPolicy;
  /** One realm a domain. */
  readonly #realms: ReadonlyMap<string, DigestServer>;

  constructor({ policy, nonceKey, random }: GatekeeperSetting) {
    this.#policy = policy;
    this.#realms = new Map(
      policy.domains.map((realm) => [
        realm,
        new DigestServer({ realm, nonceKey, random, qops: ["auth-int", "auth"] }),
      ]),
    );
  }

  /** Judges a request by its From and by the connection that it came by. */
  admit(request: SipRequest, peer: Peer, now: Millis): Admission {
    const from = senderOf(request);
    if (from === undefined) return { kind: "forbidden" };
    const ours = this.#policy.domains.includes(from.domain);
    if (this.#policy.routes.some((route) => isPeerOfRoute(route, peer)))
      return { kind: ours ? "forbidden" : "trunk" };
    const user = this.#policy.users.find(({ aor }) => aor === from.aor);
    if (peer.identities.length > 0) return this.#byCertificate(user, peer);
    return this.#byDigest(request, { domain: ours ? from.domain : undefined, user, peer }, now);
  }

  #byCertificate(user: User | undefined, peer: Peer): Admission {
    return user !== undefined && peer.identities.some((uri) => aorOf(uri) === user.aor)
      ? admitted(user, peer)
      : { kind: "forbidden" };
  }

  #byDigest(
    request: SipRequest,
    { domain, user, peer }: { domain: string | undefined; user: User | undefined; peer: Peer },
    now: Millis,
  ): Admission {
    const realm = domain ?? this.#policy.domains[0] ?? "";
    const server = this.#realms.get(realm);
    if (server === undefined) return { kind: "forbidden" };
    const ha1Of = (username: string) => this.#ha1(username, realm);
    const verdict = server.check(request, "Proxy-Authorization", ha1Of, now);
    const isSender =
      verdict.kind === "authenticated" && user?.aor === `sip:${verdict.username}@${realm}`;
    if (user !== undefined && isSender) return admitted(user, peer);
    if (verdict.kind === "authenticated") return { kind: "forbidden" };
    return { kind: "challenge", value: server.challenge(now, verdict.kind === "stale") };
  }

  #ha1(username: string, realm: string): Secret | undefined {
    return this.#policy.users.find(({ aor }) => aor === `sip:${username}@${realm}`)?.ha1;
  }
}

const admitted = (user: User, peer: Peer): Admission => ({
  kind: "user",
  user,
  addresses: [canonicalAddress(peer.address), ...user.addresses],
});

function senderOf(request: SipRequest): { aor: string; domain: string } | undefined {
  const sender = parsed(() => {
    const { uri } = messageAddress(request, "From");
    const aor = addressOfRecord(uri);
    return { aor, domain: parseSipUri(aor).host };
  });
  return sender.ok ? sender.value : undefined;
}

function aorOf(uri: string): string | undefined {
  const aor = parsed(() => addressOfRecord(uri));
  return aor.ok ? aor.value : undefined;
}
