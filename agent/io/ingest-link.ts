/**
 * The agent's connection to the recorder's ingest socket. It is made again whenever it breaks, and never waited for:
 * packets that it cannot take are dropped with a stated gap.
 */
import { createConnection, type Socket } from "node:net";
import { isProtocolError } from "../../protocol/errors.ts";
import { IngestFramer } from "../../protocol/ingest/frames.ts";
import {
  type AgentMessage,
  decodeRecorderMessage,
  encodeAgentMessage,
  type RecorderMessage,
} from "../../protocol/ingest/messages.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Gap } from "./capture.ts";

export interface IngestLinkOptions {
  readonly socket: string;
  readonly log: Logger;
  /** On `true` the orders that count are to be sent (again): they go before what waited. */
  readonly onConnected: (isConnected: boolean) => void;
  readonly onMessage: (message: RecorderMessage) => void;
  readonly onGap: (gap: Gap) => void;
}

/** Octets of packets that wait while the recorder is slow or away. */
export const MAX_QUEUED_BYTES = 32 * 1024 * 1024;
/** Closes and gaps that wait while the recorder is away. */
export const MAX_QUEUED_MESSAGES = 4096;
const FIRST_RETRY_MS = 50;
const MAX_RETRY_MS = 1_000;

export class IngestLink {
  readonly #options: IngestLinkOptions;
  #socket: Socket | undefined;
  #isConnected = false;
  #isStopped = false;
  #retryMs = FIRST_RETRY_MS;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #droppedSinceMicros: number | undefined;

  constructor(options: IngestLinkOptions) {
    this.#options = options;
  }

  start(): void {
    const socket = createConnection(this.#options.socket);
    const framer = new IngestFramer();
    this.#socket = socket;
    socket.on("connect", () => this.#takeConnect(socket));
    socket.on("data", (chunk: Buffer) => this.#read(framer, chunk, socket));
    socket.on("error", () => undefined); // told by close
    socket.on("close", () => this.#takeClose());
  }

  /** Sends what is there, then closes. */
  stop(): void {
    this.#isStopped = true;
    if (this.#isConnected) this.#socket?.end();
    else this.#socket?.destroy();
  }

  /** Sends a close or a gap, or keeps it until the recorder is there. */
  send(message: AgentMessage): void {
    // What was dropped of a session is told before its end.
    if (message.kind === "close") this.#stateGap();
    const frame = encodeAgentMessage(message);
    if (this.#isConnected) this.#socket?.write(frame);
    else if (this.#queue.length < MAX_QUEUED_MESSAGES) this.#enqueue(frame);
    else this.#options.log.error({ message: message.kind }, "not told to the recorder");
  }

  /** Sends an order to a recorder that is there; one that comes later is sent all orders anyway. */
  sendOrder(message: Extract<AgentMessage, { kind: "order" }>): void {
    if (this.#isConnected) this.#socket?.write(encodeAgentMessage(message));
  }

  /** Sends a batch frame, or drops it if too much waits already. */
  sendBatch(frame: Buffer): void {
    const waitingBytes = this.#queuedBytes + (this.#socket?.writableLength ?? 0);
    if (waitingBytes + frame.length > MAX_QUEUED_BYTES) {
      this.#droppedSinceMicros ??= nowMicros();
      return;
    }
    this.#stateGap();
    if (this.#isConnected) this.#socket?.write(frame);
    else this.#enqueue(frame);
  }

  #takeConnect(socket: Socket): void {
    this.#retryMs = FIRST_RETRY_MS;
    this.#isConnected = true;
    this.#options.log.info("recorder connected");
    socket.write(encodeAgentMessage({ kind: "hello", version: 1 }));
    this.#options.onConnected(true);
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const frame of queue) socket.write(frame);
    this.#stateGap();
  }

  #read(framer: IngestFramer, chunk: Buffer, socket: Socket): void {
    try {
      for (const frame of framer.push(chunk)) this.#options.onMessage(decodeRecorderMessage(frame));
    } catch (error) {
      if (!isProtocolError(error)) throw error;
      this.#options.log.error({ code: error.code }, "recorder speaks no ingest protocol");
      socket.destroy();
    }
  }

  #takeClose(): void {
    if (this.#isConnected) {
      this.#isConnected = false;
      if (!this.#isStopped) this.#options.log.warn("recorder's connection broke");
      this.#options.onConnected(false);
    }
    if (this.#isStopped) return;
    setTimeout(() => this.#isStopped || this.start(), this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }

  #enqueue(frame: Buffer): void {
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
  }

  #stateGap(): void {
    if (this.#droppedSinceMicros === undefined) return;
    const fromMicros = this.#droppedSinceMicros;
    this.#droppedSinceMicros = undefined;
    const gap = { reason: "recorder too slow", fromMicros, toMicros: nowMicros() };
    this.send({ kind: "gap", ...gap });
    this.#options.onGap(gap);
  }
}

function nowMicros(): number {
  return Date.now() * 1000;
}
