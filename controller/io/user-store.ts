/**
 * All users of the controller: the rows of its configuration and those of a file or database of
 * users. Read as a whole; after that nothing is touched.
 */
import { parseSipUri } from "../../protocol/sip/uri.ts";
import { ConfigError, type ConfigFault } from "../../runtime/config-file.ts";
import type { UserDirectory } from "../core/users.ts";
import { type BookPlace, openUserBook } from "./user-book.ts";
import { type StoredUser, secretsOf, userOf } from "./user-entry.ts";

export interface UserSources {
  /** Those of the configuration itself. */
  readonly rows: readonly StoredUser[];
  readonly book?: BookPlace | undefined;
  /** Every user belongs to one of them. */
  readonly domains: readonly string[];
  /** Whether users are recorded of whom the book does not say it. */
  readonly mustRecord: boolean;
}

export class UserStore implements UserDirectory {
  readonly #users: ReadonlyMap<string, StoredUser>;

  private constructor(users: ReadonlyMap<string, StoredUser>) {
    this.#users = users;
  }

  /** @throws ConfigError with every fault of the book. */
  static open(sources: UserSources): UserStore {
    return new UserStore(readUsers(sources));
  }

  get size(): number {
    return this.#users.size;
  }

  find(aor: string): StoredUser | undefined {
    return this.#users.get(aor);
  }
}

function readUsers({ rows, book = {}, domains, mustRecord }: UserSources): Map<string, StoredUser> {
  const users = new Map(rows.map((user) => [user.aor, user]));
  const opened = openUserBook(book, { create: false });
  if (opened === undefined) return users;
  const faults: ConfigFault[] = [];
  try {
    for (const entry of opened.list()) {
      const user = userOf(entry, secretsOf(entry), mustRecord);
      const message = users.has(user.aor)
        ? "stands there twice, or in the configuration as well"
        : domains.includes(parseSipUri(user.aor).host)
          ? undefined
          : "is in none of our domains";
      if (message !== undefined) faults.push({ path: entry.aor, message });
      users.set(user.aor, user);
    }
  } finally {
    opened.close();
  }
  if (faults.length > 0) throw new ConfigError(book.file ?? book.database ?? "users", faults);
  return users;
}
