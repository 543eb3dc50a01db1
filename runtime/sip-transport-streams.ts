/**
 * SIP over TCP and TLS (RFC 3261 §18, RFC 5923 for the reuse of connections). Touches sockets.
 *
 * A connection is a flow. What is sent goes down a named flow, or to a target for which an open
 * connection is used or a new one made. A connection that a peer opened serves targets that name
 * just its address and port, never a host name: the name of a server was not checked on it.
 */
import { createServer, isIPv6, type Server, type Socket, connect as tcpConnect } from "node:net";
import {
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
  connect as tlsConnect,
} from "node:tls";
import type { Millis } from "../protocol/machine.ts";
import type { FlowId, Peer, Target } from "../protocol/sip/flow.ts";
import type { SipMessage } from "../protocol/sip/message.ts";
import { type AdmissionLimits, ConnectionAdmission } from "./sip-transport-admission.ts";
import type { CarrierSetting, Settle } from "./sip-transport-carrier.ts";
import { type ConnectionLimits, SipConnection } from "./sip-transport-connection.ts";
import {
  type ClientCertificates,
  NO_PROOF,
  type PeerProof,
  peerProof,
  type SipTlsSetting,
  tlsClientOptions,
  tlsServerOptions,
} from "./sip-transport-tls.ts";

type StreamKind = "tcp" | "tls";

export interface StreamLimits extends ConnectionLimits, AdmissionLimits {
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
}

export interface StreamListener {
  readonly transport: StreamKind;
  readonly address: string;
  readonly port: number;
  readonly clientCertificates?: ClientCertificates | undefined;
}

export interface StreamSetting extends CarrierSetting {
  readonly tls: SipTlsSetting | undefined;
  readonly onClosed: (flow: FlowId) => void;
  readonly limits: StreamLimits;
}

/**
 * How long a connection is heard after its certificate's end: a refresh certifies the key anew and
 * need not open another. Less than our own authority remembers what it certified, so that nobody
 * outlasts that.
 */
export const PROOF_OUTLIVED_MS = 12 * 3_600_000;
/** What connections have to say goodbye when all is closed. */
const SHUTDOWN_GRACE_MS = 1_000;
/** One line for all connections refused meanwhile: whoever floods must not fill the log too. */
const REFUSED_WARNING_MS = 60_000;

interface Flow {
  readonly id: FlowId;
  readonly connection: SipConnection;
  /** Under which targets find it. */
  readonly targetKeys: readonly string[];
  /** When its peer's certificate ends. */
  proofEndsAt: Millis;
}

export class StreamTransport {
  readonly #setting: StreamSetting;
  readonly #servers: Server[] = [];
  readonly #tlsServers: { readonly server: TlsServer; readonly ask: ClientCertificates }[] = [];
  readonly #flows = new Map<FlowId, Flow>();
  readonly #byTarget = new Map<string, Flow>();
  readonly #admission: ConnectionAdmission;
  #tls: SipTlsSetting | undefined;
  #nextFlow = 1;
  #warnedAtMs = Number.NEGATIVE_INFINITY;
  #closing = false;

  constructor(setting: StreamSetting) {
    this.#setting = setting;
    this.#tls = setting.tls;
    this.#admission = new ConnectionAdmission(setting.limits);
  }

  /** Returns the port, which the kernel chose where 0 was asked for. */
  async listen(listener: StreamListener): Promise<number> {
    const { address, port } = listener;
    const server = this.#createServer(listener);
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port, exclusive: true, ipv6Only: isIPv6(address) }, () => {
        server.off("error", reject);
        resolve();
      });
    });
    server.on("error", (error) =>
      this.#setting.log?.error({ error: error.message }, "sip listener"),
    );
    const bound = server.address();
    return typeof bound === "object" && bound !== null ? bound.port : port;
  }

  send(message: SipMessage, to: FlowId | Target, settle: Settle): void {
    const flow = typeof to === "string" ? this.#flows.get(to) : this.#flowTo(to);
    if (flow === undefined) process.nextTick(settle, new Error("SIP flow is gone"), "");
    else flow.connection.send(message, (error) => settle(error, flow.id));
  }

  closeFlow(flow: FlowId): void {
    this.#flows.get(flow)?.connection.close("closed by us");
  }

  /** New connections, in either direction, use these; open ones stay as they are. */
  setTls(tls: SipTlsSetting): void {
    const { handshakeTimeoutMs } = this.#setting.limits;
    for (const { server, ask } of this.#tlsServers)
      server.setSecureContext(tlsServerOptions(tls, ask, handshakeTimeoutMs));
    this.#tls = tls;
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

  #createServer(listener: StreamListener): Server {
    const { transport } = listener;
    const server = transport === "tcp" ? createServer() : this.#createTlsServer(listener);
    return server.on("connection", (socket) => {
      if (!this.#admission.admit(socket)) {
        this.#noteRefused();
        socket.destroy();
      } else if (transport === "tcp") this.#accept("tcp", socket, noProof);
    });
  }

  #noteRefused(): void {
    const { counters, log } = this.#setting;
    counters.refusedConnections += 1;
    const nowMs = performance.now();
    if (nowMs - this.#warnedAtMs < REFUSED_WARNING_MS) return;
    this.#warnedAtMs = nowMs;
    log?.warn({ refusedSinceStart: counters.refusedConnections }, "too many SIP connections");
  }

  #createTlsServer({ clientCertificates }: StreamListener): Server {
    const tls = this.#requireTls();
    const ask = clientCertificates ?? tls.clientCertificates;
    const options = tlsServerOptions(tls, ask, this.#setting.limits.handshakeTimeoutMs);
    const server = createTlsServer(options, (socket) =>
      this.#accept("tls", socket, () => peerProof(socket, this.#requireTls())),
    );
    this.#tlsServers.push({ server, ask });
    return server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      this.#setting.log?.info({ code: error.code }, "TLS handshake refused");
      socket.destroy(); // Node leaves one that timed out open
    });
  }

  #accept(transport: StreamKind, socket: Socket, proofOf: () => PeerProof): void {
    const proof = proofOf();
    const peer = peerOf(transport, socket, proof);
    if (peer === undefined || socket.destroyed || this.#closing) {
      socket.on("error", () => undefined);
      socket.destroy();
      return;
    }
    const { address, port, localAddress } = peer;
    const target: Target = { transport, address, port };
    const keys = [targetKey(target)];
    if (localAddress !== undefined) keys.push(targetKey({ ...target, localAddress }));
    const flow = this.#addFlow(socket, keys);
    flow.connection.expectMessage();
    openFlow(flow, peer, proof);
  }

  /** An open connection to the target, or one that is on its way. */
  #flowTo(target: Target): Flow | undefined {
    if (this.#closing) return undefined;
    const key = targetKey(target);
    return this.#byTarget.get(key) ?? this.#connect(target, key);
  }

  #connect(target: Target, key: string): Flow {
    const { transport, address: host, port, serverName = host, localAddress } = target;
    const secure = transport === "tls";
    const { lookup } = this.#setting;
    const where = { host, port, lookup, ...(localAddress === undefined ? {} : { localAddress }) };
    const socket = secure
      ? tlsConnect({ ...where, ...tlsClientOptions(this.#requireTls(), serverName) })
      : tcpConnect(where);
    const flow = this.#addFlow(socket, [key]);
    const { connectTimeoutMs, handshakeTimeoutMs } = this.#setting.limits;
    const patienceMs = secure ? connectTimeoutMs + handshakeTimeoutMs : connectTimeoutMs;
    const timer = setTimeout(() => flow.connection.close("no connection"), patienceMs);
    socket.once("close", () => clearTimeout(timer));
    socket.once(secure ? "secureConnect" : "connect", () => {
      clearTimeout(timer);
      const proof = secure ? peerProof(socket as TLSSocket, this.#requireTls()) : NO_PROOF;
      const peer = peerOf(secure ? "tls" : "tcp", socket, proof);
      if (peer === undefined) flow.connection.close("peer is gone");
      else openFlow(flow, peer, proof);
    });
    return flow;
  }

  #addFlow(socket: Socket, targetKeys: readonly string[]): Flow {
    const id: FlowId = `flow-${this.#nextFlow}`;
    this.#nextFlow += 1;
    const { limits, counters, log } = this.#setting;
    const connection: SipConnection = new SipConnection(socket, limits, {
      onMessage: (message) => this.#deliver(flow, message),
      onMalformed: ({ error }) => {
        counters.malformed += 1;
        log?.debug({ flow: id, code: error.code }, "malformed SIP message");
      },
      onKeepAlive: () => {
        counters.keepAlives += 1;
      },
      onRead: (items) => this.#charge(connection, items),
      onClosed: (reason) => this.#dropFlow(id, reason),
    });
    const flow: Flow = { id, connection, targetKeys, proofEndsAt: Number.POSITIVE_INFINITY };
    this.#flows.set(id, flow);
    for (const key of targetKeys) this.#byTarget.set(key, flow);
    return flow;
  }

  #deliver({ id, connection, proofEndsAt }: Flow, message: SipMessage): void {
    const { peer } = connection;
    this.#setting.counters.received += 1;
    if (peer === undefined || this.#closing) return;
    if (Date.now() - proofEndsAt > PROOF_OUTLIVED_MS) connection.close("certificate is long over");
    else this.#setting.onMessage(message, id, peer);
  }

  #charge({ peer }: SipConnection, items: number): number {
    if (items === 0 || peer === undefined) return 0;
    const { rate, counters } = this.#setting;
    const restMs = rate.charge(peer.address, items, performance.now());
    if (restMs > 0) counters.overRate += 1;
    return restMs;
  }

  #dropFlow(id: FlowId, reason: string): void {
    const flow = this.#flows.get(id);
    if (flow === undefined) return;
    this.#flows.delete(id);
    for (const key of flow.targetKeys)
      if (this.#byTarget.get(key) === flow) this.#byTarget.delete(key);
    this.#setting.log?.debug({ flow: id, reason }, "SIP flow closed");
    if (flow.connection.peer !== undefined && !this.#closing) this.#setting.onClosed(id);
  }

  #requireTls(): SipTlsSetting {
    if (this.#tls === undefined) throw new TypeError("TLS without certificate");
    return this.#tls;
  }
}

/** Nothing in it can hold the separator but a host name of ours, and that harms nobody. */
const targetKey = ({ transport, address, port, serverName, localAddress }: Target): string =>
  `${transport}|${address}|${port}|${serverName ?? address}|${localAddress ?? ""}`.toLowerCase();

const noProof = (): PeerProof => NO_PROOF;

function openFlow(flow: Flow, peer: Peer, { endsAt }: PeerProof): void {
  flow.proofEndsAt = endsAt ?? flow.proofEndsAt;
  flow.connection.open(peer);
}

/** Undefined when the peer left before we looked. */
function peerOf(
  transport: StreamKind,
  { remoteAddress, remotePort, localAddress, localPort }: Socket,
  proof: PeerProof,
): Peer | undefined {
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return {
    transport,
    address: plainAddress(remoteAddress),
    port: remotePort,
    ...(localAddress === undefined ? {} : { localAddress: plainAddress(localAddress) }),
    ...(localPort === undefined ? {} : { localPort }),
    ...proof.peer,
  };
}

/** IPv4 as IPv4, also where it came through an IPv6 socket. */
const plainAddress = (address: string): string =>
  isIPv6(address) ? address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "") : address;
