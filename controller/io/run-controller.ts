/**
 * Joins the parts of a running controller: transport and transactions on one side, inspector and
 * agent on the other, the core between them. Touches sockets and the clock, through its parts.
 *
 * ```text
 *   sockets ◀─▶ transactions ◀─▶ core ─▶ body inspector
 *                                 │  ▲
 *                                 ▼  │
 *                       order sealer, agent link ◀─▶ agent
 * ```
 */
import { randomBytes } from "node:crypto";
import { assertNever, isProtocolError } from "../../protocol/errors.ts";
import { Secret } from "../../protocol/secret.ts";
import { DEFAULT_SIP_TIMERS } from "../../protocol/sip/transaction.ts";
import type { TransactionEffect, TransactionInput } from "../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../protocol/sip/transaction-layer.ts";
import { type Drive, drive } from "../../runtime/drive.ts";
import type { Logger } from "../../runtime/logger.ts";
import { createSipTransport, type SipTransportHandle } from "../../runtime/sip-transport.ts";
import type { ControllerConfig } from "../config.ts";
import { Controller } from "../core/controller.ts";
import type { ControllerEffect, ControllerInput } from "../core/controller-port.ts";
import { AgentLink, type AgentNews } from "./agent-link.ts";
import { BodyInspector } from "./body-inspector.ts";
import type { Credentials } from "./credentials.ts";
import { OrderSealer } from "./order-sealer.ts";
import { mediaPolicyOf, sipPolicyOf } from "./policies.ts";

export interface RunningController {
  /** Closes every session on the gateway, then all sockets. */
  stop(): Promise<void>;
}

const NONCE_KEY_BYTES = 32;

/** Starts a controller. Rejects if one of its listeners cannot be opened. */
export async function runController(
  config: ControllerConfig,
  credentials: Credentials,
  log: Logger,
): Promise<RunningController> {
  const required = config.recording?.required ?? false;
  const sealer = await OrderSealer.create(credentials.recording, required);
  const shell = new ControllerShell(config, credentials, sealer, log);
  await shell.listen();
  return shell;
}

class ControllerShell implements RunningController {
  readonly #config: ControllerConfig;
  readonly #credentials: Credentials;
  readonly #log: Logger;
  readonly #sealer: OrderSealer;
  readonly #inspector: BodyInspector;
  readonly #agent: AgentLink;
  readonly #transactions: Drive<TransactionInput>;
  readonly #core: Drive<ControllerInput>;
  #transport: SipTransportHandle | undefined;

  constructor(
    config: ControllerConfig,
    credentials: Credentials,
    sealer: OrderSealer,
    log: Logger,
  ) {
    this.#config = config;
    this.#credentials = credentials;
    this.#sealer = sealer;
    this.#log = log;
    if (credentials.body === undefined || config.agent === undefined)
      throw new TypeError("no gateway to open");
    const { identity: holder, anchors } = credentials.body;
    this.#inspector = new BodyInspector({ holder, anchors, log });
    this.#agent = new AgentLink({
      socketPath: config.agent.socket,
      controller: config.name,
      onNews: (news) => this.#hear(news),
      log,
    });
    const layer = new TransactionLayer({ timers: DEFAULT_SIP_TIMERS, random: randomBytes });
    this.#transactions = drive(layer, (effect) => this.#performTransaction(effect));
    this.#core = drive(this.#createCore(), (effect) => this.#perform(effect));
  }

  async listen(): Promise<void> {
    const { tls } = this.#credentials;
    this.#transport = await createSipTransport({
      listeners: this.#config.listen,
      ...(tls === undefined ? {} : { tls }),
      onMessage: (arrival) => this.#transactions.feed({ kind: "received", ...arrival }),
      onClosed: (flow) => this.#transactions.feed({ kind: "flow-closed", flow }),
      log: this.#log,
    });
    this.#agent.start();
  }

  async stop(): Promise<void> {
    this.#core.stop();
    this.#transactions.stop();
    await Promise.all([this.#agent.stop("controller stopped"), this.#transport?.close()]);
  }

  #createCore(): Controller {
    const { config, credentials } = { config: this.#config, credentials: this.#credentials };
    return new Controller({
      sip: sipPolicyOf(config, credentials.ha1),
      media: mediaPolicyOf(config),
      applyTimeoutMs: config.agent?.applyTimeoutMs ?? 0,
      recordingRequired: config.recording?.required ?? false,
      bodyCertificate: credentials.body?.identity.certificate ?? Buffer.alloc(0),
      nonceKey: new Secret(randomBytes(NONCE_KEY_BYTES)),
      random: randomBytes,
    });
  }

  #performTransaction(effect: TransactionEffect): void {
    if (effect.kind !== "send") {
      this.#core.feed(effect);
      return;
    }
    const { message, to, key } = effect;
    const sent = this.#transport?.send(message, to) ?? Promise.reject(new Error("not listening"));
    sent.then(
      (flow) => {
        if (key !== undefined) this.#transactions.feed({ kind: "sent", key, flow });
      },
      (error: NodeJS.ErrnoException) => {
        // The code alone: the message may name an address.
        this.#log.info({ code: error.code ?? error.name }, "SIP message not sent");
        if (key !== undefined) this.#transactions.feed({ kind: "transport-failed", key });
      },
    );
  }

  #perform(effect: ControllerEffect): void {
    switch (effect.kind) {
      case "transaction":
        this.#transactions.feed(effect.input);
        break;
      case "inspect-offer":
        this.#inspectOffer(effect);
        break;
      case "inspect-answer":
        this.#inspectAnswer(effect);
        break;
      case "put":
        this.#put(effect);
        break;
      case "close":
        this.#agent.feed(effect);
        break;
      case "report": {
        const { kind: _, level, event, ...fields } = effect;
        this.#log[level](fields, event);
        break;
      }
      case "turned-away":
        this.#log.info({ call: effect.call, status: effect.status }, "request turned away");
        break;
      case "dropped":
        this.#log.debug({ reason: effect.reason }, "SIP message dropped");
        break;
      default:
        assertNever(effect);
    }
  }

  #inspectOffer({ call, request }: ControllerEffect & { kind: "inspect-offer" }): void {
    void this.#inspector
      .offer(request)
      .then((inspection) => this.#core.feed({ kind: "offer-inspected", call, inspection }));
  }

  #inspectAnswer(effect: ControllerEffect & { kind: "inspect-answer" }): void {
    const { call, toTag, response, firstKey } = effect;
    void this.#inspector
      .answer(response, firstKey)
      .then((inspection) => this.#core.feed({ kind: "answer-inspected", call, toTag, inspection }));
  }

  #put({ put, order }: ControllerEffect & { kind: "put" }): void {
    const { session, revision, timeoutMs } = put;
    try {
      this.#agent.feed({ kind: "put", session: this.#sealer.seal(put, order), timeoutMs });
    } catch (error) {
      if (!isProtocolError(error)) throw error;
      const result = { kind: "failed", verdict: "not-recorded", code: error.code } as const;
      this.#core.feed({ kind: "put-result", session, revision, result });
    }
  }

  #hear(news: AgentNews): void {
    switch (news.kind) {
      case "put-result":
        if (news.result.kind === "failed") {
          const { verdict, code } = news.result;
          this.#log.warn({ session: news.session, verdict, code }, "put failed");
        }
        this.#core.feed(news);
        break;
      case "session-lost":
        this.#core.feed({ kind: "session-lost", session: news.session });
        break;
      case "availability":
        this.#log[news.up ? "info" : "error"](news.up ? "agent there" : "agent gone");
        break;
      case "closed":
        this.#log.info({ session: news.session, counters: news.counters }, "session closed");
        break;
      case "event":
        this.#hearEvent(news.event);
        break;
      default:
        assertNever(news);
    }
  }

  #hearEvent(event: (AgentNews & { kind: "event" })["event"]): void {
    const { kind, session } = event;
    switch (event.kind) {
      case "refused":
        this.#log.warn({ session, reason: event.reason }, kind);
        this.#core.feed({ kind: "recording-refused", session });
        break;
      case "loss":
      case "session.expired":
        this.#log.error({ session }, kind);
        break;
      case "recording.closed":
      case "pinhole.active":
        this.#log.info({ session }, kind);
        break;
      default:
        assertNever(event);
    }
  }
}
