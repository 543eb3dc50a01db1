/**
 * What the authority issued and revoked: one SQLite file, mode 0600, which controllers and
 * `keyhole ca` may have open at the same time. Nothing is cached, so that a revocation by another
 * process counts at the next question. A key belongs for good to the user it was first certified
 * for, and to revoke a certificate is to revoke its key (else the next refresh would undo it).
 */
import { existsSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import type { Millis } from "../protocol/machine.ts";
import {
  AUTHORITY_DATABASE,
  type AuthorityStatements,
  type IssuedCertificate,
  isSet,
  type ListedCertificate,
  prepareStatements,
  type Revocation,
  toListed,
} from "./authority-tables.ts";
import { ConfigError } from "./config-file.ts";
import { openPrivateDatabase, SQLITE_BUSY } from "./private-database.ts";

export type KeyOutcome =
  | { readonly kind: "recorded" }
  | { readonly kind: "refused"; readonly reason: "key-of-another" | "key-revoked" };

/** Whose keys are revoked, with every certificate of them. */
export type RevocationTarget =
  | { readonly kind: "serial"; readonly serial: string }
  /** Every key of the user. */
  | { readonly kind: "aor"; readonly aor: string };

export type RevokeOutcome =
  | { readonly kind: "revoked"; readonly certificates: readonly ListedCertificate[] }
  | { readonly kind: "already-revoked" }
  | { readonly kind: "unknown" };

interface Waiting {
  readonly write: () => KeyOutcome;
  readonly resolve: (outcome: KeyOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** How long to wait for another process's write, which takes milliseconds. */
export const BUSY_TIMEOUT_MS = 2000;
/** How soon what could not be recorded then is tried again; nobody stands still for it meanwhile. */
const BUSY_RETRY_MS = 20;
/** How long an expired certificate is kept for `ca list`; a revoked one is kept for good. */
export const EXPIRED_KEPT_MS = 24 * 3600 * 1000;
/** How many certificates are recorded before some of the expired ones are forgotten: more than came. */
const RECORDS_BETWEEN_FORGETTING = 64;
const FORGOTTEN_AT_ONCE = 4 * RECORDS_BETWEEN_FORGETTING;
/** Between checkpoints, each of which waits for the disk: 16 MiB of log. */
const CHECKPOINT_PAGES = 4096;

export class AuthorityDatabase {
  readonly #database: DatabaseSync;
  readonly #statements: AuthorityStatements;
  #waiting: Waiting[] = [];
  #unforgotten = RECORDS_BETWEEN_FORGETTING; // a program that starts begins with it
  #scheduled: NodeJS.Immediate | undefined;
  #retry: NodeJS.Timeout | undefined;
  /** Since when what waits is kept out by another process. */
  #busySince: number | undefined;

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.#statements = prepareStatements(database);
  }

  /**
   * Opens the file, or makes it unless `mustExist`. Root may open another user's.
   * @throws ConfigError for a file that cannot be used, with what to do about it.
   */
  static open(file: string, { mustExist = false } = {}): AuthorityDatabase {
    if (mustExist && !existsSync(file))
      throw new ConfigError(file, [{ path: "", message: "(authority database) is not there" }]);
    const options = { sharedWithRoot: true, busyTimeoutMs: BUSY_TIMEOUT_MS };
    const database = openPrivateDatabase(file, AUTHORITY_DATABASE, options);
    database.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    return new AuthorityDatabase(database);
  }

  /** The user whose key it is. */
  ownerOf(keyId: string): string | undefined {
    const row = this.#statements.key.get(keyId);
    return row === undefined ? undefined : String(row["aor"]);
  }

  isRevoked({ keyId }: { readonly keyId: string }): boolean {
    return isSet(this.#statements.key.get(keyId)?.["revoked_at"]);
  }

  /** True for a certificate that was recorded, not for one that another authority issued. */
  hasIssued(fingerprint: string): boolean {
    return this.#statements.issued.get(fingerprint) !== undefined;
  }

  /**
   * Records a certificate before it is handed out. What is asked in one turn of the event loop
   * goes into one transaction; once resolved, `kill -9` takes nothing back. Certificates that
   * expired `EXPIRED_KEPT_MS` before `now` are forgotten by and by.
   */
  record(issued: IssuedCertificate, now: Millis): Promise<KeyOutcome> {
    return this.#enqueue(() => {
      const outcome = this.#claimKey(issued);
      if (outcome.kind === "recorded") {
        const { serial, aor, keyId, fingerprint, notAfter, der } = issued;
        this.#statements.insert.run(serial, aor, keyId, fingerprint, notAfter, der);
        this.#forget(now);
      }
      return outcome;
    });
  }

  /** Notes whose key that of a certificate is which another authority issued. */
  adoptKey(key: { readonly keyId: string; readonly aor: string }): Promise<KeyOutcome> {
    return this.#enqueue(() => this.#claimKey(key));
  }

  /** Revokes at once and on disk: neither `kill -9` nor a power cut takes it back. */
  revoke(target: RevocationTarget, { at, reason }: Revocation): RevokeOutcome {
    return this.#durably(() => this.#revoke(target, { at, reason }));
  }

  /** What was issued, in the order of issuing; of one user if `aor` is given. */
  list({ aor }: { readonly aor?: string } = {}): readonly ListedCertificate[] {
    return this.#statements.list.all(aor ?? null).map(toListed);
  }

  /** The revoked certificates that were to end at `since` or later: what a CRL names. */
  revocations(since: Millis): readonly ListedCertificate[] {
    return this.#statements.revocations.all(since).map(toListed);
  }

  /** Grows with each revocation, by whichever process. */
  revocationRevision(): number {
    return Number(this.#statements.counter.get("revocation")?.["value"]);
  }

  /** 1, 2, 3 …: each number is given once (RFC 5280 §5.2.3). */
  nextCrlNumber(): number {
    return this.#durably(() => Number(this.#statements.count.get("crl")?.["value"]));
  }

  /** Writes what waits, and closes. */
  close(): void {
    this.#flush((write) => this.#transaction(write));
    this.#database.close();
  }

  #enqueue(write: () => KeyOutcome): Promise<KeyOutcome> {
    if (this.#retry === undefined) this.#scheduled ??= setImmediate(() => this.#flush());
    return new Promise((resolve, reject) => this.#waiting.push({ write, resolve, reject }));
  }

  #flush(transact = <T>(write: () => T): T => this.#impatiently(write)): void {
    clearImmediate(this.#scheduled);
    clearTimeout(this.#retry);
    [this.#scheduled, this.#retry] = [undefined, undefined];
    if (this.#waiting.length === 0) return;
    try {
      const outcomes = transact(() => this.#waiting.map(({ write }) => write()));
      this.#settle(({ resolve }, at) => resolve(outcomes[at] as KeyOutcome));
    } catch (error) {
      if (isBusy(error) && this.#mayWait(performance.now()))
        this.#retry = setTimeout(() => this.#flush(), BUSY_RETRY_MS);
      else this.#settle(({ reject }) => reject(error));
    }
  }

  #settle(tell: (each: Waiting, at: number) => void): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#busySince = undefined;
    waiting.forEach(tell);
  }

  #mayWait(now: number): boolean {
    this.#busySince ??= now;
    return now - this.#busySince < BUSY_TIMEOUT_MS;
  }

  /** A transaction that fails at once while another process writes. */
  #impatiently<T>(run: () => T): T {
    this.#database.exec("PRAGMA busy_timeout = 0");
    try {
      return this.#transaction(run);
    } finally {
      this.#database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    }
  }

  /** A transaction that waits for the disk. */
  #durably<T>(run: () => T): T {
    this.#database.exec("PRAGMA synchronous = FULL");
    try {
      return this.#transaction(run);
    } finally {
      this.#database.exec("PRAGMA synchronous = NORMAL");
    }
  }

  #transaction<T>(run: () => T): T {
    this.#statements.begin.run(); // immediate: what is read here stays true until the commit
    try {
      const result = run();
      this.#statements.commit.run();
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#statements.rollback.run();
      throw error;
    }
  }

  #claimKey({ keyId, aor }: { readonly keyId: string; readonly aor: string }): KeyOutcome {
    const known = this.#statements.key.get(keyId);
    if (known === undefined) this.#statements.insertKey.run(keyId, aor);
    else if (known["aor"] !== aor) return { kind: "refused", reason: "key-of-another" };
    else if (isSet(known["revoked_at"])) return { kind: "refused", reason: "key-revoked" };
    return { kind: "recorded" };
  }

  #forget(now: Millis): void {
    this.#unforgotten += 1;
    if (this.#unforgotten < RECORDS_BETWEEN_FORGETTING) return;
    this.#unforgotten = 0;
    this.#statements.forget.run(now - EXPIRED_KEPT_MS, FORGOTTEN_AT_ONCE);
  }

  #revoke(target: RevocationTarget, { at, reason }: Revocation): RevokeOutcome {
    const statements = this.#statements;
    const keyIds = this.#keysOf(target);
    if (keyIds.length === 0) return { kind: "unknown" };
    const newKeys = keyIds.filter((keyId) => !this.isRevoked({ keyId }));
    const found = keyIds.flatMap((keyId) => statements.ofKey.all(keyId).map(toListed));
    const fresh = found.filter(({ revocation }) => revocation === undefined);
    if (newKeys.length === 0) return { kind: "already-revoked" };
    for (const keyId of newKeys) statements.revokeKey.run(at, keyId);
    for (const { serial } of fresh) statements.revoke.run(at, reason, serial);
    statements.count.get("revocation");
    const certificates = fresh.map((each) => ({ ...each, revocation: { at, reason } }));
    return { kind: "revoked", certificates };
  }

  #keysOf(target: RevocationTarget): readonly string[] {
    const { keysOf, keyOfSerial } = this.#statements;
    const rows =
      target.kind === "aor" ? keysOf.all(target.aor) : keyOfSerial.all(target.serial.toLowerCase());
    return rows.map(({ key_id: keyId }) => String(keyId));
  }
}

const isBusy = (error: unknown): boolean =>
  ((error as { readonly errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY;
