/**
 * The connection to the agent: one Unix stream socket, opened again whenever it is lost. Runs the
 * agent client. Touches the socket and the clock.
 */
import { connect, type Socket } from "node:net";
import {
  decodeAgentLine,
  encodeControlLine,
  MAX_CONTROL_LINE_BYTES,
} from "../../protocol/control/line-codec.ts";
import { assertNever } from "../../protocol/errors.ts";
import { type Drive, drive } from "../../runtime/drive.ts";
import { LineSplitter } from "../../runtime/line-stream.ts";
import type { Logger } from "../../runtime/logger.ts";
import { AgentClient } from "../core/agent-client.ts";
import type {
  AgentClientEffect,
  AgentClientInput,
  WantedSession,
} from "../core/agent-client-port.ts";

/** What others than the socket are told. */
export type AgentNews = Exclude<
  AgentClientEffect,
  { readonly kind: "connect" | "disconnect" | "send" }
>;

export interface AgentLinkSetting {
  readonly socketPath: string;
  /** The host name that owns the sessions. */
  readonly controller: string;
  readonly onNews: (news: AgentNews) => void;
  readonly log: Logger;
}

/** How long a stop waits for the agent's last words. */
export const STOP_TIMEOUT_MS = 1_000;
const STOP_POLL_MS = 20;

export class AgentLink {
  readonly #setting: AgentLinkSetting;
  readonly #client: AgentClient;
  readonly #drive: Drive<AgentClientInput>;
  #socket: Socket | undefined;

  constructor(setting: AgentLinkSetting) {
    this.#setting = setting;
    this.#client = new AgentClient(setting.controller);
    this.#drive = drive(this.#client, (effect) => this.#perform(effect));
  }

  /** @param sessions What the agent holds from before a restart, to be held further. */
  start(sessions: readonly WantedSession[] = []): void {
    this.#drive.feed({ kind: "resume", sessions });
  }

  feed(input: AgentClientInput): void {
    this.#drive.feed(input);
  }

  /** Closes every session and then the connection. */
  async stop(reason: string): Promise<void> {
    this.#drive.feed({ kind: "close-all", reason });
    const giveUpAt = Date.now() + STOP_TIMEOUT_MS;
    while (this.#client.isWaiting && Date.now() < giveUpAt)
      await new Promise((resolve) => setTimeout(resolve, STOP_POLL_MS));
    this.#drive.stop();
    this.#socket?.destroy();
  }

  /** Closes the connection alone: a successor says the sessions again before their leases end. */
  leave(): void {
    this.#drive.stop();
    this.#socket?.destroy();
  }

  #perform(effect: AgentClientEffect): void {
    switch (effect.kind) {
      case "connect":
        this.#connect();
        break;
      case "disconnect":
        this.#setting.log.warn({ reason: effect.reason }, "agent connection given up");
        this.#socket?.destroy();
        break;
      case "send":
        this.#socket?.write(encodeControlLine(effect.request));
        break;
      case "availability":
      case "put-result":
      case "closed":
      case "session-lost":
      case "event":
        this.#setting.onNews(effect);
        break;
      default:
        assertNever(effect);
    }
  }

  #connect(): void {
    const socket = connect(this.#setting.socketPath);
    const lines = new LineSplitter(MAX_CONTROL_LINE_BYTES);
    this.#socket = socket;
    socket.on("connect", () => this.#drive.feed({ kind: "connected" }));
    socket.on("data", (chunk: Buffer) => {
      for (const line of lines.push(chunk))
        if (line.kind === "line") this.#receive(line.octets);
        else this.#setting.log.warn("agent line too long");
    });
    socket.on("error", (error: NodeJS.ErrnoException) =>
      this.#setting.log.debug({ code: error.code }, "agent socket"),
    );
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#drive.feed({ kind: "disconnected" });
    });
  }

  #receive(octets: Buffer): void {
    const decoded = decodeAgentLine(octets);
    if (decoded.ok) this.#drive.feed({ kind: "message", message: decoded.message });
    else this.#setting.log.warn({ code: decoded.reply.error.code }, "agent line not understood");
  }
}
