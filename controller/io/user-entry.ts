/**
 * A user as the operator wrote him down: in a file of users, in a table of users. Pure.
 */
import { z } from "zod";
import { Secret } from "../../protocol/secret.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import { userSchema } from "../config.ts";
import { canonicalAddress } from "../core/sip-policy.ts";
import type { Ha1, User } from "../core/users.ts";

const hex = (digits: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-fA-F]{${digits}}$`), `not ${digits} hexadecimal digits`)
    .toLowerCase();

/** A row of `[[user]]` in a file of users: as in `controller.toml`, but with the digests themselves. */
export const userEntrySchema = userSchema.omit({ ha1: true }).extend({
  /** H(user:realm:password), the realm being the domain: as good as the password. */
  ha1: z.strictObject({ sha256: hex(64).optional(), md5: hex(32).optional() }).optional(),
});

export type UserEntry = z.infer<typeof userEntrySchema>;

/**
 * A user as the core wants him. `mustRecord` counts where the entry does not say whether he is
 * recorded.
 */
export function userOf(
  entry: Omit<UserEntry, "ha1">,
  ha1: Ha1 | undefined,
  mustRecord: boolean,
): User {
  const { aor, addresses, requireSealed, record, mayCall, maxCalls } = entry;
  return {
    aor: addressOfRecord(aor),
    addresses: addresses.map(canonicalAddress),
    requireSealed,
    mustRecord: record ?? mustRecord,
    maxCalls,
    ...(ha1 === undefined ? {} : { ha1 }),
    ...(mayCall === undefined ? {} : { mayCall }),
  };
}

/** The digests of an entry, out of sight. */
export function ha1Of(ha1: NonNullable<UserEntry["ha1"]>): Ha1 {
  const secret = (digits: string): Secret => new Secret(Buffer.from(digits, "latin1"));
  return {
    ...(ha1.sha256 === undefined ? {} : { sha256: secret(ha1.sha256) }),
    ...(ha1.md5 === undefined ? {} : { md5: secret(ha1.md5) }),
  };
}

/** Where users are written down beside the configuration. */
export interface UserBook {
  /** @throws ConfigError with every fault. */
  list(): readonly UserEntry[];
  /** Adds an entry, or replaces that of the same user. */
  put(entry: UserEntry): void;
  /** False if there was no such user. */
  remove(aor: string): boolean;
  close(): void;
}
