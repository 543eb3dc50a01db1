/**
 * The ledger on disk: append only, one fsync for all entries that wait, and no entry is
 * acknowledged before it. Touches one file.
 */

import type { KeyObject } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import {
  type LedgerAct,
  type LedgerEntry,
  type LedgerHead,
  lineSha256,
  parseLedgerLine,
  signEntry,
} from "../../protocol/ledger/ledger-entry.ts";
import { type LedgerCheck, splitLines, verifyLedger } from "../../protocol/ledger/verify-ledger.ts";

const FILE_MODE = 0o600;

interface Waiting {
  readonly act: LedgerAct;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class LedgerFile {
  /** What was found when the file was opened, a torn last line already cut off. */
  readonly check: LedgerCheck;
  /** Every entry that can be read, beyond a fault too: what was closed stays closed. */
  readonly entries: readonly LedgerEntry[];
  readonly #file: FileHandle;
  readonly #key: KeyObject;
  readonly #clock: () => number;
  #head: LedgerHead;
  #bytes: number;
  #waiting: Waiting[] = [];
  #pump: Promise<void> | undefined;

  private constructor(
    file: FileHandle,
    key: KeyObject,
    clock: () => number,
    found: {
      check: LedgerCheck;
      entries: readonly LedgerEntry[];
      head: LedgerHead;
      bytes: number;
    },
  ) {
    this.#file = file;
    this.#key = key;
    this.#clock = clock;
    this.check = found.check;
    this.entries = found.entries;
    this.#head = found.head;
    this.#bytes = found.bytes;
  }

  /**
   * Opens or creates it. A torn last line is cut; a ledger that is broken elsewhere is gone on
   * with from its last line, and `check` says what is wrong.
   * @param key Ed25519, private.
   */
  static async open(
    path: string,
    key: KeyObject,
    clock: () => number = Date.now,
  ): Promise<LedgerFile> {
    const file = await open(path, "a+", FILE_MODE);
    const octets = await file.readFile();
    const { whole, torn } = splitLines(octets);
    const bytes = octets.length - torn.length;
    if (torn.length > 0) await file.truncate(bytes);
    const check = verifyLedger(octets.subarray(0, bytes), [key]);
    const head = check.kind === "good" ? check.head : headOfBroken(whole);
    const entries = check.kind === "good" ? check.entries : whole.flatMap(readableEntry);
    return new LedgerFile(file, key, clock, { check, entries, head, bytes });
  }

  get head(): LedgerHead {
    return this.#head;
  }

  /** Resolves once the entry is on the disk. */
  append(act: LedgerAct): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ act, resolve, reject });
      this.#pump ??= this.#run();
    });
  }

  async close(): Promise<void> {
    await this.#pump;
    await this.#file.close();
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#commit(batch);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#pump = undefined;
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const time = new Date(this.#clock()).toISOString();
    let head = this.#head;
    const lines = batch.map(({ act }) => {
      const next = signEntry(head, time, act, this.#key);
      head = next.head;
      return Buffer.concat([next.line, Buffer.from("\n")]);
    });
    const octets = Buffer.concat(lines);
    try {
      await this.#file.appendFile(octets);
      await this.#file.datasync();
    } catch (error) {
      await this.#file.truncate(this.#bytes);
      throw error;
    }
    this.#head = head;
    this.#bytes += octets.length;
  }
}

function readableEntry(line: Buffer): readonly LedgerEntry[] {
  try {
    return [parseLedgerLine(line).entry];
  } catch {
    return [];
  }
}

function headOfBroken(lines: readonly Buffer[]): LedgerHead {
  const last = lines.at(-1);
  return { sequence: lines.length, sha256: lineSha256(last ?? Buffer.alloc(0)) };
}
