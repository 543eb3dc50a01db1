/**
 * Opens an SQLite file that nobody else may read: of this program's own kind and version, or new.
 * Touches that file and the two that SQLite puts beside it.
 */
import { chmodSync, chownSync, closeSync, lstatSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConfigError } from "./config-file.ts";

export interface DatabaseKind {
  /** What it is called in faults: "state database". */
  readonly name: string;
  /** SQLite's application_id: tells our files from anybody else's. */
  readonly applicationId: number;
  /** SQLite's user_version. */
  readonly version: number;
  /** Makes the tables of a new file. */
  readonly schema: string;
  /** By version: what makes a file of that one into one of the next. */
  readonly upgrades?: Readonly<Record<number, string>>;
}

export interface OpenOptions {
  /** No second process may have it open at the same time. */
  readonly exclusive?: boolean;
  /** Root may open another user's, and leaves it to him; a new one goes to the folder's owner. */
  readonly sharedWithRoot?: boolean;
  /** How long to wait for another process that has it open; 0 unless told. */
  readonly busyTimeoutMs?: number;
}

/** Result codes of SQLite (sqlite3.h). */
export const SQLITE_BUSY = 5;
const FILE_MODE = 0o600;
const OTHERS = 0o077;
const PAGE_BYTES = 4096;

/**
 * Opens the file, or makes it with mode 0600, in WAL mode with secure deletion.
 * @throws ConfigError naming the file and what to do: it is somebody else's, damaged, of another
 *   kind, newer than this program, in use, or cannot be made.
 */
export function openPrivateDatabase(
  file: string,
  kind: DatabaseKind,
  options: OpenOptions = {},
): DatabaseSync {
  claim(file, kind, options);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, {
      timeout: options.busyTimeoutMs ?? 0,
      defensive: true,
    });
    prepare(database, options);
    adopt(database, file, kind);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof ConfigError) throw error;
    throw fault(file, kind, explain(error));
  }
}

/** Bytes as a number of pages, for `PRAGMA max_page_count`. */
export const pagesOf = (bytes: number): number => Math.floor(bytes / PAGE_BYTES);

function prepare(database: DatabaseSync, { exclusive }: OpenOptions): void {
  if (exclusive === true) database.exec("PRAGMA locking_mode = EXCLUSIVE");
  database.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON`);
}

/** The file belongs to us alone before anything is written to it. */
function claim(file: string, kind: DatabaseKind, { sharedWithRoot }: OpenOptions): void {
  const asRoot = sharedWithRoot === true && process.geteuid?.() === 0;
  const folder = status(dirname(file));
  if (folder === undefined) throw fault(file, kind, "its folder is not there: make it");
  if ((folder.mode & 0o022) !== 0 && (folder.mode & 0o1000) === 0)
    throw fault(file, kind, "others may write to its folder: chmod go-w it");
  const found = status(file);
  if (found === undefined) {
    create(file, kind);
    if (asRoot) chownSync(file, folder.uid, folder.gid);
    return;
  }
  if (!found.isFile()) throw fault(file, kind, "is not a regular file: name another");
  if (found.uid !== process.geteuid?.() && !asRoot)
    throw fault(file, kind, `belongs to user ${found.uid}: chown it to the program's own`);
  if ((found.mode & OTHERS) !== 0) chmodSync(file, FILE_MODE);
}

function create(file: string, kind: DatabaseKind): void {
  try {
    closeSync(openSync(file, "wx", FILE_MODE));
  } catch (cause) {
    throw fault(file, kind, `cannot be made: ${(cause as NodeJS.ErrnoException).code}`);
  }
}

const status = (path: string) => lstatSync(path, { throwIfNoEntry: false });

/** Checks what is there against the kind; makes the tables where there is nothing. */
function adopt(database: DatabaseSync, file: string, kind: DatabaseKind): void {
  if (isEmpty(database)) makeTables(database, kind);
  const applicationId = readNumber(database, "PRAGMA application_id");
  if (applicationId !== kind.applicationId)
    throw fault(file, kind, "is a database of another program: name another file");
  const version = upgrade(database, kind);
  if (version !== kind.version)
    throw fault(
      file,
      kind,
      `has schema ${version}, and this program knows ${kind.version}: start the release that wrote it, or move it away`,
    );
  const [check] = Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {});
  if (check !== "ok") throw fault(file, kind, DAMAGED);
}

const isEmpty = (database: DatabaseSync): boolean =>
  readNumber(database, "SELECT count(*) AS value FROM sqlite_schema") === 0 &&
  readNumber(database, "PRAGMA application_id") === 0;

function makeTables(database: DatabaseSync, kind: DatabaseKind): void {
  database.exec("BEGIN IMMEDIATE"); // another process may be about the same
  if (isEmpty(database))
    database.exec(`${kind.schema}; PRAGMA application_id = ${kind.applicationId};
      PRAGMA user_version = ${kind.version}`);
  database.exec("COMMIT");
}

/** Takes a file of an earlier version over, step by step; returns the version it has then. */
function upgrade(database: DatabaseSync, { version: wanted, upgrades = {} }: DatabaseKind): number {
  const read = () => readNumber(database, "PRAGMA user_version");
  if (read() >= wanted) return read();
  database.exec("BEGIN IMMEDIATE"); // another process may be about the same
  for (let step = upgrades[read()]; step !== undefined; step = upgrades[read()])
    database.exec(`${step}; PRAGMA user_version = ${read() + 1}`);
  database.exec("COMMIT");
  return read();
}

function readNumber(database: DatabaseSync, sql: string): number {
  const [value] = Object.values(database.prepare(sql).get() ?? {});
  return Number(value);
}

const DAMAGED = "is damaged or no SQLite file: restore a copy, or move it away to begin anew";

function explain(error: unknown): string {
  const { errcode, message } = error as { errcode?: number; message?: string };
  if (errcode === undefined) throw error;
  switch (errcode & 0xff) {
    case SQLITE_BUSY:
      return "is in use by another process: stop that one first";
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return DAMAGED;
    default:
      return `cannot be opened: ${message}`;
  }
}

const fault = (file: string, { name }: DatabaseKind, message: string): ConfigError =>
  new ConfigError(file, [{ path: "", message: `(${name}) ${message}` }]);
