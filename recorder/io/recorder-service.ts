/**
 * The running recorder: socket, machine and store put together. Touches what those touch, the
 * clock and the log. Logs hold ids, counts and reasons; no key, address or identity.
 */

import type { KeyObject } from "node:crypto";
import { assertNever, isProtocolError } from "../../protocol/errors.ts";
import type { AgentMessage } from "../../protocol/ingest/messages.ts";
import { openOrder } from "../../protocol/sealing/order.ts";
import type { Sodium } from "../../protocol/sealing/sodium.ts";
import { type Drive, drive } from "../../runtime/drive.ts";
import type { Logger } from "../../runtime/logger.ts";
import { verdictText } from "../core/completeness.ts";
import { Recorder } from "../core/recorder.ts";
import type { RecorderEffect, RecorderInput } from "../core/recorder-messages.ts";
import { IngestServer } from "./ingest-server.ts";
import { InterruptedRecordings } from "./interrupted-recordings.ts";
import { LedgerFile } from "./ledger-file.ts";
import { RecordingStore } from "./recording-store.ts";
import { ledgerPath, prepareStore } from "./store-directory.ts";
import { StoreLock } from "./store-lock.ts";

export interface RecorderOptions {
  readonly socket: string;
  readonly store: string;
  /** X25519, private. */
  readonly key: KeyObject;
  /** Ed25519, public. */
  readonly controllers: readonly KeyObject[];
  /** X25519 public keys, 32 octets each. */
  readonly archives: readonly Buffer[];
  /** Ed25519, private. */
  readonly ledgerKey: KeyObject;
  readonly resumeMs: number;
  readonly sodium: Sodium;
  readonly log: Logger;
}

/** How long a stop waits for open recordings to be finished. */
export const STOP_TIMEOUT_MS = 10_000;
/** How long a store that could not be written is left alone, at least. */
const RETRY_MS = 1_000;

export class RecorderService {
  readonly #options: RecorderOptions;
  readonly #machine = new Recorder();
  readonly #drive: Drive<RecorderInput>;
  readonly #store: RecordingStore;
  readonly #lock: StoreLock;
  readonly #ledger: LedgerFile;
  readonly #interrupted: InterruptedRecordings;
  #server: IngestServer | undefined;
  #resumeTimer: NodeJS.Timeout | undefined;
  #isStopping = false;
  #onIdle: (() => void) | undefined;

  private constructor(
    options: RecorderOptions,
    lock: StoreLock,
    ledger: LedgerFile,
    interrupted: InterruptedRecordings,
  ) {
    this.#options = options;
    this.#lock = lock;
    this.#ledger = ledger;
    this.#interrupted = interrupted;
    this.#drive = drive(this.#machine, (effect) => this.#perform(effect));
    this.#store = new RecordingStore({
      directory: options.store,
      archiveKeys: options.archives,
      ledger,
      interrupted,
      sodium: options.sodium,
      onFailed: (recording, reason) => this.#storeFailed(recording, reason),
      onInterrupted: () => this.#closeInterruptedLater(),
    });
  }

  /** Opens store and ledger, looks after what a crash left, then listens. */
  static async start(options: RecorderOptions): Promise<RecorderService> {
    await prepareStore(options.store);
    const lock = StoreLock.take(options.store);
    const ledger = await LedgerFile.open(ledgerPath(options.store), options.ledgerKey);
    const { store: directory, archives: archiveKeys, sodium } = options;
    const interrupted = await InterruptedRecordings.find({
      directory,
      archiveKeys,
      ledger,
      sodium,
    });
    const service = new RecorderService(options, lock, ledger, interrupted);
    service.#reportLedger();
    await service.#lookAfterInterrupted();
    try {
      service.#server = await IngestServer.listen(options.socket, {
        onMessage: (connection, message) => service.#take(connection, message),
        onClosed: (connection, fault) => service.#lost(connection, fault),
      });
      return service;
    } catch (error) {
      clearTimeout(service.#resumeTimer);
      await ledger.close();
      lock.release();
      throw error;
    }
  }

  /** Finishes every open recording with this reason, tells the agents, and closes everything. */
  async stop(reason: string): Promise<void> {
    const { log } = this.#options;
    this.#isStopping = true;
    clearTimeout(this.#resumeTimer);
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    this.#drive.feed({ kind: "stop", reason });
    if (this.#machine.openCount > 0) {
      const timer = setTimeout(() => this.#onIdle?.(), STOP_TIMEOUT_MS);
      await idle;
      clearTimeout(timer);
    }
    if (this.#machine.openCount > 0)
      log.error({ recordings: this.#machine.openCount }, "recordings left without an end");
    await this.#closeInterrupted();
    this.#drive.stop();
    await this.#server?.close();
    await this.#store.close();
    await this.#ledger.close();
    this.#lock.release();
    log.info({ strays: this.#machine.strays }, "stopped");
  }

  #reportLedger(): void {
    const { check } = this.#ledger;
    if (check.kind === "good") return;
    const { line, fault } = check;
    this.#options.log.error({ line, fault }, "the ledger is broken; it is gone on with at its end");
  }

  async #lookAfterInterrupted(): Promise<void> {
    const { log, resumeMs } = this.#options;
    const { recordings } = this.#interrupted;
    if (recordings.length === 0) return;
    log.warn({ recordings }, "recordings were interrupted");
    if (resumeMs === 0) await this.#closeInterrupted();
    else this.#closeInterruptedLater();
  }

  #closeInterruptedLater(): void {
    if (this.#isStopping) return;
    clearTimeout(this.#resumeTimer);
    const delayMs = Math.max(this.#options.resumeMs, RETRY_MS);
    this.#resumeTimer = setTimeout(() => void this.#closeInterrupted(), delayMs);
  }

  async #closeInterrupted(): Promise<void> {
    const { log } = this.#options;
    try {
      const { recordings } = this.#interrupted;
      const lost = await this.#interrupted.endAll();
      if (recordings.length > 0) log.warn({ recordings, lost }, "interrupted recordings closed");
    } catch (error) {
      log.error({ reason: reasonOf(error) }, "interrupted recordings not closed");
      this.#closeInterruptedLater();
    }
  }

  #take(connection: number, message: AgentMessage): void {
    if (message.kind === "order") this.#takeOrder(connection, message);
    else if (message.kind !== "hello") this.#drive.feed(message);
  }

  #takeOrder(connection: number, message: Extract<AgentMessage, { kind: "order" }>): void {
    const { key, controllers, sodium } = this.#options;
    const { id, session, recording } = message;
    const sealed = Buffer.from(message.sealedOrder, "base64");
    const feed = (order: Extract<RecorderInput, { kind: "order" }>["order"]) =>
      this.#drive.feed({ kind: "order", connection, id, session, recording, order });
    try {
      feed(openOrder(sealed, key, controllers, sodium));
    } catch (error) {
      if (!isProtocolError(error)) throw error;
      feed({ refused: error.message });
    }
  }

  #lost(connection: number, fault: string | undefined): void {
    if (fault !== undefined)
      this.#options.log.warn({ connection, fault }, "agent connection closed");
    this.#drive.feed({ kind: "disconnected", connection });
  }

  #perform(effect: RecorderEffect): void {
    switch (effect.kind) {
      case "reply":
        this.#reply(effect);
        break;
      case "open":
        void this.#open(effect);
        break;
      case "write-packets":
        this.#store.writePackets(effect.recording, effect.packets);
        break;
      case "write-metadata":
        this.#store.writeMetadata(effect.recording, effect.metadata);
        break;
      case "finish":
        void this.#finish(effect);
        break;
      default:
        assertNever(effect);
    }
  }

  #reply({ connection, message }: Extract<RecorderEffect, { kind: "reply" }>): void {
    if (message.kind === "order-reply" && message.result !== "accepted")
      this.#options.log.warn({ reason: message.result.refused }, "order refused");
    this.#server?.send(connection, message);
    this.#checkIdle();
  }

  async #open({ recording, metadata }: Extract<RecorderEffect, { kind: "open" }>): Promise<void> {
    try {
      const interruption = await this.#store.open(recording, metadata);
      const resumed = interruption === undefined ? {} : { interruptedSince: interruption.since };
      this.#options.log.info({ recording, ...resumed }, "recording opened");
      this.#drive.feed({ kind: "opened", recording, ...resumed });
    } catch (error) {
      this.#drive.feed({
        kind: "open-failed",
        recording,
        reason: `not stored: ${reasonOf(error)}`,
      });
      this.#checkIdle();
    }
  }

  async #finish(effect: Extract<RecorderEffect, { kind: "finish" }>): Promise<void> {
    const { recording, metadata, completeness } = effect;
    if (!(await this.#store.finish(recording, metadata, completeness))) return;
    const { reason, verdict } = completeness;
    this.#options.log.info(
      { recording, reason, verdict: verdictText(verdict) },
      "recording closed",
    );
    this.#drive.feed({ kind: "finished", recording });
    this.#checkIdle();
  }

  #storeFailed(recording: string, reason: string): void {
    this.#options.log.error({ recording, reason }, "recording failed");
    this.#drive.feed({ kind: "store-failed", recording, reason });
    this.#checkIdle();
  }

  #checkIdle(): void {
    if (this.#machine.openCount === 0) this.#onIdle?.();
  }
}

function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EEXIST" ? "the recording exists already" : (code ?? String(error));
}
