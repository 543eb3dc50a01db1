/**
 * SIP over UDP, TCP and TLS (RFC 3261 §18). Touches sockets, through its parts.
 *
 * Messages come with their flow and their peer; what is sent goes down a named flow or to a
 * target. `send` gives a promise; `post` gives none and tells what became of a message by the key
 * it was given: a busy program sends without a closure or a promise a message.
 */
import {
  type FlowId,
  isReliableHop,
  type Peer,
  type SipTransport,
  type Target,
} from "../protocol/sip/flow.ts";
import type { SipMessage } from "../protocol/sip/message.ts";
import { checkedLookup, type MayLeadTo } from "./checked-lookup.ts";
import type { Logger } from "./logger.ts";
import { newCounters, type SipTransportCounters } from "./sip-transport-counters.ts";
import { MessageRate, type RateLimits } from "./sip-transport-rate.ts";
import { type StreamLimits, StreamTransport } from "./sip-transport-streams.ts";
import {
  type ClientCertificates,
  HANDSHAKE_TIMEOUT_MS,
  type SipTlsSetting,
} from "./sip-transport-tls.ts";
import { DatagramTransport } from "./sip-transport-udp.ts";

export interface SipListener {
  readonly transport: SipTransport;
  /** Of one family: `::` does not take IPv4, so that it stands beside `0.0.0.0`. */
  readonly address: string;
  /** 0 lets the kernel choose; see `listening`. */
  readonly port: number;
  /** Over TLS: whether clients have to prove who they are; as `tls` says if absent. */
  readonly clientCertificates?: ClientCertificates | undefined;
}

export interface SipTransportLimits extends StreamLimits, RateLimits {}

export const DEFAULT_SIP_TRANSPORT_LIMITS: Omit<SipTransportLimits, "messageBurst"> = {
  messageTimeoutMs: 10_000,
  firstMessageTimeoutMs: 32_000,
  idleTimeoutMs: 3_600_000,
  sendQueueBytes: 1024 * 1024,
  connectTimeoutMs: 5_000,
  handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
  connections: 4096,
  connectionsPerAddress: 256,
  messagesPerSecond: Number.POSITIVE_INFINITY,
};

/** What one address may send at once is, unless said otherwise, its rate for this time. */
const BURST_S = 2;

/** A message as it came in. */
export interface SipArrival {
  readonly message: SipMessage;
  readonly flow: FlowId;
  readonly peer: Peer;
}

export interface SipTransportSetting {
  readonly listeners: readonly SipListener[];
  /** Needed for TLS in either direction. */
  readonly tls?: SipTlsSetting;
  readonly onMessage: (arrival: SipArrival) => void;
  /** A flow on which messages went is gone, and with it what waits for answers on it. */
  readonly onClosed: (flow: FlowId) => void;
  /** What was posted to a target with this key took this connection; never told of UDP. */
  readonly onSent?: (key: string, flow: FlowId) => void;
  /** What was posted with this key did not leave, as far as one can tell. */
  readonly onFailed?: (key: string, error: Error) => void;
  readonly limits?: Partial<SipTransportLimits>;
  /** Where the name of a target may lead; anywhere if absent. */
  readonly mayLeadTo?: MayLeadTo;
  readonly log?: Logger;
}

export interface SipTransportHandle {
  /** Where it listens, with the ports the kernel chose. */
  readonly listening: readonly SipListener[];
  /** Figures since the start. */
  readonly counters: Readonly<SipTransportCounters>;
  /**
   * Sends down a flow or to a target; resolves with the flow when the octets are with the kernel.
   * Rejects when the flow is gone, or the target cannot be reached or is not who it should be.
   */
  send(message: SipMessage, to: FlowId | Target): Promise<FlowId>;
  /**
   * As `send`, but tells `onSent` and `onFailed`, later; without a key nobody. A response that
   * does not leave by UDP is as good as lost on the way: it is not told.
   */
  post(message: SipMessage, to: FlowId | Target, key?: string): void;
  /**
   * How long datagrams wait in the kernel before they are read, as last seen; 0 without UDP. Each
   * call starts the next look: to be asked some times a second. The event loop's own lag does not
   * show it.
   */
  queueDelayMs(): number;
  /** Closes a connection, if it is still there; a UDP flow has nothing to close. */
  closeFlow(flow: FlowId): void;
  /** Other credentials for new connections; open ones stay as they are. */
  setTls(tls: SipTlsSetting): void;
  /** Stops listening and closes every flow; `onClosed` is not called any more. */
  close(): Promise<void>;
}

/** Opens all listeners. Rejects, with nothing left open, if one of them cannot be opened. */
export async function createSipTransport(
  setting: SipTransportSetting,
): Promise<SipTransportHandle> {
  const transport = new SocketTransport(setting);
  try {
    for (const listener of setting.listeners) await transport.listen(listener);
  } catch (cause) {
    await transport.close();
    throw new Error("SIP listener cannot be opened", { cause });
  }
  return transport;
}

class SocketTransport implements SipTransportHandle {
  readonly listening: SipListener[] = [];
  readonly counters = newCounters();
  readonly #setting: SipTransportSetting;
  readonly #streams: StreamTransport;
  readonly #datagrams: DatagramTransport;

  constructor(setting: SipTransportSetting) {
    this.#setting = setting;
    const limits = { ...DEFAULT_SIP_TRANSPORT_LIMITS, ...setting.limits };
    const { messagesPerSecond } = limits;
    const messageBurst = setting.limits?.messageBurst ?? BURST_S * messagesPerSecond;
    const common = {
      onMessage: (message: SipMessage, flow: FlowId, peer: Peer): void =>
        setting.onMessage({ message, flow, peer }),
      rate: new MessageRate({ messagesPerSecond, messageBurst }),
      counters: this.counters,
      lookup: checkedLookup(setting.mayLeadTo ?? (() => true)),
      log: setting.log,
    };
    const { tls, onClosed } = setting;
    this.#streams = new StreamTransport({ ...common, tls, onClosed, limits });
    this.#datagrams = new DatagramTransport(common);
  }

  async listen(listener: SipListener): Promise<void> {
    const { transport, address } = listener;
    const port =
      transport === "udp"
        ? await this.#datagrams.listen(address, listener.port)
        : await this.#streams.listen({ ...listener, transport });
    this.listening.push({ ...listener, port });
  }

  send(message: SipMessage, to: FlowId | Target): Promise<FlowId> {
    return new Promise((resolve, reject) => {
      this.#carrierOf(to).send(message, to, (error, flow) =>
        error === undefined ? resolve(flow) : reject(error),
      );
    });
  }

  post(message: SipMessage, to: FlowId | Target, key?: string): void {
    const isDatagram = !isReliableHop(to);
    if (isDatagram && (key === undefined || message.kind === "response"))
      this.#datagrams.send(message, to);
    else
      this.#carrierOf(to).send(message, to, (error, flow) => {
        if (key === undefined) return;
        if (error !== undefined) this.#setting.onFailed?.(key, error);
        else if (typeof to !== "string" && !isDatagram) this.#setting.onSent?.(key, flow);
      });
  }

  queueDelayMs(): number {
    return this.#datagrams.queueDelayMs();
  }

  closeFlow(flow: FlowId): void {
    this.#streams.closeFlow(flow);
  }

  setTls(tls: SipTlsSetting): void {
    this.#streams.setTls(tls);
  }

  async close(): Promise<void> {
    await Promise.all([this.#streams.close(), this.#datagrams.close()]);
  }

  #carrierOf(to: FlowId | Target): StreamTransport | DatagramTransport {
    return isReliableHop(to) ? this.#streams : this.#datagrams;
  }
}
