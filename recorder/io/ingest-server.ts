/**
 * The ingest socket: agents connect, say hello, then send orders, packets and closes
 * (`protocol/ingest`). Who may connect is decided by the socket's directory and mode. Touches one
 * Unix socket.
 */

import { chmodSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { isProtocolError, ProtocolError } from "../../protocol/errors.ts";
import { IngestFramer } from "../../protocol/ingest/frames.ts";
import {
  type AgentMessage,
  decodeAgentMessage,
  encodeRecorderMessage,
  type RecorderMessage,
} from "../../protocol/ingest/messages.ts";

/** Agents at once. */
export const MAX_CONNECTIONS = 16;
/** Octets of replies that may wait for a peer who does not read. */
export const MAX_UNSENT_BYTES = 4 * 1024 * 1024;

const SOCKET_MODE = 0o660;

export interface IngestHandlers {
  readonly onMessage: (connection: number, message: AgentMessage) => void;
  /** @param fault Why the recorder closed it; undefined if the agent did. */
  readonly onClosed: (connection: number, fault: string | undefined) => void;
}

export class IngestServer {
  readonly #server: Server;
  readonly #handlers: IngestHandlers;
  readonly #sockets = new Map<number, Socket>();
  #nextConnection = 1;

  private constructor(handlers: IngestHandlers) {
    this.#handlers = handlers;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Listens; a socket that a dead recorder left behind is replaced. @throws EADDRINUSE. */
  static async listen(path: string, handlers: IngestHandlers): Promise<IngestServer> {
    if (!(await isAnswered(path))) removeSocket(path);
    const server = new IngestServer(handlers);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen(path, resolve);
    });
    chmodSync(path, SOCKET_MODE);
    return server;
  }

  /** Sends to a connection, if it is still there. */
  send(connection: number, message: RecorderMessage): void {
    const socket = this.#sockets.get(connection);
    if (socket === undefined) return;
    socket.write(encodeRecorderMessage(message));
    if (socket.writableLength > MAX_UNSENT_BYTES) socket.destroy();
  }

  /** Takes no more connections and closes those there are, once what was sent has gone out. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets.values()) socket.end(() => socket.destroy());
    await closed;
  }

  #accept(socket: Socket): void {
    const connection = this.#nextConnection++;
    const framer = new IngestFramer();
    let isGreeted = false;
    let fault: string | undefined;
    this.#sockets.set(connection, socket);
    const take = (message: AgentMessage) => {
      if (!isGreeted && message.kind !== "hello")
        throw new ProtocolError("ERR_INGEST_SYNTAX", "no hello came first");
      isGreeted = true;
      if (message.kind !== "hello") this.#handlers.onMessage(connection, message);
    };
    socket.on("data", (chunk: Buffer) => {
      if (fault !== undefined) return;
      try {
        for (const frame of framer.push(chunk)) take(decodeAgentMessage(frame));
      } catch (error) {
        if (!isProtocolError(error)) throw error;
        fault = `${error.code}: ${error.message}`;
        socket.destroy();
      }
    });
    socket.on("error", (error) => {
      fault ??= error.message;
    });
    socket.on("close", () => {
      this.#sockets.delete(connection);
      this.#handlers.onClosed(connection, fault);
    });
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
}

function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
