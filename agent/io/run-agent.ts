/**
 * The agent at work: the pure machine, and around it firewall, capture, recorder and control socket.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { assertNever } from "../../protocol/errors.ts";
import { decodeBatch } from "../../protocol/ingest/frames.ts";
import type { RecorderMessage } from "../../protocol/ingest/messages.ts";
import { type Drive, drive } from "../../runtime/drive.ts";
import type { Logger } from "../../runtime/logger.ts";
import { stopSignal } from "../../runtime/stop-signal.ts";
import type { AgentConfig } from "../config.ts";
import type { AgentEffect, AgentInput } from "../core/agent-effect.ts";
import { AgentMachine } from "../core/agent-machine.ts";
import { FirstPackets } from "../core/first-packets.ts";
import { Capture, type Gap } from "./capture.ts";
import { ControlServer } from "./control-server.ts";
import { Firewall } from "./firewall.ts";
import { IngestLink } from "./ingest-link.ts";

/** Serves until SIGTERM or SIGINT; what the kernel holds is left to the next agent or the dead-man element. */
export async function runAgent(config: AgentConfig, log: Logger): Promise<void> {
  const agent = new Agent(config, log);
  const stopped = stopSignal();
  await agent.start();
  log.info({ socket: config.socket }, "ready");
  await stopped;
  log.info("stopping");
  await agent.stop();
}

/** How long an agent that is asked to end waits for what the kernel has still to say. */
const REST_TIMEOUT_MS = 1_000;
const REST_POLL_MS = 5;

class Agent {
  readonly #log: Logger;
  readonly #machine: AgentMachine;
  readonly #firewall: Firewall;
  readonly #capture: Capture;
  readonly #link: IngestLink;
  readonly #server: ControlServer;
  readonly #firstPackets = new FirstPackets();
  readonly #drive: Drive<AgentInput>;

  constructor(config: AgentConfig, log: Logger) {
    this.#log = log;
    this.#machine = new AgentMachine(config);
    this.#drive = drive<AgentInput, AgentEffect>(this.#machine, (effect) => this.#perform(effect));
    const onInput = (input: AgentInput) => this.#drive.feed(input);
    this.#firewall = new Firewall({ config, log, onInput, onGap: (gap) => this.#takeGap(gap) });
    this.#capture = new Capture({
      group: config.nft.group,
      log,
      onReady: (ready) => onInput({ kind: "capture", ready }),
      onBatch: (payload, frame) => this.#takeBatch(payload, frame),
      onGap: (gap) => this.#takeGap(gap),
    });
    this.#link = new IngestLink({
      socket: config.ingest.socket,
      log,
      onConnected: (connected) => onInput({ kind: "recorder", connected }),
      onMessage: (message) => onInput(recorderInput(message)),
      onGap: (gap) => onInput({ kind: "gap", ...gap }),
    });
    this.#server = new ControlServer({
      socket: config.socket,
      log,
      onRequest: (connection, request) => onInput({ kind: "request", connection, request }),
      onDisconnected: (connection) => onInput({ kind: "disconnected", connection }),
    });
  }

  async start(): Promise<void> {
    const listing = await this.#firewall.start();
    for (const effect of this.#machine.adopt(listing, Date.now())) this.#perform(effect);
    this.#capture.start();
    this.#link.start();
    await this.#firewall.live();
    await this.#server.listen();
  }

  /** Takes no more requests, and leaves no count owed if the kernel tells it in time. */
  async stop(): Promise<void> {
    this.#server.close();
    const giveUpAt = Date.now() + REST_TIMEOUT_MS;
    while (!this.#machine.isAtRest && Date.now() < giveUpAt) await sleep(REST_POLL_MS);
    this.#drive.stop();
    this.#capture.stop();
    this.#firewall.stop();
    this.#link.stop();
  }

  #takeBatch(payload: Buffer, frame: Buffer): void {
    this.#link.sendBatch(frame);
    if (this.#firstPackets.isIdle()) return;
    for (const { nflog } of decodeBatch(payload)) {
      const packet = this.#firstPackets.take(nflog);
      if (packet !== undefined) this.#drive.feed({ kind: "seen", packet });
    }
  }

  #takeGap({ reason, fromMicros, toMicros }: Gap): void {
    const gap = { reason, fromMicros, toMicros };
    this.#link.send({ kind: "gap", ...gap });
    this.#drive.feed({ kind: "gap", ...gap });
  }

  #perform(effect: AgentEffect): void {
    switch (effect.kind) {
      case "send":
        this.#server.send(effect.connection, effect.message);
        return;
      case "apply":
        this.#firewall.apply(effect.batch, effect.changes);
        return;
      case "rebuild":
        this.#firewall.rebuild(effect.changes);
        return;
      case "relay-order": {
        const { order: id, session, recording, sealedOrder } = effect;
        this.#link.sendOrder({ kind: "order", id, session, recording, sealedOrder });
        return;
      }
      case "relay-close": {
        const { session, reason, counters, exact } = effect;
        this.#link.send({ kind: "close", session, reason, counters, exact });
        return;
      }
      case "watch":
        this.#firstPackets.watch(effect.address, effect.port);
        return;
      case "unwatch":
        this.#firstPackets.unwatch(effect.address, effect.port);
        return;
      case "log":
        this.#log[effect.level](effect.fields, effect.message);
        return;
      default:
        assertNever(effect);
    }
  }
}

function recorderInput(message: RecorderMessage): AgentInput {
  if (message.kind === "order-reply")
    return { kind: "order-reply", order: String(message.id), result: message.result };
  const { session, recording, completeness } = message;
  return { kind: "recording-closed", session, recording, completeness };
}
