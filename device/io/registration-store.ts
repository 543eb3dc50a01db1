/**
 * The file that a registration is kept in: mode 0600, replaced as a whole. Touches that file, the
 * one beside it that it is written to first, and their folder.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { ConfigError } from "../../runtime/config-file.ts";
import {
  parseRecord,
  type RegistrationRecord,
  serializeRecord,
} from "../core/registration-record.ts";

const FILE_MODE = 0o600;
const OTHERS = 0o077;
/** Larger than any that is written. */
export const MAX_STORE_BYTES = 1024 * 1024;

/**
 * What is kept, or undefined if nothing is.
 * @throws ConfigError naming the file and what to do: others may read it, or it is damaged.
 */
export function readRegistration(file: string, aor: string): RegistrationRecord | undefined {
  const text = readPrivate(file);
  if (text === undefined) return undefined;
  try {
    const record = parseRecord(text);
    if (record.aor === aor) return record;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw fault(
      file,
      `is damaged (${error.message}): restore a copy, or move it away to begin anew`,
    );
  }
  throw fault(file, "belongs to another user: name another file");
}

/** Replaces what is kept; whoever reads finds the old or the new, also after a power cut. */
export function writeRegistration(file: string, record: RegistrationRecord): void {
  const fresh = `${file}.new`;
  rmSync(fresh, { force: true });
  const descriptor = openSync(fresh, "wx", FILE_MODE);
  try {
    writeWhole(descriptor, serializeRecord(record));
    renameSync(fresh, file);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  syncFolder(dirname(file));
}

/** Unlike `writeSync`, `writeFileSync` fails where the disk takes a part only. */
function writeWhole(descriptor: number, text: string): void {
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function readPrivate(file: string): string | undefined {
  const descriptor = open(file);
  if (descriptor === undefined) return undefined;
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile()) throw fault(file, "is not a regular file: name another");
    if ((status.mode & OTHERS) !== 0)
      throw fault(file, "others may read it, and it holds a private key: chmod 600 it");
    if (status.size > MAX_STORE_BYTES) throw fault(file, "is too large to be a registration");
    return readFileSync(descriptor, "utf8");
  } finally {
    closeSync(descriptor);
  }
}

function open(file: string): number | undefined {
  try {
    return openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw fault(file, `cannot be read: ${code}`);
  }
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

const fault = (file: string, message: string): ConfigError =>
  new ConfigError(file, [{ path: "", message: `(registration store) ${message}` }]);
