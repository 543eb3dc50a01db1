/**
 * The users of our domains: what is kept of each, and what each may do. Pure.
 */
import type { Secret } from "../../protocol/secret.ts";

/** H(user:realm:password) by algorithm, hexadecimal digits (RFC 7616 §3.4.2, RFC 8760). */
export interface Ha1 {
  readonly sha256?: Secret;
  readonly md5?: Secret;
}

export interface User {
  /** In the spelling of `addressOfRecord`, scheme `sip`. */
  readonly aor: string;
  /** If he may use digest; the realm is the domain of his address of record. */
  readonly ha1?: Ha1;
  /** Canonical addresses of his media, beside the one that he signals from. */
  readonly addresses: readonly string[];
  /** His calls must be sealed: plain SDP is refused. */
  readonly requireSealed: boolean;
  /** No call of his goes on unrecorded. */
  readonly mustRecord: boolean;
  /** Whom he may call: addresses of record in which `*` stands for anything. Absent: anybody. */
  readonly mayCall?: readonly string[];
  /** Calls at a time; without it, any number. */
  readonly maxCalls?: number;
}

export interface UserDirectory {
  /** @param aor in the spelling of `addressOfRecord`, scheme `sip` */
  find(aor: string): User | undefined;
}
