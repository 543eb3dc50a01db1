/**
 * SIP over TCP and TLS (RFC 3261 §18, RFC 5923 for the reuse of connections). Touches sockets.
 *
 * A connection is a flow. Messages come with their flow and their peer; what is sent goes down a
 * named flow, or to a target for which an open connection is used or a new one made. A connection
 * that a peer opened serves targets that name just its address and port, never a host name: the
 * name of a server was not checked on it.
 */
import { createServer, isIPv6, type Server, type Socket, connect as tcpConnect } from "node:net";
import { createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from "node:tls";
import type { FlowId, Peer, SipTransport, Target } from "../protocol/sip/flow.ts";
import type { SipMessage } from "../protocol/sip/message.ts";
import type { Logger } from "./logger.ts";
import { type AdmissionLimits, ConnectionAdmission } from "./sip-transport-admission.ts";
import { type ConnectionLimits, SipConnection } from "./sip-transport-connection.ts";
import {
  HANDSHAKE_TIMEOUT_MS,
  peerIdentities,
  type SipTlsSetting,
  tlsClientOptions,
  tlsServerOptions,
} from "./sip-transport-tls.ts";

export interface SipListener {
  readonly transport: SipTransport;
  readonly address: string;
  /** 0 lets the kernel choose; see `listening`. */
  readonly port: number;
}

export interface SipTransportLimits extends ConnectionLimits, AdmissionLimits {
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
}

export const DEFAULT_SIP_TRANSPORT_LIMITS: SipTransportLimits = {
  messageTimeoutMs: 10_000,
  idleTimeoutMs: 3_600_000,
  sendQueueBytes: 1024 * 1024,
  connectTimeoutMs: 5_000,
  handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
  connections: 4096,
  connectionsPerAddress: 256,
};

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
  readonly limits?: Partial<SipTransportLimits>;
  readonly log?: Logger;
}

export interface SipTransportHandle {
  /** Where it listens, with the ports the kernel chose. */
  readonly listening: readonly SipListener[];
  /**
   * Sends down a flow or to a target; resolves with the flow when the octets are with the kernel.
   * Rejects when the flow is gone, or the target cannot be reached or is not who it should be.
   */
  send(message: SipMessage, to: FlowId | Target): Promise<FlowId>;
  /** Closes a flow, if it is still there. */
  closeFlow(flow: FlowId): void;
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

/** What connections have to say goodbye when all is closed. */
const SHUTDOWN_GRACE_MS = 1_000;

interface Flow {
  readonly id: FlowId;
  readonly connection: SipConnection;
  /** Under which targets find it. */
  readonly targetKey: string;
}

class SocketTransport implements SipTransportHandle {
  readonly listening: SipListener[] = [];
  readonly #setting: SipTransportSetting;
  readonly #limits: SipTransportLimits;
  readonly #servers: Server[] = [];
  readonly #flows = new Map<FlowId, Flow>();
  readonly #byTarget = new Map<string, Flow>();
  readonly #admission: ConnectionAdmission;
  #nextFlow = 1;
  #closing = false;

  constructor(setting: SipTransportSetting) {
    this.#setting = setting;
    this.#limits = { ...DEFAULT_SIP_TRANSPORT_LIMITS, ...setting.limits };
    this.#admission = new ConnectionAdmission(this.#limits);
  }

  async listen({ transport, address, port }: SipListener): Promise<void> {
    const server = this.#createServer(transport);
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port, exclusive: true }, resolve);
    });
    server.on("error", (error) =>
      this.#setting.log?.error({ error: error.message }, "sip listener"),
    );
    const bound = server.address();
    const boundPort = typeof bound === "object" && bound !== null ? bound.port : port;
    this.listening.push({ transport, address, port: boundPort });
  }

  async send(message: SipMessage, to: FlowId | Target): Promise<FlowId> {
    const flow = typeof to === "string" ? this.#flows.get(to) : this.#flowTo(to);
    if (flow === undefined) throw new Error("SIP flow is gone");
    await flow.connection.send(message);
    return flow.id;
  }

  closeFlow(flow: FlowId): void {
    this.#flows.get(flow)?.connection.close("closed by us");
  }

  async close(): Promise<void> {
    this.#closing = true;
    const closed = this.#servers.map((server) => new Promise((done) => server.close(done)));
    const flows = [...this.#flows.values()];
    for (const { connection } of flows) connection.close("shutting down");
    if (flows.length === 0) this.#admission.destroyAll();
    else setTimeout(() => this.#admission.destroyAll(), SHUTDOWN_GRACE_MS).unref();
    await Promise.all(closed);
  }

  #createServer(transport: SipTransport): Server {
    const server = transport === "tcp" ? createServer() : this.#createTlsServer();
    return server.on("connection", (socket) => {
      if (!this.#admission.admit(socket)) {
        this.#setting.log?.warn({ transport }, "too many SIP connections");
        socket.destroy();
      } else if (transport === "tcp") this.#accept("tcp", socket, () => []);
    });
  }

  #createTlsServer(): Server {
    const options = tlsServerOptions(this.#tls(), this.#limits.handshakeTimeoutMs);
    const server = createTlsServer(options, (socket) =>
      this.#accept("tls", socket, () => peerIdentities(socket)),
    );
    return server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      this.#setting.log?.info({ code: error.code }, "TLS handshake refused");
      socket.destroy(); // Node leaves one that timed out open
    });
  }

  #accept(transport: SipTransport, socket: Socket, identities: () => readonly string[]): void {
    const peer = peerOf(transport, socket, identities);
    if (peer === undefined || socket.destroyed || this.#closing) {
      socket.on("error", () => undefined);
      socket.destroy();
      return;
    }
    const { address, port } = peer;
    this.#addFlow(socket, targetKey({ transport, address, port })).connection.open(peer);
  }

  /** An open connection to the target, or one that is on its way. */
  #flowTo(target: Target): Flow | undefined {
    if (this.#closing) return undefined;
    const key = targetKey(target);
    return this.#byTarget.get(key) ?? this.#connect(target, key);
  }

  #connect(target: Target, key: string): Flow {
    const { transport, address: host, port, serverName = host } = target;
    const secure = transport === "tls";
    const socket = secure
      ? tlsConnect({ host, port, ...tlsClientOptions(this.#tls(), serverName) })
      : tcpConnect({ host, port });
    const flow = this.#addFlow(socket, key);
    const { connectTimeoutMs, handshakeTimeoutMs } = this.#limits;
    const patienceMs = secure ? connectTimeoutMs + handshakeTimeoutMs : connectTimeoutMs;
    const timer = setTimeout(() => flow.connection.close("no connection"), patienceMs);
    socket.once("close", () => clearTimeout(timer));
    socket.once(secure ? "secureConnect" : "connect", () => {
      clearTimeout(timer);
      const peer = peerOf(transport, socket, () => peerIdentities(socket as TLSSocket));
      if (peer === undefined) flow.connection.close("peer is gone");
      else flow.connection.open(peer);
    });
    return flow;
  }

  #addFlow(socket: Socket, key: string): Flow {
    const id: FlowId = `flow-${this.#nextFlow}`;
    this.#nextFlow += 1;
    const connection = new SipConnection(socket, this.#limits, {
      onMessage: (message) => this.#deliver(id, message),
      onMalformed: ({ error }) =>
        this.#setting.log?.debug({ flow: id, code: error.code }, "malformed SIP message"),
      onClosed: (reason) => this.#dropFlow(id, reason),
    });
    const flow = { id, connection, targetKey: key };
    this.#flows.set(id, flow);
    this.#byTarget.set(key, flow);
    return flow;
  }

  #deliver(flow: FlowId, message: SipMessage): void {
    const peer = this.#flows.get(flow)?.connection.peer;
    if (peer !== undefined && !this.#closing) this.#setting.onMessage({ message, flow, peer });
  }

  #dropFlow(id: FlowId, reason: string): void {
    const flow = this.#flows.get(id);
    if (flow === undefined) return;
    this.#flows.delete(id);
    if (this.#byTarget.get(flow.targetKey) === flow) this.#byTarget.delete(flow.targetKey);
    this.#setting.log?.debug({ flow: id, reason }, "SIP flow closed");
    if (flow.connection.peer !== undefined && !this.#closing) this.#setting.onClosed(id);
  }

  #tls(): SipTlsSetting {
    if (this.#setting.tls === undefined) throw new TypeError("TLS without certificate");
    return this.#setting.tls;
  }
}

const targetKey = ({ transport, address, port, serverName }: Target): string =>
  JSON.stringify([transport, address.toLowerCase(), port, (serverName ?? address).toLowerCase()]);

/** Undefined when the peer left before we looked. */
function peerOf(
  transport: SipTransport,
  { remoteAddress, remotePort, localAddress }: Socket,
  identities: () => readonly string[],
): Peer | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return {
    transport,
    address: plainAddress(remoteAddress),
    port: remotePort,
    ...(localAddress === undefined ? {} : { localAddress: plainAddress(localAddress) }),
    identities: transport === "tls" ? identities() : [],
  };
}

/** IPv4 as IPv4, also where it came through an IPv6 socket. */
const plainAddress = (address: string): string =>
  isIPv6(address) ? address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "") : address;
