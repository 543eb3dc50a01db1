/**
 * What the core may know of keys and certificates, asked at the moment of its question: what stands
 * in the authority database, and what other authorities' lists say. Touches that database.
 */
import { decodeCertificate } from "../../protocol/pki/certificate.ts";
import type { Crl } from "../../protocol/pki/crl.ts";
import { isSameName } from "../../protocol/pki/name.ts";
import type { AuthorityDatabase } from "../../runtime/authority-database.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { AuthorityDirectory } from "../core/authority-policy.ts";
import { nameOfError } from "./name-of-error.ts";

/** Between lines about a database that cannot be read: it is asked with every message. */
export const UNREADABLE_TOLD_MS = 60_000;

/** With a database that cannot be read nothing counts as valid, and nothing can be recorded. */
export class KeyDirectory implements AuthorityDirectory {
  readonly #database: AuthorityDatabase;
  readonly #log: Logger;
  /** Of other authorities. */
  foreignCrls: readonly Crl[] = [];
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(database: AuthorityDatabase, log: Logger) {
    this.#database = database;
    this.#log = log;
  }

  /** Whether what it says now is written anywhere. */
  get isReadable(): boolean {
    return this.#read(() => this.#database.revocationRevision() >= 0, false);
  }

  ownerOf(keyId: string): string | undefined {
    return this.#read(() => this.#database.ownerOf(keyId), undefined);
  }

  isRevoked(certificate: { readonly keyId: string; readonly der?: string }): boolean {
    return (
      this.#read(() => this.#database.isRevoked(certificate), true) ||
      this.#isListed(certificate.der)
    );
  }

  hasIssued(fingerprint: string): boolean {
    return this.#read(() => this.#database.hasIssued(fingerprint), true);
  }

  /** Grows with each revocation of ours; as before where it cannot be read. */
  revisionAfter(before: number): number {
    return this.#read(() => this.#database.revocationRevision(), before);
  }

  /** What takes a certificate out of service needs no proof: who signed a list is not asked here. */
  #isListed(der: string | undefined): boolean {
    if (der === undefined || this.foreignCrls.length === 0) return false;
    const { issuerName, serial } = decodeCertificate(Buffer.from(der, "base64"));
    return this.foreignCrls.some(
      (crl) => isSameName(crl.issuerName, issuerName) && crl.revoked.has(serial),
    );
  }

  #read<T>(read: () => T, otherwise: T): T {
    try {
      return read();
    } catch (error) {
      this.#tell(error);
      return otherwise;
    }
  }

  #tell(error: unknown): void {
    const now = performance.now();
    if (now - this.#toldAt < UNREADABLE_TOLD_MS) return;
    this.#toldAt = now;
    this.#log.error({ error: nameOfError(error) }, "authority database cannot be read");
  }
}
