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

const NO_SHARED_KEY = "not 32 or 64 hexadecimal digits";

/** A row of `[[user]]` in a file of users: as in `controller.toml`, but with the secrets themselves. */
export const userEntrySchema = userSchema.omit({ ha1: true, sharedKey: true }).extend({
  /** H(user:realm:password), the realm being the domain: as good as the password. */
  ha1: z.strictObject({ sha256: hex(64).optional(), md5: hex(32).optional() }).optional(),
  /** The key itself, for AES-128 or AES-256 key wrap. */
  sharedKey: z.union([hex(32), hex(64)], NO_SHARED_KEY).optional(),
});

export type UserEntry = z.infer<typeof userEntrySchema>;

/** What is known of a user that proves who he is. */
export interface UserSecrets {
  readonly ha1?: Ha1 | undefined;
  /** 16 or 32 octets. */
  readonly sharedKey?: Secret | undefined;
}

/** A user with what the core needs not know of him. */
export interface StoredUser extends User {
  /** His registrations may be sealed under it: 16 or 32 octets. */
  readonly sharedKey?: Secret;
}

/**
 * A user as the core wants him. `mustRecord` counts where the entry does not say whether he is
 * recorded.
 */
export function userOf(
  entry: Omit<UserEntry, "ha1" | "sharedKey">,
  { ha1, sharedKey }: UserSecrets,
  mustRecord: boolean,
): StoredUser {
  const { aor, addresses, requireSealed, record, mayCall, maxCalls } = entry;
  return {
    aor: addressOfRecord(aor),
    addresses: addresses.map(canonicalAddress),
    requireSealed,
    mustRecord: record ?? mustRecord,
    maxCalls,
    ...(ha1 === undefined ? {} : { ha1 }),
    ...(sharedKey === undefined ? {} : { sharedKey }),
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

/** The secrets of an entry, out of sight. */
export const secretsOf = ({ ha1, sharedKey }: UserEntry): UserSecrets => ({
  ...(ha1 === undefined ? {} : { ha1: ha1Of(ha1) }),
  ...(sharedKey === undefined ? {} : { sharedKey: parseSharedKey(sharedKey) }),
});

/** The key of a file or entry. @throws TypeError for anything but 16 or 32 octets in hex. */
export function parseSharedKey(text: string): Secret {
  const digits = text.trim();
  if (!/^(?:[0-9a-f]{32}){1,2}$/i.test(digits)) throw new TypeError(NO_SHARED_KEY);
  return new Secret(Buffer.from(digits, "hex"));
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
