/**
 * One recorder a store: two would end each other's recordings and break the ledger's chain. The lock is SQLite's on an
 * empty database, which the kernel takes back from a process however it ends. Touches one file, which stays empty.
 */

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

const LOCK = "lock";
const SQLITE_BUSY = 5;

/** Another process holds the store. */
export class StoreLockError extends Error {
  override readonly name = "StoreLockError";
  readonly code = "ERR_STORE_LOCKED";
}

export class StoreLock {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /** @throws StoreLockError if another recorder has it; Error if the store cannot be written. */
  static take(store: string): StoreLock {
    const database = new DatabaseSync(join(store, LOCK));
    try {
      database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
      return new StoreLock(database);
    } catch (error) {
      database.close();
      const { errcode } = error as { errcode?: number };
      if (errcode === SQLITE_BUSY)
        throw new StoreLockError(`another recorder has this store: ${store}`);
      throw error;
    }
  }

  release(): void {
    this.#database.close();
  }
}
