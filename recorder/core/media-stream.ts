/**
 * One direction of one medium: every packet to its ports is counted, opened, and either stored as
 * media or kept apart as captured. Nothing that was not authenticated moves any state but a count
 * and the bounded wait for a key. Pure.
 */

import { createHash } from "node:crypto";
import type { OrderStream } from "../../protocol/ingest/order.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { PcapngPacket } from "../../protocol/pcapng/encode-pcapng.ts";
import { isRtcp } from "../../protocol/rtp/is-rtcp.ts";
import type { UnprotectResult } from "../../protocol/srtp/srtp-receiver.ts";
import type { PortCounts, RejectedCounts, StreamReport } from "./completeness.ts";
import { type MediaPacket, withPayload } from "./media-packet.ts";
import { chooseReceiver, type MediaReceiver } from "./media-receiver.ts";
import { SequenceTracker } from "./sequence-tracker.ts";

/** How long a packet waits for the key that the answer brings. */
export const PENDING_MS = 2000;
/** Packets of one stream that wait at once. */
export const MAX_PENDING_PACKETS = 512;
/** Keys under which a packet is tried, newest first: a sender may still use the last one. */
export const MAX_RECEIVERS = 2;
/** Packets of one stream that are kept apart; more are counted only. */
export const MAX_KEPT_APART = 10_000;

/** pcapng interfaces of a recording. */
export const INTERFACES = { media: 0, keptApart: 1 } as const;

export type Component = "rtp" | "rtcp";

type Counts = { -readonly [K in keyof PortCounts]: PortCounts[K] } & { rejected: RejectedCounts };

type KeylessStream = Omit<OrderStream, "protection">;

interface Waiting {
  readonly component: Component;
  readonly packet: MediaPacket;
  readonly until: Millis;
}

export class MediaStream {
  readonly #isJoined: boolean;
  #order: KeylessStream;
  #keyDigest: string;
  #rtcpPort: number | undefined;
  #receivers: readonly MediaReceiver[] = [];
  #impossible: string | undefined;
  #waiting: Waiting[] = [];
  readonly #counts: Record<Component, Counts> = { rtp: noCounts(), rtcp: noCounts() };
  readonly #sequence = new SequenceTracker();

  /** @param isJoined The call was going on before the recorder heard of it. */
  constructor(order: OrderStream, isJoined = false) {
    this.#isJoined = isJoined;
    this.#order = withoutKey(order);
    this.#rtcpPort = order.rtcpPort;
    this.#keyDigest = keyDigest(order);
    this.#choose(order);
  }

  get destination(): OrderStream["destination"] {
    return this.#order.destination;
  }

  /** Ports that lead to this stream, and what each carries. */
  get ports(): readonly { readonly port: number; readonly component: Component }[] {
    const { port } = this.#order.destination;
    const rtcpPort = this.#rtcpPort;
    if (rtcpPort === undefined || rtcpPort === port) return [{ port, component: "rtp" }];
    return [
      { port, component: "rtp" },
      { port: rtcpPort, component: "rtcp" },
    ];
  }

  /** True if this is the stream that the order speaks of. */
  isSame(order: OrderStream): boolean {
    const { address, port } = this.#order.destination;
    return address === order.destination.address && port === order.destination.port;
  }

  /**
   * Takes a later revision: a new key opens what waits for it; an RTCP port once named stays.
   * Returns what is to be stored.
   */
  update(order: OrderStream): readonly PcapngPacket[] {
    this.#order = withoutKey(order);
    this.#rtcpPort = order.rtcpPort ?? this.#rtcpPort;
    const digest = keyDigest(order);
    if (digest === this.#keyDigest) return [];
    this.#keyDigest = digest;
    this.#choose(order);
    return this.#openWaiting();
  }

  /** Takes captured packets; returns what is to be stored, in order. */
  take(
    arrived: readonly { readonly component: Component; readonly packet: MediaPacket }[],
    now: Millis,
  ): readonly PcapngPacket[] {
    for (const { component } of arrived) this.#counts[component].captured += 1;
    if (this.#receivers.length > 0 || this.#impossible !== undefined) return this.#open(arrived);
    const until = now + PENDING_MS;
    this.#waiting.push(...arrived.map((each) => ({ ...each, until })));
    return this.#giveUp(Math.max(0, this.#waiting.length - MAX_PENDING_PACKETS));
  }

  /** When the first waiting packet has waited long enough. */
  deadline(): Millis | undefined {
    return this.#waiting[0]?.until;
  }

  /** Keeps apart what has waited for a key long enough. */
  expire(now: Millis): readonly PcapngPacket[] {
    const index = this.#waiting.findIndex(({ until }) => until > now);
    return this.#giveUp(index === -1 ? this.#waiting.length : index);
  }

  /** Packets captured to the port of a component. */
  captured(component: Component): number {
    return this.#counts[component].captured;
  }

  /**
   * What became of everything so far.
   * @param admitted The kernel's count to a port, null if it is not known.
   */
  report(admitted: (port: number) => number | null): StreamReport {
    const { label, media, destination } = this.#order;
    const sources = this.#sequence.report();
    const rtcpPort = this.ports.find(({ component }) => component === "rtcp")?.port;
    return {
      label,
      media,
      destination,
      ...(rtcpPort === undefined ? {} : { rtcpPort }),
      ...(this.#impossible === undefined ? {} : { undecryptable: this.#impossible }),
      rtp: { ...this.#counts.rtp, admitted: admitted(destination.port) },
      rtcp: { ...this.#counts.rtcp, admitted: rtcpPort === undefined ? 0 : admitted(rtcpPort) },
      sources: [...sources],
      lost: sources.reduce((sum, { lost }) => sum + lost, 0),
    };
  }

  #choose(order: OrderStream): void {
    const choice = chooseReceiver(order.protection, this.#isJoined);
    this.#impossible = choice.kind === "impossible" ? choice.because : undefined;
    if (choice.kind === "ready")
      this.#receivers = [choice.receiver, ...this.#receivers].slice(0, MAX_RECEIVERS);
  }

  #openWaiting(): readonly PcapngPacket[] {
    if (this.#receivers.length === 0 && this.#impossible === undefined) return [];
    const waiting = this.#waiting;
    this.#waiting = [];
    return this.#open(waiting);
  }

  #giveUp(count: number): readonly PcapngPacket[] {
    return this.#waiting
      .splice(0, count)
      .flatMap(({ component, packet }) => this.#undecrypted(component, packet, "no key"));
  }

  #open(
    arrived: readonly { readonly component: Component; readonly packet: MediaPacket }[],
  ): readonly PcapngPacket[] {
    const [receiver] = this.#receivers;
    if (receiver === undefined)
      return arrived.flatMap(({ component, packet }) =>
        this.#undecrypted(component, packet, this.#impossible ?? "no key"),
      );
    const isForeign = arrived.map(({ packet }) => this.#isFromElsewhere(packet, receiver));
    const results = this.#unprotect(
      arrived.flatMap(({ packet }, index) => (isForeign[index] ? [] : [packet])),
    );
    return arrived.flatMap(({ component, packet }, index) => {
      if (isForeign[index]) return this.#reject(component, packet, "source");
      const result = results.shift();
      if (result?.kind !== "ok") return this.#reject(component, packet, result?.reason ?? "syntax");
      return this.#store(component, packet, result, receiver);
    });
  }

  /** One result a packet, from the first key that opens it. */
  #unprotect(packets: readonly MediaPacket[]): UnprotectResult[] {
    let results: UnprotectResult[] = [];
    for (const [age, receiver] of this.#receivers.entries()) {
      const untried = packets.flatMap((packet, index) =>
        age === 0 || isUnauthentic(results[index]) ? [{ packet, index }] : [],
      );
      const opened = unprotectMixed(
        receiver,
        untried.map(({ packet }) => packet.udp.payload),
      );
      if (age === 0) results = opened;
      else
        for (const [at, { index }] of untried.entries()) {
          const result = opened[at];
          if (result?.kind === "ok") results[index] = result;
        }
    }
    return results;
  }

  /** Without a key, the signalled address is all there is to go by. */
  #isFromElsewhere(packet: MediaPacket, receiver: MediaReceiver): boolean {
    const address = this.#order.source?.address;
    return !receiver.isAuthenticating && address !== undefined && packet.udp.source !== address;
  }

  #store(
    component: Component,
    packet: MediaPacket,
    result: Extract<UnprotectResult, { kind: "ok" }>,
    receiver: MediaReceiver,
  ): PcapngPacket[] {
    const counts = this.#counts[component];
    if (receiver.isAuthenticating) counts.authenticated += 1;
    else counts.clear += 1;
    counts.stored += 1;
    if (!isRtcp(result.packet)) this.#sequence.count(result.packet.readUInt32BE(8), result.index);
    const octets = withPayload(packet, result.packet);
    return [{ interfaceId: INTERFACES.media, micros: packet.micros, octets }];
  }

  #reject(
    component: Component,
    packet: MediaPacket,
    reason: keyof RejectedCounts,
  ): readonly PcapngPacket[] {
    this.#counts[component].rejected[reason] += 1;
    return this.#keepApart(component, packet, `rejected: ${reason}`);
  }

  #undecrypted(component: Component, packet: MediaPacket, why: string): readonly PcapngPacket[] {
    this.#counts[component].undecrypted += 1;
    return this.#keepApart(component, packet, `not decrypted: ${why}`);
  }

  #keepApart(component: Component, packet: MediaPacket, comment: string): readonly PcapngPacket[] {
    const { rtp, rtcp } = this.#counts;
    if (rtp.keptApart + rtcp.keptApart >= MAX_KEPT_APART) return [];
    this.#counts[component].keptApart += 1;
    const { micros, octets } = packet;
    return [{ interfaceId: INTERFACES.keptApart, micros, octets, comment }];
  }
}

/** RTP and RTCP of one port in one call each, results in the order of the packets. */
function unprotectMixed(receiver: MediaReceiver, packets: readonly Buffer[]): UnprotectResult[] {
  const results: UnprotectResult[] = [];
  const rtcpAt: number[] = [];
  const rtpAt: number[] = [];
  for (const [index, octets] of packets.entries()) (isRtcp(octets) ? rtcpAt : rtpAt).push(index);
  const at = (indices: readonly number[]) =>
    indices.map((index) => packets[index] ?? Buffer.alloc(0));
  const place = (indices: readonly number[], opened: readonly UnprotectResult[]) => {
    for (const [position, index] of indices.entries()) {
      const result = opened[position];
      if (result !== undefined) results[index] = result;
    }
  };
  place(rtpAt, receiver.unprotectBatch(at(rtpAt)));
  place(rtcpAt, receiver.unprotectRtcpBatch(at(rtcpAt)));
  return results;
}

const isUnauthentic = (result: UnprotectResult | undefined) =>
  result?.kind === "rejected" && result.reason === "authentication";

/** Tells whether a revision brings another key, without keeping the key. */
const keyDigest = ({ protection }: OrderStream) =>
  createHash("sha256").update(JSON.stringify(protection)).digest("hex");

function withoutKey({ protection: _key, ...rest }: OrderStream): KeylessStream {
  return rest;
}

const noCounts = (): Counts => ({
  admitted: null,
  captured: 0,
  authenticated: 0,
  clear: 0,
  rejected: { authentication: 0, replay: 0, syntax: 0, limit: 0, source: 0 },
  undecrypted: 0,
  stored: 0,
  keptApart: 0,
});
