/**
 * The control socket: a Unix stream socket on which controllers ask and are told. Who may connect is said by the
 * mode and group of its directory. A bad line costs its sender an error, never a connection or a session.
 */
import { chmodSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import {
  decodeControlLine,
  encodeControlLine,
  MAX_CONTROL_LINE_BYTES,
  oversizedLineReply,
} from "../../protocol/control/line-codec.ts";
import type { AgentMessage, ControlRequest } from "../../protocol/control/messages.ts";
import { LineSplitter } from "../../runtime/line-stream.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { ConnectionId } from "../core/agent-effect.ts";

export interface ControlServerOptions {
  readonly socket: string;
  readonly log: Logger;
  readonly onRequest: (connection: ConnectionId, request: ControlRequest) => void;
  readonly onDisconnected: (connection: ConnectionId) => void;
}

export const MAX_CONTROL_CONNECTIONS = 64;
/** Octets that may wait for a controller that does not read; beyond, its connection is closed. */
export const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
const SOCKET_MODE = 0o660;

export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #server: Server;
  readonly #connections = new Map<ConnectionId, Socket>();
  #next: ConnectionId = 1;

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = MAX_CONTROL_CONNECTIONS;
  }

  /**
   * Listens; a socket file that nobody serves any more is replaced.
   * @throws Error if another agent serves it, or the directory does not allow it.
   */
  async listen(): Promise<void> {
    const { socket } = this.#options;
    if (await isServed(socket)) throw new Error(`${socket}: another agent serves it`);
    rmSync(socket, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(socket, resolve);
    });
    chmodSync(socket, SOCKET_MODE);
  }

  send(connection: ConnectionId, message: AgentMessage): void {
    const socket = this.#connections.get(connection);
    const line = this.#encode(message);
    if (socket === undefined || line === undefined) return;
    socket.write(line);
    if (socket.writableLength <= MAX_UNREAD_BYTES) return;
    this.#options.log.warn({ connection }, "controller does not read: connection closed");
    socket.destroy();
  }

  /** A recorder's report may make a message too long for a line: that is no reason to end. */
  #encode(message: AgentMessage): Buffer | undefined {
    try {
      return encodeControlLine(message);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#options.log.error({ message: message.kind }, "too long for a control line: not sent");
      return undefined;
    }
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#connections.values()) socket.destroySoon();
  }

  #accept(socket: Socket): void {
    const connection = this.#next++;
    const splitter = new LineSplitter(MAX_CONTROL_LINE_BYTES);
    this.#connections.set(connection, socket);
    socket.on("data", (chunk: Buffer) => {
      for (const line of splitter.push(chunk))
        if (line.kind === "line") this.#takeLine(connection, line.octets);
        else this.send(connection, oversizedLineReply());
    });
    socket.on("error", () => undefined); // told by close
    socket.on("close", () => {
      this.#connections.delete(connection);
      this.#options.onDisconnected(connection);
    });
  }

  #takeLine(connection: ConnectionId, line: Buffer): void {
    const decoded = decodeControlLine(line);
    if (decoded.ok) {
      this.#options.onRequest(connection, decoded.message);
      return;
    }
    const { code, path = "" } = decoded.reply.error;
    this.#options.log.warn({ connection, code, path }, "control line refused");
    this.send(connection, decoded.reply);
  }
}

function isServed(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(socket);
    probe.once("connect", () => resolve(true)).once("error", () => resolve(false));
    probe.once("connect", () => probe.destroy());
  });
}
