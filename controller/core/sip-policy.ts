/**
 * What the proxy is told of its neighbourhood: where it listens, whom it serves, which trunks lead
 * to other domains, and what it allows (RFC 3261 §16.3-16.6). Pure data; `Neighbourhood` answers
 * questions about it.
 */
import { type Prefix, parseAddress } from "../../protocol/net/address.ts";
import type { SipTransport } from "../../protocol/sip/flow.ts";
import type { SessionTimerPolicy } from "../../protocol/sip/session-timer.ts";
import type { UserDirectory } from "./users.ts";
import { parsed } from "./verdict.ts";

export interface Listener {
  readonly transport: SipTransport;
  /** Canonical. */
  readonly address: string;
  readonly port: number;
}

/** Another domain: where calls to it go, and who may send from there what to whom. */
export interface Trunk {
  readonly domain: string;
  readonly transport: SipTransport;
  readonly place: /** Canonical. */
    | { readonly kind: "address"; readonly address: string; readonly port: number }
    /** For DNS. */
    | { readonly kind: "name"; readonly host: string; readonly port?: number };
  /** More addresses that it sends from. */
  readonly from: readonly Prefix[];
  /** URIs of the certificates that it may show. */
  readonly identities: readonly string[];
  /** Domains of other trunks that it may call, and `users`. */
  readonly to: ReadonlySet<string>;
  /** In our trust domain: P-Asserted-Identity passes both ways (RFC 3325). */
  readonly trusted: boolean;
}

/** Stands for our own users in `Trunk.to`. */
export const OWN_USERS = "users";

export interface SipPolicy {
  /** Host name, lower case. */
  readonly name: string;
  readonly domains: readonly string[];
  readonly listeners: readonly Listener[];
  readonly trunks: readonly Trunk[];
  readonly users: UserDirectory;
  readonly digest: {
    readonly algorithms: readonly ("SHA-256" | "MD5")[];
    readonly nonceLifetimeMs: number;
  };
  /** Dialled numbers, beside `urn:service:sos`, and the domain of the trunk that takes them. */
  readonly emergency?: { readonly numbers: ReadonlySet<string>; readonly trunk: string };
  readonly sessionTimer: SessionTimerPolicy;
  /** Users may call any domain that DNS knows. */
  readonly anyDomain: boolean;
}

/** Canonical text of an address literal; anything else as it came. */
export function canonicalAddress(text: string): string {
  if (!text.includes(":")) return text;
  const address = parsed(() => parseAddress(text));
  return address.ok ? address.value.text : text;
}
