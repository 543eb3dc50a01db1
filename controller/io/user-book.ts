/**
 * Opens what users are written down in: read by the controller, changed by `keyhole users`.
 */
import { statSync } from "node:fs";
import { ConfigError } from "../../runtime/config-file.ts";
import type { UserBook } from "./user-entry.ts";
import { openUsersDatabase } from "./users-database.ts";
import { openUsersFile } from "./users-file.ts";

/** One or the other. */
export interface BookPlace {
  readonly file?: string | undefined;
  readonly database?: string | undefined;
}

/**
 * Opens the book, or with `create` a new one.
 * @throws ConfigError for what is not there or cannot be used.
 */
export function openUserBook(
  { file, database }: BookPlace,
  { create }: { readonly create: boolean },
): UserBook | undefined {
  const path = database ?? file;
  if (path === undefined) return undefined;
  if (!create && statSync(path, { throwIfNoEntry: false }) === undefined)
    throw new ConfigError(path, [
      { path: "", message: "is not there: make it with 'keyhole users add'" },
    ]);
  return database === undefined ? openUsersFile(path) : openUsersDatabase(database);
}
