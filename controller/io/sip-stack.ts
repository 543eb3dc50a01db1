/**
 * The SIP side of a running controller: transport and transactions (RFC 3261 §17, §18), and the
 * watch over how far the event loop is behind. Touches sockets, timers and the clock.
 */
import { isForbiddenMediaAddress, parseAddress } from "../../protocol/net/address.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { DEFAULT_SIP_TIMERS, type SipTimers } from "../../protocol/sip/transaction.ts";
import type { TransactionEffect, TransactionInput } from "../../protocol/sip/transaction-events.ts";
import { TransactionLayer } from "../../protocol/sip/transaction-layer.ts";
import { type Drive, drive } from "../../runtime/drive.ts";
import type { Logger } from "../../runtime/logger.ts";
import { createRandomPool } from "../../runtime/random-pool.ts";
import { createSipTransport, type SipTransportHandle } from "../../runtime/sip-transport.ts";
import type { SipTlsSetting } from "../../runtime/sip-transport-tls.ts";
import type { ControllerConfig } from "../config.ts";

export interface SipStackSetting {
  readonly config: Pick<ControllerConfig, "listen" | "timers" | "limits">;
  readonly tls: SipTlsSetting | undefined;
  /** Requests that no overload refuses. */
  readonly isUrgent: (request: SipRequest) => boolean;
  readonly onEvent: (event: Exclude<TransactionEffect, { readonly kind: "send" }>) => void;
  readonly onClosed: (flow: FlowId) => void;
  readonly log: Logger;
}

/** How often the event loop and the sockets are asked how they do. */
const LAG_PERIOD_MS = 100;
/** Of all timers of transactions and calls, the shortest of which are hundreds of milliseconds. */
export const TIMER_GRAIN_MS = 20;
/** Requests that wait longer have been sent four times over by when they are read. */
const MAX_QUEUE_DELAY_MS = 4_000;

export class SipStack {
  readonly #setting: SipStackSetting;
  readonly #layer: TransactionLayer;
  readonly #drive: Drive<TransactionInput>;
  #transport: SipTransportHandle | undefined;
  #watch: NodeJS.Timeout | undefined;
  #isBehind = false;
  #isDraining = false;

  constructor(setting: SipStackSetting) {
    this.#setting = setting;
    const { config, isUrgent } = setting;
    this.#layer = new TransactionLayer({
      timers: timersOf(config),
      random: createRandomPool(),
      maxTransactions: config.limits.transactions,
      isUrgent,
    });
    this.#drive = drive(this.#layer, (effect) => this.#perform(effect), Date.now, TIMER_GRAIN_MS);
  }

  /** Rejects if one of the listeners cannot be opened. */
  async listen(): Promise<void> {
    const { config, tls, log, onClosed } = this.#setting;
    const { requestsPerSecond } = config.limits;
    const own = new Set(config.listen.map(({ address }) => parseAddress(address).text));
    this.#transport = await createSipTransport({
      listeners: config.listen,
      ...(tls === undefined ? {} : { tls }),
      onMessage: ({ message, flow, peer }) =>
        this.#drive.feed({ kind: "received", message, flow, peer }),
      onClosed: (flow) => {
        this.#drive.feed({ kind: "flow-closed", flow });
        onClosed(flow);
      },
      onSent: (key, flow) => this.#drive.feed({ kind: "sent", key, flow }),
      onFailed: (key, error: NodeJS.ErrnoException) => {
        // The code alone: the message may name an address.
        log.info({ code: error.code ?? error.name }, "SIP message not sent");
        this.#drive.feed({ kind: "transport-failed", key });
      },
      ...(requestsPerSecond === undefined
        ? {}
        : { limits: { messagesPerSecond: requestsPerSecond } }),
      mayLeadTo: (text) => {
        const address = parseAddress(text.replace(/%.*/, ""));
        return !isForbiddenMediaAddress(address) && !own.has(address.text);
      },
      log,
    });
    this.#watchLag();
  }

  feed(input: TransactionInput): void {
    this.#drive.feed(input);
  }

  setTls(tls: SipTlsSetting): void {
    this.#transport?.setTls(tls);
  }

  /** New requests outside any dialog get 503 from now on. */
  drain(): void {
    this.#isDraining = true;
    this.#drive.feed({ kind: "overload", isOn: true });
  }

  async close(): Promise<void> {
    clearInterval(this.#watch);
    this.#drive.stop();
    await this.#transport?.close();
  }

  #perform(effect: TransactionEffect): void {
    if (effect.kind === "send") this.#transport?.post(effect.message, effect.to, effect.key);
    else this.#setting.onEvent(effect);
  }

  #watchLag(): void {
    const { eventLoopLagMs } = this.#setting.config.limits;
    let dueAt = performance.now() + LAG_PERIOD_MS;
    this.#watch = setInterval(() => {
      const now = performance.now();
      const queuedMs = this.#transport?.queueDelayMs() ?? 0;
      this.#noteLag(now - dueAt > eventLoopLagMs || queuedMs > MAX_QUEUE_DELAY_MS);
      dueAt = now + LAG_PERIOD_MS;
    }, LAG_PERIOD_MS);
    this.#watch.unref();
  }

  #noteLag(isBehind: boolean): void {
    if (isBehind === this.#isBehind) return;
    this.#isBehind = isBehind;
    if (isBehind) this.#setting.log.error("overloaded: new calls are refused");
    else this.#setting.log.info("overload is over");
    this.#drive.feed({ kind: "overload", isOn: isBehind || this.#isDraining });
  }
}

function timersOf({ timers }: Pick<ControllerConfig, "timers">): SipTimers {
  return { ...DEFAULT_SIP_TIMERS, ...timers };
}
