/**
 * SIP over UDP (RFC 3261 §18, RFC 3581, RFC 5626 §3.5). Touches datagram sockets.
 *
 * A flow is a socket of ours and the far address and port, all of which its name says: nothing need
 * be remembered of whoever sends, and an answer leaves from the socket its question came to. Flow
 * names are `udp/SOCKET/PORT/ADDRESS`. Sending resolves no names unless a target holds one.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { isIP } from "node:net";
import { readDatagram } from "../protocol/sip/datagram.ts";
import type { FlowId, Peer, Target } from "../protocol/sip/flow.ts";
import type { SipMessage } from "../protocol/sip/message.ts";
import { serializeMessage } from "../protocol/sip/serialize-message.ts";
import { answerBinding, isStun } from "../protocol/sip/stun-binding.ts";
import type { CarrierSetting, Settle } from "./sip-transport-carrier.ts";
import { RecentPeers } from "./sip-transport-peers.ts";
import { QueueProbe } from "./sip-transport-queue-probe.ts";

interface OwnSocket {
  readonly socket: Socket;
  readonly family: 4 | 6;
  readonly address: string;
  /** Which of our addresses a datagram came to is known only where the socket has just one. */
  readonly isWildcard: boolean;
  readonly index: number;
  /** Of a socket that listens; others wait for nothing but answers. */
  probe: QueueProbe | undefined;
  readonly peers: RecentPeers;
  port: number;
}

/** What the kernel holds for us while we are busy; it grants less where its own limit is lower. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
/** Datagrams waiting for a kernel that takes no more. */
const MAX_SEND_QUEUE_BYTES = 8 * 1024 * 1024;
/** The source port of whoever wants no answer (RFC 768); the kernel delivers it, and sends nothing there. */
const NO_PORT = 0;
const NO_IDENTITIES: readonly string[] = [];

export class DatagramTransport {
  readonly #setting: CarrierSetting;
  readonly #sockets: OwnSocket[] = [];
  #closing = false;

  constructor(setting: CarrierSetting) {
    this.#setting = setting;
  }

  /** Returns the port, which the kernel chose where 0 was asked for. */
  async listen(address: string, port: number): Promise<number> {
    const own = this.#open(familyOf(address), address, port);
    const { socket } = own;
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ address, port, exclusive: true }, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    own.probe = new QueueProbe(socket);
    this.#checkBuffer(socket);
    return own.port;
  }

  /** Without `settle` nobody learns whether the datagram left. */
  send(message: SipMessage, to: FlowId | Target, settle?: Settle): void {
    if (typeof to === "string") this.#sendDown(message, to, settle);
    else if (isIP(to.address) !== 0) this.#sendTo(message, to, settle);
    else
      this.#setting.lookup(to.address, {}, (error, address) => {
        if (error !== null || typeof address !== "string") settle?.(error ?? new Error("name"), "");
        else this.#sendTo(message, { ...to, address }, settle);
      });
  }

  /** How long what comes now waits to be read; to be asked again and again (`QueueProbe`). */
  queueDelayMs(): number {
    if (this.#closing) return 0;
    const [now, { received }] = [clock(), this.#setting.counters];
    return Math.max(0, ...this.#sockets.map(({ probe }) => probe?.delayMs(now, received) ?? 0));
  }

  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const closing = this.#sockets.map(
      ({ socket }) => new Promise<void>((done) => socket.close(() => done())),
    );
    await Promise.all(closing);
  }

  /** Datagrams that come while we are busy are lost beyond it. */
  #checkBuffer(socket: Socket): void {
    const grantedBytes = socket.getRecvBufferSize();
    if (grantedBytes >= RECEIVE_BUFFER_BYTES) return;
    const wantedBytes = RECEIVE_BUFFER_BYTES;
    this.#setting.log?.info(
      { grantedBytes, wantedBytes },
      "net.core.rmem_max is low for SIP by UDP",
    );
  }

  #sendDown(message: SipMessage, flow: FlowId, settle: Settle | undefined): void {
    const [index, port, address] = readFlow(flow);
    const own = this.#sockets[index];
    if (own === undefined) fail("SIP flow is gone", settle);
    else this.#transmit(own, message, address, port, settle);
  }

  #sendTo(message: SipMessage, target: Target, settle: Settle | undefined): void {
    const own = this.#closing ? undefined : this.#socketFor(target);
    if (own === undefined) fail("no UDP socket to send from", settle);
    else this.#transmit(own, message, target.address, target.port, settle);
  }

  #transmit(
    { socket, index }: OwnSocket,
    message: SipMessage,
    address: string,
    port: number,
    settle: Settle | undefined,
  ): void {
    if (this.#closing || port === NO_PORT || socket.getSendQueueSize() > MAX_SEND_QUEUE_BYTES) {
      fail("UDP socket takes no more", settle);
      return;
    }
    const octets = serializeMessage(message);
    const done =
      settle &&
      ((error: Error | null) => settle(error ?? undefined, flowName(index, address, port)));
    socket.send(octets, port, address, done);
  }

  /** The socket that a target asks for, or the first of its family; one is opened if need be. */
  #socketFor({ address, localAddress, localPort }: Target): OwnSocket | undefined {
    const family = familyOf(address);
    for (const own of this.#sockets) {
      if (own.family !== family) continue;
      if (localPort !== undefined && own.port !== localPort) continue;
      if (localAddress === undefined || own.isWildcard || own.address === localAddress) return own;
    }
    if (localAddress !== undefined || localPort !== undefined) return undefined;
    return this.#open(family, family === 6 ? "::" : "0.0.0.0", 0);
  }

  #open(family: 4 | 6, address: string, port: number): OwnSocket {
    const socket = createSocket({
      type: family === 6 ? "udp6" : "udp4",
      ipv6Only: family === 6,
      recvBufferSize: RECEIVE_BUFFER_BYTES,
      // It asks for the address of an address: that needs no resolver.
      lookup: (numeric, _options, answer) => answer(null, numeric, family),
    });
    const isWildcard = address === "0.0.0.0" || address === "::";
    const own: OwnSocket = {
      socket,
      family,
      address,
      isWildcard,
      index: this.#sockets.length,
      probe: undefined,
      peers: new RecentPeers((far, farPort) => ({
        flow: flowName(own.index, far, farPort),
        peer: peerAt(own, far, farPort),
      })),
      port,
    };
    this.#sockets.push(own);
    socket.on("listening", () => {
      own.port = socket.address().port;
    });
    socket.on("message", (octets, from) => this.#read(own, octets, from));
    socket.on("error", (error) => this.#setting.log?.error({ error: error.message }, "UDP socket"));
    return own;
  }

  #read(own: OwnSocket, octets: Buffer, { address, port }: RemoteInfo): void {
    const { counters, rate, onMessage } = this.#setting;
    if (this.#closing || own.probe?.isBack(octets, clock) === true) return;
    counters.received += 1;
    if (port === NO_PORT) {
      counters.malformed += 1;
      return;
    }
    if (rate.isLimited && !rate.admit(address, clock())) {
      counters.overRate += 1;
      return;
    }
    if (isStun(octets)) {
      this.#answerStun(own, octets, address, port);
      return;
    }
    const item = readDatagram(octets);
    if (item.kind === "keepalive") counters.keepAlives += 1;
    else if (item.kind === "malformed") {
      counters.malformed += 1;
      if (item.answer !== undefined) own.socket.send(serializeMessage(item.answer), port, address);
    } else {
      const { flow, peer } = own.peers.at(address, port);
      onMessage(item, flow, peer);
    }
  }

  #answerStun({ socket }: OwnSocket, octets: Buffer, address: string, port: number): void {
    this.#setting.counters.keepAlives += 1;
    const answer = answerBinding(octets, { address: withoutZone(address), port });
    if (answer !== undefined) socket.send(answer, port, address);
  }
}

function fail(what: string, settle: Settle | undefined): void {
  if (settle !== undefined) process.nextTick(settle, new Error(what), "");
}

const clock = (): number => performance.now();

/** Of what is known to be an address. */
const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);

const flowName = (index: number, address: string, port: number): FlowId =>
  `udp/${index}/${port}/${address}`;

function readFlow(flow: FlowId): readonly [index: number, port: number, address: string] {
  const second = flow.indexOf("/", 4);
  const third = flow.indexOf("/", second + 1);
  return [
    Number(flow.slice(4, second)),
    Number(flow.slice(second + 1, third)),
    flow.slice(third + 1),
  ];
}

function peerAt({ isWildcard, address, port }: OwnSocket, far: string, farPort: number): Peer {
  const peer = {
    transport: "udp",
    address: withoutZone(far),
    port: farPort,
    localPort: port,
    identities: NO_IDENTITIES,
  } as const;
  return isWildcard ? peer : { ...peer, localAddress: address };
}

const withoutZone = (address: string): string => {
  const zone = address.indexOf("%");
  return zone < 0 ? address : address.slice(0, zone);
};
