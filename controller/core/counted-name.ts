/**
 * What strangers' names are counted by: a long one by its digest, so that none costs more memory
 * than the limit on how many are counted allows for. Pure.
 */
import { createHash } from "node:crypto";

/** Longest name that is kept as it stands. */
export const COUNTED_NAME_MAX_LENGTH = 128;

/** One name for each name, of `COUNTED_NAME_MAX_LENGTH` characters at most. */
export const countedName = (name: string): string =>
  name.length <= COUNTED_NAME_MAX_LENGTH
    ? name
    : createHash("sha256").update(name).digest("base64url");
