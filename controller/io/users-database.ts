/**
 * Users in the table `users` of an SQLite database; lists are JSON. Touches that file.
 */
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { ConfigError } from "../../runtime/config-file.ts";
import { type DatabaseKind, openPrivateDatabase } from "../../runtime/private-database.ts";
import { type UserBook, type UserEntry, userEntrySchema } from "./user-entry.ts";

const KIND: DatabaseKind = {
  name: "users database",
  applicationId: 0x4b48_5531,
  version: 2,
  schema: `
    CREATE TABLE users (
      aor TEXT PRIMARY KEY, ha1_sha256 TEXT, ha1_md5 TEXT, addresses TEXT NOT NULL DEFAULT '[]',
      require_sealed INTEGER NOT NULL DEFAULT 0, record INTEGER, may_call TEXT,
      max_calls INTEGER NOT NULL DEFAULT 10, shared_key TEXT) WITHOUT ROWID, STRICT`,
  upgrades: { 1: "ALTER TABLE users ADD COLUMN shared_key TEXT" },
};

const BUSY_TIMEOUT_MS = 5000;
const COLUMNS =
  "aor, ha1_sha256, ha1_md5, addresses, require_sealed, record, may_call, max_calls, shared_key";

/** @throws ConfigError for a file that cannot be used. */
export function openUsersDatabase(file: string): UserBook {
  const options = { busyTimeoutMs: BUSY_TIMEOUT_MS, sharedWithRoot: true };
  const database = openPrivateDatabase(file, KIND, options);
  const put = database.prepare(
    `INSERT OR REPLACE INTO users (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const remove = database.prepare("DELETE FROM users WHERE aor = ?");
  return {
    list: () => list(database, file),
    put: (entry) => void put.run(...columnsOf(entry)),
    remove: (aor) => remove.run(aor).changes === 1,
    close: () => database.close(),
  };
}

function list(database: DatabaseSync, file: string): readonly UserEntry[] {
  const rows = database.prepare(`SELECT ${COLUMNS} FROM users ORDER BY aor`).all();
  const result = z.array(userEntrySchema).safeParse(rows.map(entryOf));
  if (result.success) return result.data;
  throw new ConfigError(
    file,
    result.error.issues.map(({ path: [at, ...path], message }) => ({
      path: `users ${String(rows[Number(at)]?.["aor"])} ${path.join(".")}`,
      message,
    })),
  );
}

type Row = Record<string, unknown>;

function entryOf(row: Row): unknown {
  const {
    ha1_sha256: sha256,
    ha1_md5: md5,
    record,
    may_call: mayCall,
    shared_key: sharedKey,
  } = row;
  const digests = { ...(sha256 === null ? {} : { sha256 }), ...(md5 === null ? {} : { md5 }) };
  return {
    aor: row["aor"],
    ...(Object.keys(digests).length === 0 ? {} : { ha1: digests }),
    addresses: json(row["addresses"]),
    requireSealed: row["require_sealed"] !== 0,
    ...(record === null ? {} : { record: record !== 0 }),
    ...(mayCall === null ? {} : { mayCall: json(mayCall) }),
    maxCalls: row["max_calls"],
    ...(sharedKey === null ? {} : { sharedKey }),
  };
}

/** What is no JSON is no list either, and the schema says so. */
function json(text: unknown): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    return text;
  }
}

function columnsOf(entry: UserEntry): (string | number | null)[] {
  const { aor, ha1, addresses, requireSealed, record, mayCall, maxCalls, sharedKey } = entry;
  return [
    ...[aor, ha1?.sha256 ?? null, ha1?.md5 ?? null, JSON.stringify(addresses)],
    ...[Number(requireSealed), record === undefined ? null : Number(record)],
    ...[mayCall === undefined ? null : JSON.stringify(mayCall), maxCalls, sharedKey ?? null],
  ];
}
