/**
 * What the authority issued and revoked: one SQLite file, mode 0600, which controllers and
 * `keyhole ca` may have open at the same time. Nothing is cached, so that a revocation by another
 * process counts at the next question. A key belongs for good to the user it was first certified
 * for, and to revoke a certificate is to revoke its key (else the next refresh would undo it).
 */
import { existsSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Millis } from "../protocol/machine.ts";
import type { RevocationReason } from "../protocol/pki/revocation-reason.ts";
import { ConfigError } from "./config-file.ts";
import { type DatabaseKind, openPrivateDatabase } from "./private-database.ts";

export interface IssuedCertificate {
  /** Hexadecimal, lower case, as `Certificate.serial`. */
  readonly serial: string;
  readonly aor: string;
  /** SHA-256 of the SubjectPublicKeyInfo, hexadecimal. */
  readonly keyId: string;
  /** SHA-256 of the certificate, hexadecimal. */
  readonly fingerprint: string;
  readonly notAfter: Millis;
  readonly der: Uint8Array;
}

export interface Revocation {
  readonly at: Millis;
  readonly reason: RevocationReason;
}

export interface ListedCertificate extends IssuedCertificate {
  readonly revocation?: Revocation;
}

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

const KIND: DatabaseKind = {
  name: "authority database",
  applicationId: 0x4b48_4131,
  version: 1,
  schema: `
    CREATE TABLE certificate (
      row INTEGER PRIMARY KEY, serial TEXT NOT NULL, aor TEXT NOT NULL, key_id TEXT NOT NULL,
      fingerprint TEXT NOT NULL, not_after INTEGER NOT NULL, der BLOB NOT NULL,
      revoked_at INTEGER, reason TEXT) STRICT;
    CREATE INDEX fingerprints ON certificate (fingerprint);
    CREATE INDEX expiring ON certificate (not_after) WHERE revoked_at IS NULL;
    CREATE INDEX revoked ON certificate (revoked_at) WHERE revoked_at IS NOT NULL;
    CREATE TABLE key (
      key_id TEXT PRIMARY KEY, aor TEXT NOT NULL, revoked_at INTEGER) WITHOUT ROWID, STRICT;
    CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
    INSERT INTO counter VALUES ('crl', 0), ('revocation', 0)`,
};

/** How long to wait for another process's write, which takes milliseconds. */
const BUSY_TIMEOUT_MS = 2000;
/** How long an expired certificate is kept for `ca list`; a revoked one is kept for good. */
export const EXPIRED_KEPT_MS = 24 * 3600 * 1000;
/** How many certificates are recorded before some of the expired ones are forgotten: more than came. */
const RECORDS_BETWEEN_FORGETTING = 64;
const FORGOTTEN_AT_ONCE = 4 * RECORDS_BETWEEN_FORGETTING;
/** Between checkpoints, each of which waits for the disk: 16 MiB of log. */
const CHECKPOINT_PAGES = 4096;

export class AuthorityDatabase {
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  #waiting: Waiting[] = [];
  #unforgotten = RECORDS_BETWEEN_FORGETTING; // a program that starts begins with it
  #scheduled: NodeJS.Immediate | undefined;

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
    const database = openPrivateDatabase(file, KIND, options);
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
    this.#flush();
    this.#database.close();
  }

  #enqueue(write: () => KeyOutcome): Promise<KeyOutcome> {
    this.#scheduled ??= setImmediate(() => this.#flush());
    return new Promise((resolve, reject) => this.#waiting.push({ write, resolve, reject }));
  }

  #flush(): void {
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length === 0) return;
    try {
      const outcomes = this.#transaction(() => waiting.map(({ write }) => write()));
      outcomes.forEach((outcome, at) => {
        waiting[at]?.resolve(outcome);
      });
    } catch (error) {
      for (const { reject } of waiting) reject(error);
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

type Statements = ReturnType<typeof prepareStatements>;
type Row = ReturnType<StatementSync["all"]>[number];

const COLUMNS = "serial, aor, key_id, fingerprint, not_after, der";

function prepareStatements(database: DatabaseSync) {
  const listed = `SELECT ${COLUMNS}, revoked_at, reason FROM certificate`;
  const sql = (text: string): StatementSync => database.prepare(text);
  return {
    begin: sql("BEGIN IMMEDIATE"),
    commit: sql("COMMIT"),
    rollback: sql("ROLLBACK"),
    key: sql("SELECT aor, revoked_at FROM key WHERE key_id = ?"),
    keysOf: sql("SELECT key_id FROM key WHERE aor = ?"),
    insertKey: sql("INSERT INTO key (key_id, aor) VALUES (?, ?)"),
    revokeKey: sql("UPDATE key SET revoked_at = ? WHERE key_id = ?"),
    issued: sql("SELECT 1 FROM certificate WHERE fingerprint = ?"),
    insert: sql(`INSERT INTO certificate (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`),
    forget: sql(`DELETE FROM certificate WHERE row IN (SELECT row FROM certificate
      WHERE not_after < ? AND revoked_at IS NULL ORDER BY not_after LIMIT ?)`),
    revoke: sql("UPDATE certificate SET revoked_at = ?, reason = ? WHERE serial = ?"),
    keyOfSerial: sql("SELECT key_id FROM certificate WHERE serial = ?"),
    ofKey: sql(`${listed} WHERE key_id = ? ORDER BY row`),
    list: sql(`${listed} WHERE ?1 IS NULL OR aor = ?1 ORDER BY row`),
    revocations: sql(
      `${listed} WHERE revoked_at IS NOT NULL AND not_after >= ? ORDER BY revoked_at, row`,
    ),
    counter: sql("SELECT value FROM counter WHERE name = ?"),
    count: sql("UPDATE counter SET value = value + 1 WHERE name = ? RETURNING value"),
  };
}

function toListed(row: Row): ListedCertificate {
  const at = row["revoked_at"];
  return {
    serial: String(row["serial"]),
    aor: String(row["aor"]),
    keyId: String(row["key_id"]),
    fingerprint: String(row["fingerprint"]),
    notAfter: Number(row["not_after"]),
    der: Buffer.from(row["der"] as Uint8Array),
    ...(isSet(at)
      ? { revocation: { at: Number(at), reason: String(row["reason"]) as RevocationReason } }
      : {}),
  };
}

const isSet = (value: unknown): boolean => value !== null && value !== undefined;
