/**
 * Keeps the capture process running and hands on what it captures. A death is a stated gap: from the last packet
 * that it told of to the moment when its successor listens. The successor stands by, loaded: a runtime's start would
 * be most of the gap.
 */
import { join } from "node:path";
import { execa } from "execa";
import {
  decodeBatch,
  encodeFrame,
  FRAME_KINDS,
  type Frame,
  IngestFramer,
} from "../../protocol/ingest/frames.ts";
import { decodeAgentMessage } from "../../protocol/ingest/messages.ts";
import type { Logger } from "../../runtime/logger.ts";

export interface Gap {
  readonly reason: string;
  readonly fromMicros: number;
  readonly toMicros: number;
}

export interface CaptureOptions {
  readonly group: number;
  readonly log: Logger;
  readonly onReady: (isReady: boolean) => void;
  /** The payload of a batch frame, and the frame as it goes to the recorder. */
  readonly onBatch: (payload: Buffer, frame: Buffer) => void;
  readonly onGap: (gap: Gap) => void;
}

const FIRST_RETRY_MS = 10;
const MAX_RETRY_MS = 1_000;
const CHILD = join(import.meta.dirname, "capture-child.ts");

export class Capture {
  readonly #options: CaptureOptions;
  #process: Child | undefined;
  #spare: Child | undefined;
  #retryMs = FIRST_RETRY_MS;
  #lastBatch: Buffer | undefined;
  #lostSinceMicros: number | undefined;
  #isReady = false;
  #isStopped = false;

  constructor(options: CaptureOptions) {
    this.#options = options;
  }

  start(): void {
    const child = this.#spare ?? startChild(this.#options.group);
    this.#spare = undefined;
    this.#process = child;
    const framer = new IngestFramer();
    child.stdout.on("data", (chunk: Buffer) => {
      for (const frame of framer.push(chunk)) this.#take(frame);
    });
    let complaint = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-500);
    });
    void child.then(({ exitCode, signal }) => this.#takeEnd({ exitCode, signal, complaint }));
    child.stdin.write("open\n");
  }

  stop(): void {
    this.#isStopped = true;
    this.#process?.stdin.end();
    this.#spare?.stdin.end();
  }

  #take(frame: Frame): void {
    if (frame.kind === FRAME_KINDS.batch) {
      this.#lastBatch = frame.payload;
      this.#options.onBatch(frame.payload, encodeFrame(frame.kind, frame.payload));
      return;
    }
    const message = decodeAgentMessage(frame);
    if (message.kind === "gap") this.#options.onGap(message);
    if (message.kind === "hello") this.#takeReady();
  }

  #takeReady(): void {
    this.#retryMs = FIRST_RETRY_MS;
    this.#isReady = true;
    this.#standBy();
    this.#options.onReady(true);
    if (this.#lostSinceMicros === undefined) return;
    const fromMicros = this.#lostSinceMicros;
    this.#lostSinceMicros = undefined;
    this.#options.onGap({ reason: "capture restarted", fromMicros, toMicros: nowMicros() });
  }

  #standBy(): void {
    if (this.#spare !== undefined || this.#isStopped) return;
    const spare = startChild(this.#options.group);
    this.#spare = spare;
    void spare.then(() => {
      if (this.#spare === spare) this.#spare = undefined;
    });
  }

  #takeEnd(end: Readonly<Record<string, unknown>>): void {
    if (this.#isStopped) return;
    if (this.#isReady) {
      this.#isReady = false;
      this.#lostSinceMicros ??= lastMicros(this.#lastBatch) ?? nowMicros();
      this.#options.onReady(false);
    }
    this.#options.log.warn(end, "capture ended, is started again");
    setTimeout(() => this.#isStopped || this.start(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }
}

type Child = ReturnType<typeof startChild>;

function startChild(group: number) {
  const child = execa(process.execPath, [CHILD, String(group)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    encoding: "buffer",
    buffer: false,
    reject: false,
  });
  child.stdin.on("error", () => undefined); // its end is told by the exit
  return child;
}

/** When the last packet of the batch was captured: what the kernel logged after it may be lost. */
function lastMicros(batch: Buffer | undefined): number | undefined {
  return batch && decodeBatch(batch).at(-1)?.captureMicros;
}

function nowMicros(): number {
  return Date.now() * 1000;
}
