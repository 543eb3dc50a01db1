/**
 * How the authority's database stands in SQLite: tables, statements, and rows made into certificates.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Millis } from "../protocol/machine.ts";
import type { RevocationReason } from "../protocol/pki/revocation-reason.ts";
import type { DatabaseKind } from "./private-database.ts";

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

export const AUTHORITY_DATABASE: DatabaseKind = {
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

/** Every statement of the database, prepared once. */
export type AuthorityStatements = ReturnType<typeof prepareStatements>;
type Row = ReturnType<StatementSync["all"]>[number];

const COLUMNS = "serial, aor, key_id, fingerprint, not_after, der";

export function prepareStatements(database: DatabaseSync) {
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

/** A certificate out of its row. */
export function toListed(row: Row): ListedCertificate {
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

/** True if a column holds something. */
export const isSet = (value: unknown): boolean => value !== null && value !== undefined;
