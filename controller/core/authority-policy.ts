/**
 * What the controller is told of its certificate authority: whose key is whose, what is revoked,
 * and which limits hold. Pure data; who signs and who records is no business of the core.
 */
import type { Millis } from "../../protocol/machine.ts";
import type { KeyType } from "../../protocol/pki/public-key.ts";

/** What is written down of keys and certificates, read at the moment of the question. */
export interface AuthorityDirectory {
  /** The address of record that a key was certified for. @param keyId SHA-256 of its SPKI, hex */
  ownerOf(keyId: string): string | undefined;
  /** By our own list, or by that of the authority which issued it. */
  isRevoked(certificate: {
    readonly keyId: string;
    /** SHA-256 of the DER, hex; absent while there is only a key. */
    readonly fingerprint?: string;
    /** Base64. */
    readonly der?: string;
  }): boolean;
  /** True for a certificate that was issued here, for a registration. */
  hasIssued(fingerprint: string): boolean;
}

export interface AuthorityPolicy {
  readonly directory: AuthorityDirectory;
  /** How far a Date within a body may lie from our own clock, either way. */
  readonly skewMs: Millis;
  /** Of keys that users may be known by. */
  readonly keyTypes: readonly KeyType[];
  /** Sealed REGISTERs of one user, and certificate queries of one asker. */
  readonly perMinute: { readonly registrations: number; readonly queries: number };
  /** Who is told the location with the certificate; it is in clear there. */
  readonly locationTo: "nobody" | "users";
}
