/**
 * Recordings that a crash or a failing disk left without an end. Whoever orders one again goes on with it; the rest
 * are ended with the report that they were interrupted. Touches the store's directory.
 */

import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { isProtocolError } from "../../protocol/errors.ts";
import type { Sodium } from "../../protocol/sealing/sodium.ts";
import { closedAct } from "../core/closed-act.ts";
import { interruptedReport } from "../core/interrupted-report.ts";
import type { LedgerFile } from "./ledger-file.ts";
import { SealedFile } from "./sealed-file.ts";
import { listRecordings, recordingPath } from "./store-directory.ts";

export interface Interruption {
  readonly openedAt: number;
  /** When the file was last written. */
  readonly since: number;
  /** Absent: a crash. */
  readonly reason?: string;
}

export interface InterruptedOptions {
  readonly directory: string;
  /** X25519 public keys, 32 octets each. */
  readonly archiveKeys: readonly Buffer[];
  readonly ledger: LedgerFile;
  readonly sodium: Sodium;
  readonly clock?: () => number;
}

export class InterruptedRecordings {
  readonly #options: InterruptedOptions;
  readonly #found = new Map<string, Interruption>();

  private constructor(options: InterruptedOptions) {
    this.#options = options;
  }

  /** Compares the ledger with the files that lie there. */
  static async find(options: InterruptedOptions): Promise<InterruptedRecordings> {
    const { directory, ledger } = options;
    const opened = new Map<string, number>();
    const closed = new Set<string>();
    for (const { act, time } of ledger.entries)
      if (act.kind === "recording.opened") opened.set(act.recording, Date.parse(time));
      else if (act.kind === "recording.closed") closed.add(act.recording);
    const files = await listRecordings(directory);
    const all = new InterruptedRecordings(options);
    for (const recording of new Set([...opened.keys(), ...files])) {
      if (closed.has(recording)) continue;
      const openedAt = opened.get(recording);
      const since = files.includes(recording)
        ? (await stat(recordingPath(directory, recording))).mtimeMs
        : (openedAt ?? 0);
      all.#found.set(recording, { openedAt: openedAt ?? since, since });
    }
    return all;
  }

  /** Those that nobody went on with, so far. */
  get recordings(): readonly string[] {
    return [...this.#found.keys()];
  }

  /** Hands one over to whoever goes on with it. */
  take(recording: string): Interruption | undefined {
    const interruption = this.#found.get(recording);
    this.#found.delete(recording);
    return interruption;
  }

  /** Takes one in that was opened and cannot be written now. */
  give(recording: string, interruption: Interruption): void {
    this.#found.set(recording, interruption);
  }

  /**
   * Ends all the rest. Returns those whose file is lost.
   * @throws Error if the store cannot be written; what was not ended is kept.
   */
  async endAll(): Promise<readonly string[]> {
    const lost: string[] = [];
    for (const recording of this.recordings) {
      const interruption = this.take(recording);
      if (interruption === undefined) continue;
      try {
        if (!(await this.#end(recording, interruption))) lost.push(recording);
      } catch (error) {
        this.give(recording, interruption);
        throw error;
      }
    }
    return lost;
  }

  async #end(recording: string, { openedAt, since, reason }: Interruption): Promise<boolean> {
    const { directory, archiveKeys, sodium, ledger, clock = Date.now } = this.#options;
    const report = interruptedReport(recording, openedAt, since, clock(), reason);
    try {
      const path = recordingPath(directory, recording);
      const file = await SealedFile.resume(path, recording, archiveKeys, sodium);
      const state = await file.end("completeness", Buffer.from(JSON.stringify(report)));
      await ledger.append(closedAct(report, state, since - openedAt));
      return true;
    } catch (error) {
      const isDamaged = isProtocolError(error, "ERR_RECORDING_SYNTAX");
      if (!isDamaged && (error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      await this.#enterLost(recording, isDamaged ? "its file is damaged" : "its file is missing");
      return false;
    }
  }

  /** Nothing can be written to the file, so the ledger alone tells of it. */
  async #enterLost(recording: string, reason: string): Promise<void> {
    const { directory, ledger } = this.#options;
    const octets = await readFile(recordingPath(directory, recording)).catch(() => Buffer.alloc(0));
    const sha256 = createHash("sha256").update(octets).digest("hex");
    await ledger.append({
      kind: "recording.closed",
      recording,
      bytes: octets.length,
      sha256,
      durationMs: 0,
      verdict: "not-recorded",
      reason,
    });
  }
}
