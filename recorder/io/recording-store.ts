/**
 * The store: one directory (0700) of sealed recordings and their ledger. Writes are gathered and
 * committed together, at most every `FLUSH_MS`; a crash costs what was not yet flushed. Touches
 * that directory and one timer.
 */

import { unlink } from "node:fs/promises";
import {
  encodePacket,
  encodeSection,
  type PcapngPacket,
} from "../../protocol/pcapng/encode-pcapng.ts";
import type { BlockType } from "../../protocol/sealing/container-format.ts";
import type { Sodium } from "../../protocol/sealing/sodium.ts";
import { closedAct } from "../core/closed-act.ts";
import type { Completeness } from "../core/completeness.ts";
import { RECORDING_INTERFACES } from "../core/export-pcapng.ts";
import type { Metadata } from "../core/metadata.ts";
import type { InterruptedRecordings, Interruption } from "./interrupted-recordings.ts";
import type { LedgerFile } from "./ledger-file.ts";
import { SealedFile } from "./sealed-file.ts";
import { recordingPath, syncDirectory } from "./store-directory.ts";

/** How often what was written is committed. */
export const FLUSH_MS = 1000;
/** Octets of one recording that may wait for the disk. */
export const MAX_WAITING_BYTES = 32 * 1024 * 1024;
/** Octets of all recordings together that may wait for the disk: ten seconds of a thousand calls. */
export const MAX_ALL_WAITING_BYTES = 256 * 1024 * 1024;
/** Octets that are written without waiting for the next commit. */
export const EARLY_WRITE_BYTES = 256 * 1024;

export interface StoreOptions {
  readonly directory: string;
  /** X25519 public keys, 32 octets each. */
  readonly archiveKeys: readonly Buffer[];
  readonly ledger: LedgerFile;
  /** What an earlier recorder left without an end: `open` goes on with it. */
  readonly interrupted: InterruptedRecordings;
  readonly sodium: Sodium;
  /** A recording cannot be written any more. */
  readonly onFailed: (recording: string, reason: string) => void;
  /** Nobody writes to it any more: `interrupted` has it, perhaps long after it failed. */
  readonly onInterrupted?: (recording: string) => void;
  readonly clock?: () => number;
  /** Instead of `MAX_ALL_WAITING_BYTES`. */
  readonly maxAllWaitingBytes?: number;
}

/** Packets are joined into blocks of about this many octets: no packet is cut by a chunk's end. */
const MERGED_BYTES = 512 * 1024;

interface OpenFile {
  readonly openedAt: number;
  file: SealedFile | undefined;
  /** Sealed in this order; packets are merged until they are. */
  waiting: { readonly type: BlockType; readonly octets: Buffer[]; bytes: number }[];
  waitingBytes: number;
  /** An early write is under way to them. */
  isWriteDue: boolean;
  isUnsynced: boolean;
  /** Everything done to the file, one after the other. */
  work: Promise<unknown>;
}

export class RecordingStore {
  readonly #options: StoreOptions;
  readonly #clock: () => number;
  readonly #open = new Map<string, OpenFile>();
  #timer: NodeJS.Timeout | undefined;
  #allWaitingBytes = 0;
  #flushing: Promise<void> = Promise.resolve();

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  /**
   * Creates a recording's file, durable and in the ledger when this resolves; or goes on with one
   * that was interrupted.
   * @throws Error with code `EEXIST` for a recording that is there already.
   */
  async open(recording: string, metadata: Metadata): Promise<Interruption | undefined> {
    const interruption = this.#options.interrupted.take(recording);
    const entry: OpenFile = {
      openedAt: interruption?.openedAt ?? this.#clock(),
      file: undefined,
      waiting: [],
      waitingBytes: 0,
      isWriteDue: false,
      isUnsynced: false,
      work: Promise.resolve(),
    };
    this.#open.set(recording, entry);
    entry.work = this.#begin(recording, entry, metadata, interruption !== undefined);
    try {
      await entry.work;
    } catch (error) {
      this.#open.delete(recording);
      this.#forgetWaiting(entry);
      if (interruption !== undefined) this.#interrupt(recording, interruption);
      throw error;
    }
    if (this.#open.get(recording) !== entry) await entry.file?.abandon();
    return interruption;
  }

  writePackets(recording: string, packets: readonly PcapngPacket[]): void {
    for (const packet of packets) this.#gather(recording, "pcapng", encodePacket(packet));
  }

  writeMetadata(recording: string, metadata: Metadata): void {
    this.#gather(recording, "metadata", json(metadata));
  }

  /** Ends a recording: file durable, then ledger durable, then true. False if it failed. */
  async finish(recording: string, metadata: Metadata, report: Completeness): Promise<boolean> {
    const entry = this.#open.get(recording);
    if (entry === undefined) return false;
    let isDone = false;
    this.#gather(recording, "metadata", json(metadata));
    await this.#after(recording, entry, async (file) => {
      await this.#write(entry, file);
      const state = await file.end("completeness", json(report));
      const durationMs = Date.parse(report.endedAt) - entry.openedAt;
      await this.#options.ledger.append(closedAct(report, state, durationMs));
      this.#open.delete(recording);
      isDone = true;
    });
    return isDone;
  }

  /** Writes what waits; the recordings that are still open are left as a crash would leave them. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#flush();
    for (const { work, file } of this.#open.values()) {
      await work.catch(() => undefined);
      await file?.abandon();
    }
    this.#open.clear();
  }

  async #begin(
    recording: string,
    entry: OpenFile,
    metadata: Metadata,
    isResumed: boolean,
  ): Promise<void> {
    const { directory, archiveKeys, sodium, ledger } = this.#options;
    const path = recordingPath(directory, recording);
    const file = isResumed
      ? await SealedFile.resume(path, recording, archiveKeys, sodium)
      : await SealedFile.create(path, recording, archiveKeys, sodium);
    try {
      await file.write([
        { type: "metadata", octets: json(metadata) },
        { type: "pcapng", octets: SECTION },
      ]);
      await file.sync();
      await syncDirectory(directory);
      const kind = isResumed ? "recording.resumed" : "recording.opened";
      await ledger.append({ kind, recording });
      entry.file = file;
    } catch (error) {
      await file.abandon();
      // The ledger does not know it: whoever orders it again is to find no remains.
      if (!isResumed) await unlink(path);
      throw error;
    }
  }

  #gather(recording: string, type: BlockType, octets: Buffer): void {
    const entry = this.#open.get(recording);
    if (entry === undefined) return;
    const last = entry.waiting.at(-1);
    const isJoined = type === "pcapng" && last?.type === type && last.bytes < MERGED_BYTES;
    if (isJoined) {
      last.octets.push(octets);
      last.bytes += octets.length;
    } else entry.waiting.push({ type, octets: [octets], bytes: octets.length });
    entry.waitingBytes += octets.length;
    this.#allWaitingBytes += octets.length;
    if (this.#isBeyondBounds(entry)) this.#fail(recording, "the disk is too slow");
    else if (entry.waitingBytes > EARLY_WRITE_BYTES && !entry.isWriteDue) {
      entry.isWriteDue = true;
      void this.#writeOut(recording, entry);
    }
    this.#timer ??= setTimeout(() => void this.#flush(), FLUSH_MS);
  }

  #forgetWaiting(entry: OpenFile): void {
    this.#allWaitingBytes -= entry.waitingBytes;
    entry.waiting = [];
    entry.waitingBytes = 0;
  }

  #isBeyondBounds({ waitingBytes }: OpenFile): boolean {
    const { maxAllWaitingBytes = MAX_ALL_WAITING_BYTES } = this.#options;
    return waitingBytes > MAX_WAITING_BYTES || this.#allWaitingBytes > maxAllWaitingBytes;
  }

  /** Writes everything that waits, then has each file made durable; one round at a time. */
  async #flush(): Promise<void> {
    this.#flushing = this.#flushing.then(async () => {
      const dirty = [...this.#open].filter(
        ([, { waiting, isUnsynced }]) => waiting.length > 0 || isUnsynced,
      );
      for (const [recording, entry] of dirty) await this.#writeOut(recording, entry);
      for (const [recording, entry] of dirty)
        await this.#after(recording, entry, async (file) => {
          if (entry.isUnsynced) await file.sync();
          entry.isUnsynced = false;
        });
    });
    this.#timer = undefined;
    await this.#flushing;
  }

  #writeOut(recording: string, entry: OpenFile): Promise<void> {
    return this.#after(recording, entry, (file) => this.#write(entry, file));
  }

  async #write(entry: OpenFile, file: SealedFile): Promise<void> {
    const { waiting } = entry;
    this.#forgetWaiting(entry);
    entry.isWriteDue = false;
    if (waiting.length === 0) return;
    entry.isUnsynced = true;
    await file.write(waiting.map(({ type, octets }) => ({ type, octets: Buffer.concat(octets) })));
  }

  /** Does something to a file after all that was begun before; a fault ends the recording. */
  async #after(
    recording: string,
    entry: OpenFile,
    act: (file: SealedFile) => Promise<void>,
  ): Promise<void> {
    const next = entry.work.then(async () => {
      if (entry.file !== undefined && this.#open.get(recording) === entry) await act(entry.file);
    });
    entry.work = next.catch((error) => this.#fail(recording, reasonOf(error)));
    await entry.work;
  }

  #fail(recording: string, reason: string): void {
    const entry = this.#open.get(recording);
    if (entry === undefined) return;
    this.#open.delete(recording);
    this.#forgetWaiting(entry);
    const [openedAt, since] = [entry.openedAt, this.#clock()];
    const interruption = { openedAt, since, reason: `the store failed: ${reason}` };
    // Only what nobody writes any more can be ended by another hand.
    void entry.work
      .then(() => entry.file?.abandon())
      .catch(() => undefined)
      .then(() => this.#interrupt(recording, interruption));
    this.#options.onFailed(recording, reason);
  }

  #interrupt(recording: string, interruption: Interruption): void {
    this.#options.interrupted.give(recording, interruption);
    this.#options.onInterrupted?.(recording);
  }
}

/** What the pcapng of every segment begins with. */
const SECTION = encodeSection("keyhole", RECORDING_INTERFACES);

const json = (value: unknown) => Buffer.from(JSON.stringify(value), "utf8");

const reasonOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? String(error);
