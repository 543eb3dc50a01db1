/**
 * Users in a TOML file of `[[user]]` tables. Comments outside a changed table stay. A change is
 * written beside the file and renamed over it, so that nobody ever reads half of it. Touches that
 * file.
 */
import {
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { stringify } from "smol-toml";
import { z } from "zod";
import { ConfigError, parseConfig } from "../../runtime/config-file.ts";
import { type UserBook, type UserEntry, userEntrySchema } from "./user-entry.ts";

const schema = z.strictObject({ user: z.array(userEntrySchema).default([]) });

/** The owner's and his group's: digests are as good as passwords. */
const FILE_MODE = 0o640;
const STRANGERS = 0o007;
const HEADER = /^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$/;

/** @throws ConfigError when strangers may read the file. */
export function openUsersFile(file: string): UserBook {
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & STRANGERS) !== 0)
    throw new ConfigError(file, [
      {
        path: "",
        message: "everybody may read it, and what it holds serves as passwords: chmod o= it",
      },
    ]);
  const list = (): readonly UserEntry[] => parseConfig(textOf(file), schema, file).user;
  const change = (aor: string, block: string): boolean => {
    const entries = list();
    const at = entries.findIndex((entry) => entry.aor === aor);
    const text = textOf(file);
    write(file, at < 0 ? appended(text, block) : replaced(text, at, block));
    return at >= 0;
  };
  return {
    list,
    put: (entry) => void change(entry.aor, stringify({ user: [entry] })),
    remove: (aor) => list().some((entry) => entry.aor === aor) && change(aor, ""),
    close: () => undefined,
  };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return "";
    throw new ConfigError(file, [{ path: "", message: `cannot be read: ${code}` }]);
  }
}

const appended = (text: string, block: string): string =>
  text.trim() === "" ? block : `${text.trimEnd()}\n\n${block}`;

/** The text with another block in place of the user's: from its header to the next one of another. */
function replaced(text: string, user: number, block: string): string {
  const lines = text.split("\n");
  const headers = lines.flatMap((line, at) => {
    const name = HEADER.exec(line)?.[1];
    return name === undefined ? [] : [{ at, name, starts: /^\s*\[\[/.test(line) }];
  });
  const starts = headers.filter(({ name, starts }) => starts && name === "user");
  const start = starts[user]?.at ?? lines.length;
  const next = headers.find(({ at, name }) => at > start && !name.startsWith("user."));
  const rest = lines.slice(next?.at ?? lines.length);
  const before = lines.slice(0, start).join("\n").trimEnd();
  const parts = [before, block.trimEnd(), rest.join("\n").trimEnd()];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

/** The old file's owner keeps it; a new one belongs to whom its folder belongs. */
function write(file: string, text: string): void {
  parseConfig(text, schema, file);
  const like = statSync(file, { throwIfNoEntry: false }) ?? statSync(dirname(file));
  const fresh = `${file}.new`;
  const descriptor = openSync(fresh, "w", FILE_MODE);
  try {
    if (process.geteuid?.() === 0) chownSync(fresh, like.uid, like.gid);
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(fresh, file);
}
