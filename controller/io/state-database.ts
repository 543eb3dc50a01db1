/**
 * What must outlive the controller: registrations, dialogs, and what the gateway was told to let
 * through. One SQLite file, mode 0600, for one process at a time. Writes gather until `commit`,
 * which puts them into one transaction: once it has returned, `kill -9` takes nothing back. A disk
 * that fails is told once; what it did not take is kept in memory and tried again.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Millis } from "../../protocol/machine.ts";
import { type DatabaseKind, openPrivateDatabase, pagesOf } from "../../runtime/private-database.ts";
import type { Binding, BindingChange } from "../core/bindings.ts";
import { PendingWrites } from "./pending-writes.ts";

/** A dialog or a wanted session as it was last saved. */
export interface StoredEntry {
  readonly id: string;
  /** What `JSON.parse` made of what was saved. */
  readonly value: unknown;
  readonly at: Millis;
}

/** Tables of entries: what a call knows of itself, and the sessions that the gateway is to hold. */
export type EntryTable = "call" | "session";

export interface StateDatabaseSetting {
  readonly file: string;
  /** The disk takes no more writes, or does again. */
  readonly onFault?: (fault: StoreFault) => void;
  /** Octets that the file may grow to. */
  readonly maxBytes?: number;
  /** Milliseconds, for waiting between attempts on a disk that fails. */
  readonly clock?: () => Millis;
}

export type StoreFault =
  | { readonly kind: "failed"; readonly error: Error; readonly unwritten: number }
  | { readonly kind: "recovered" };

const KIND: DatabaseKind = {
  name: "state database",
  applicationId: 0x4b48_5331,
  version: 1,
  schema: `
    CREATE TABLE binding (
      row INTEGER PRIMARY KEY, aor TEXT NOT NULL, key TEXT NOT NULL, contact TEXT NOT NULL,
      expires_at INTEGER NOT NULL, detail TEXT NOT NULL) STRICT;
    CREATE TABLE call (
      row INTEGER PRIMARY KEY, id TEXT NOT NULL, value TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
    CREATE TABLE session (
      row INTEGER PRIMARY KEY, id TEXT NOT NULL, value TEXT NOT NULL, at INTEGER NOT NULL) STRICT`,
};

/** Far beyond 10,000 calls and 100,000 bindings. */
export const MAX_STATE_BYTES = 2 ** 30;
/** Between checkpoints, each of which waits for the disk: 16 MiB of log. */
const CHECKPOINT_PAGES = 4096;
/** Between attempts to write to a disk that failed. */
export const RETRY_MS = 1000;
/** Between address of record and key; stands in neither. */
const SEPARATOR = "\n";

export class StateDatabase {
  readonly #database: DatabaseSync;
  readonly #setting: StateDatabaseSetting;
  readonly #statements: Statements;
  readonly #bindings: PendingWrites<Binding>;
  readonly #entries: Readonly<Record<EntryTable, PendingWrites<Omit<StoredEntry, "id">>>>;
  #failedAt: Millis | undefined;
  #scheduled: NodeJS.Immediate | undefined;

  private constructor(database: DatabaseSync, setting: StateDatabaseSetting) {
    this.#database = database;
    this.#setting = setting;
    this.#statements = prepareStatements(database);
    this.#bindings = new PendingWrites(rowsOf(database, "binding", "aor || char(10) || key"));
    this.#entries = {
      call: new PendingWrites(rowsOf(database, "call", "id")),
      session: new PendingWrites(rowsOf(database, "session", "id")),
    };
  }

  /** @throws ConfigError for a file that cannot be used, with what to do about it. */
  static open(setting: StateDatabaseSetting): StateDatabase {
    const database = openPrivateDatabase(setting.file, KIND, { exclusive: true });
    database.exec(`PRAGMA max_page_count = ${pagesOf(setting.maxBytes ?? MAX_STATE_BYTES)};
      PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
    return new StateDatabase(database, setting);
  }

  /** Registrations whose time is not over, for `Registrar.load`. */
  bindings(now: Millis): readonly Binding[] {
    const rows = this.#database.prepare("SELECT detail FROM binding").all();
    const bindings = rows.map(({ detail }) => JSON.parse(String(detail)) as Binding);
    const isOver = ({ expiresAt }: Binding): boolean => expiresAt <= now;
    for (const binding of bindings.filter(isOver)) this.#bindings.delete(nameOf(binding));
    return bindings.filter((binding) => !isOver(binding));
  }

  /** Everything saved in a table and not deleted since. */
  entries(table: EntryTable): readonly StoredEntry[] {
    const rows = this.#database.prepare(`SELECT id, value, at FROM ${table}`).all();
    return rows.map(({ id, value, at }) => ({
      id: String(id),
      value: JSON.parse(String(value)) as unknown,
      at: Number(at),
    }));
  }

  /** What the registrar changed. */
  applyBindings(changes: readonly BindingChange[]): void {
    for (const change of changes)
      if (change.kind === "put") this.#bindings.put(nameOf(change.binding), change.binding);
      else this.#bindings.delete(nameOf(change));
    this.#schedule();
  }

  /** Saves or replaces an entry; `value` is anything that `JSON.stringify` can write. */
  save(table: EntryTable, { id, value, at }: StoredEntry): void {
    this.#entries[table].put(id, { value, at });
    this.#schedule();
  }

  delete(table: EntryTable, id: string): void {
    this.#entries[table].delete(id);
    this.#schedule();
  }

  /**
   * Writes what has gathered, before anybody is told of it. A fault of the database goes to
   * `onFault`, and the writes wait for the next change.
   */
  commit(): void {
    if (this.#unwritten === 0) return;
    if (this.#failedAt !== undefined && this.#now() < this.#failedAt + RETRY_MS) return;
    try {
      this.#write();
      if (this.#failedAt !== undefined) this.#setting.onFault?.({ kind: "recovered" });
      this.#failedAt = undefined;
    } catch (error) {
      if (!(error instanceof Error) || !("errcode" in error)) throw error;
      const first = this.#failedAt === undefined;
      this.#failedAt = this.#now();
      if (first) this.#setting.onFault?.({ kind: "failed", error, unwritten: this.#unwritten });
    }
  }

  /** Commits, and lets the next process have the file. */
  close(): void {
    this.#failedAt = undefined;
    this.commit();
    clearImmediate(this.#scheduled);
    this.#database.close();
  }

  get #unwritten(): number {
    const { call, session } = this.#entries;
    return this.#bindings.size + call.size + session.size;
  }

  #now(): Millis {
    return (this.#setting.clock ?? Date.now)();
  }

  /** Nothing waits longer than to the end of the turn. */
  #schedule(): void {
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.commit();
    });
  }

  #write(): void {
    const { begin, end, undo, putBinding, deleteBinding } = this.#statements;
    begin.run();
    try {
      for (const [, { row, value }] of this.#bindings.writes())
        if (value === undefined) deleteBinding.run(row);
        else putBinding.run(row, ...columnsOf(value));
      for (const table of ["call", "session"] as const) this.#writeEntries(table);
      end.run();
    } catch (error) {
      if (this.#database.isTransaction) undo.run();
      throw error;
    }
    this.#bindings.written();
    for (const entries of Object.values(this.#entries)) entries.written();
  }

  #writeEntries(table: EntryTable): void {
    const { put, remove } = this.#statements[table];
    for (const [id, { row, value }] of this.#entries[table].writes())
      if (value === undefined) remove.run(row);
      else put.run(row, id, JSON.stringify(value.value), value.at);
  }
}

/** Names and rows of what a table holds. */
const rowsOf = (
  database: DatabaseSync,
  table: EntryTable | "binding",
  name: string,
): readonly (readonly [name: string, row: number])[] =>
  database
    .prepare(`SELECT ${name} AS name, row FROM ${table}`)
    .all()
    .map((found) => [String(found["name"]), Number(found["row"])]);

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(database: DatabaseSync) {
  const entry = (table: EntryTable): { put: StatementSync; remove: StatementSync } => ({
    put: database.prepare(
      `INSERT OR REPLACE INTO ${table} (row, id, value, at) VALUES (?, ?, ?, ?)`,
    ),
    remove: database.prepare(`DELETE FROM ${table} WHERE row = ?`),
  });
  return {
    begin: database.prepare("BEGIN IMMEDIATE"),
    end: database.prepare("COMMIT"),
    undo: database.prepare("ROLLBACK"),
    putBinding: database.prepare(
      "INSERT OR REPLACE INTO binding (row, aor, key, contact, expires_at, detail) VALUES (?, ?, ?, ?, ?, ?)",
    ),
    deleteBinding: database.prepare("DELETE FROM binding WHERE row = ?"),
    call: entry("call"),
    session: entry("session"),
  };
}

const nameOf = ({ aor, key }: Pick<Binding, "aor" | "key">): string => `${aor}${SEPARATOR}${key}`;

const columnsOf = (binding: Binding): [string, string, string, number, string] => [
  binding.aor,
  binding.key,
  binding.contact,
  binding.expiresAt,
  JSON.stringify(binding),
];
