/**
 * Reads a store with the archive's private key: finds recordings by the beginning of their ids,
 * opens them, and compares them with the ledger. Touches the store's directory, and only reads it.
 */

import { createHash, type KeyObject } from "node:crypto";
import { type FileHandle, open, readFile } from "node:fs/promises";
import type { LedgerEntry, LedgerHead } from "../../protocol/ledger/ledger-entry.ts";
import { type LedgerCheck, verifyLedger } from "../../protocol/ledger/verify-ledger.ts";
import { openContainer, openFirstBlock } from "../../protocol/sealing/container-reader.ts";
import type { Sodium, X25519KeyPair } from "../../protocol/sealing/sodium.ts";
import type { Metadata } from "../core/metadata.ts";
import { type RecordingContents, readContents, readMetadata } from "../core/recording-contents.ts";
import { ledgerPath, listRecordings, recordingPath } from "./store-directory.ts";

/** Octets of a file that surely hold its first block. */
const FIRST_BLOCK_BYTES = 2 * 1024 * 1024;

/** What was asked for is not there; the message says what was looked for. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
  readonly code = "ERR_ARCHIVE";
}

/** What the ledger says of one recording. */
export interface LedgerRecord {
  readonly openedAt: string | undefined;
  readonly closed: Extract<LedgerEntry["act"], { kind: "recording.closed" }> | undefined;
}

/** A sealed file as it lies there. */
export interface FileState {
  readonly bytes: number;
  readonly sha256: string;
}

export class Archive {
  readonly #store: string;
  readonly #sodium: Sodium;
  /** Sorted. */
  readonly recordings: readonly string[];

  private constructor(store: string, sodium: Sodium, recordings: readonly string[]) {
    this.#store = store;
    this.#sodium = sodium;
    this.recordings = recordings;
  }

  /** @throws ArchiveError if there is no such directory, or it cannot be read. */
  static async open(store: string, sodium: Sodium): Promise<Archive> {
    try {
      return new Archive(store, sodium, await listRecordings(store));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new ArchiveError(`no store at ${store} (${code})`, { cause: error });
    }
  }

  /** Those whose files lie there, and those that only the ledger knows: their files are gone. */
  knownWith(ledger: LedgerCheck): readonly string[] {
    const entered = ledger.entries.map(({ act }) => act.recording);
    return [...new Set([...this.recordings, ...entered])].sort();
  }

  /**
   * The one recording whose id begins so.
   * @throws ArchiveError if there is none, or several.
   */
  find(prefix: string, among = this.recordings): string {
    const found = among.filter((id) => id.startsWith(prefix.toLowerCase()));
    const [one] = found;
    if (one === undefined) throw new ArchiveError(`no recording ${prefix} in this store`);
    if (found.length > 1)
      throw new ArchiveError(`${found.length} recordings begin with ${prefix}: say more of the id`);
    return one;
  }

  /** True if the ledger has it opened and not yet closed. */
  async isOpen(recording: string): Promise<boolean> {
    const { entries } = await this.checkLedger(undefined);
    const { openedAt, closed } = recordOf(entries, recording);
    return openedAt !== undefined && closed === undefined;
  }

  /** @throws ProtocolError as `openContainer`. */
  async read(
    recording: string,
    key: X25519KeyPair,
  ): Promise<{ readonly contents: RecordingContents; readonly file: FileState }> {
    const octets = await this.#octets(recording);
    const contents = readContents(openContainer(octets, key, this.#sodium));
    if (contents.recording !== recording)
      throw new ArchiveError(`the file named ${recording} holds ${contents.recording}`);
    return { contents, file: stateOf(octets) };
  }

  /** What the beginning of the file says, also of one still being written. @throws ProtocolError. */
  async readBeginning(recording: string, key: X25519KeyPair): Promise<Metadata> {
    const file = await open(recordingPath(this.#store, recording), "r");
    try {
      const octets = await readUpTo(file, FIRST_BLOCK_BYTES);
      return readMetadata(openFirstBlock(octets, key, this.#sodium).block.octets);
    } finally {
      await file.close();
    }
  }

  /** Size and hash of the sealed file. */
  async measure(recording: string): Promise<FileState> {
    return stateOf(await this.#octets(recording));
  }

  /**
   * Checks the ledger, signatures too if keys are given.
   * @throws ArchiveError if the store has none.
   */
  async checkLedger(
    keys: readonly KeyObject[] | undefined,
    head?: LedgerHead,
  ): Promise<LedgerCheck> {
    const path = ledgerPath(this.#store);
    const octets = await readFile(path).catch((cause) => {
      throw new ArchiveError(`no ledger at ${path}`, { cause });
    });
    return verifyLedger(octets, keys, head);
  }

  async #octets(recording: string): Promise<Buffer> {
    try {
      return await readFile(recordingPath(this.#store, recording));
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new ArchiveError(`recording ${recording} cannot be read (${code})`, { cause });
    }
  }
}

/** What a ledger's entries say of a recording; the last close counts. */
export function recordOf(entries: readonly LedgerEntry[], recording: string): LedgerRecord {
  const own = entries.filter(({ act }) => act.recording === recording);
  const openedAt = own.find(({ act }) => act.kind === "recording.opened")?.time;
  const closed = own.flatMap(({ act }) => (act.kind === "recording.closed" ? [act] : [])).at(-1);
  return { openedAt, closed };
}

function stateOf(octets: Buffer): FileState {
  return { bytes: octets.length, sha256: createHash("sha256").update(octets).digest("hex") };
}

async function readUpTo(file: FileHandle, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, 0);
  return buffer.subarray(0, bytesRead);
}
