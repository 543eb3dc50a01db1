/**
 * All that goes to one destination: every packet to its ports is counted, opened, and either stored
 * as media or kept apart as captured. Mostly that is one direction of one medium; streams that an
 * order sends to one port are one stream here. Nothing that was not authenticated moves any state
 * but a count and the bounded wait for a key. Pure.
 */

import type { OrderStream } from "../../protocol/ingest/order.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { PcapngPacket } from "../../protocol/pcapng/encode-pcapng.ts";
import { isRtcp } from "../../protocol/rtp/is-rtcp.ts";
import type { PortCounts, RejectedCounts, StreamReport } from "./completeness.ts";
import { type MediaPacket, withPayload } from "./media-packet.ts";
import type { SrtpHistory } from "./media-receiver.ts";
import { SequenceTracker } from "./sequence-tracker.ts";
import { type Attempt, isProven, StreamReceivers } from "./stream-receivers.ts";

/** How long a packet waits for the key that an answer brings: media may overtake the answer. */
export const PENDING_MS = 2000;
/** Packets of one stream that wait at once, before it has any key. */
export const MAX_PENDING_PACKETS = 512;
/** Packets that wait at once because no key opened them so far. */
export const MAX_UNOPENED_PACKETS = 64;
/** Packets of one stream that are kept apart; more are counted only. */
export const MAX_KEPT_APART = 10_000;
/** RTCP ports of one stream, over all revisions. */
export const MAX_RTCP_PORTS = 8;

/** What the recording says beside a stored packet that is no RTP. */
export const NOT_RTP = "no RTP: as captured";

/** pcapng interfaces of a recording. */
export const INTERFACES = { media: 0, keptApart: 1 } as const;

export type Component = "rtp" | "rtcp";

type Counts = { -readonly [K in keyof PortCounts]: PortCounts[K] } & { rejected: RejectedCounts };

export interface ArrivedPacket {
  readonly component: Component;
  readonly packet: MediaPacket;
}

interface Waiting extends ArrivedPacket {
  readonly until: Millis;
  readonly reason: Extract<Attempt, { kind: "unopened" }>["reason"];
}

export class MediaStream {
  readonly destination: OrderStream["destination"];
  #namedSince: Millis;
  #isNamed = true;
  #label: OrderStream["label"];
  readonly #media = new Set<string>();
  /** Every one that was named; the present one is last. */
  #rtcpPorts: readonly number[] = [];
  readonly #receivers: StreamReceivers;
  #waiting: Waiting[] = [];
  readonly #counts: Record<Component, Counts> = { rtp: noCounts(), rtcp: noCounts() };
  readonly #sequence = new SequenceTracker();

  /** @param streams What the order has for one destination; not empty. */
  constructor(streams: readonly OrderStream[], now: Millis, history: SrtpHistory = {}) {
    const [first] = streams;
    if (first === undefined) throw new RangeError("no stream");
    this.destination = first.destination;
    this.#label = first.label;
    this.#namedSince = now;
    const indices = (ssrc: number) => this.lastIndices(ssrc);
    this.#receivers = new StreamReceivers({ earlierIndices: indices, ...history });
    this.update(streams, now);
  }

  /** Ports that lead to this stream, and what each carries. */
  get ports(): readonly { readonly port: number; readonly component: Component }[] {
    const { port } = this.destination;
    return [
      { port, component: "rtp" },
      ...this.#rtcpPorts.map((rtcpPort) => ({ port: rtcpPort, component: "rtcp" as const })),
    ];
  }

  /** When orders began to name it, the last time that they did. */
  get namedSince(): Millis {
    return this.#namedSince;
  }

  /** True if the latest revision of its order names it. */
  get isNamed(): boolean {
    return this.#isNamed;
  }

  /** True if a packet that no key opens may still be this stream's. */
  get takesUnproven(): boolean {
    return this.#receivers.takesUnproven;
  }

  /** True if the latest revision lets this address speak, or any. */
  isSource(address: string): boolean {
    return this.#receivers.isSource(address);
  }

  /** The highest indices of an SSRC so far. */
  lastIndices(ssrc: number): readonly number[] {
    return this.#sequence.lastIndices(ssrc);
  }

  /**
   * Takes what a later revision has for this destination: a new key opens what waits for it; an
   * RTCP port once named stays. Returns what is to be stored.
   */
  update(streams: readonly OrderStream[], now: Millis): readonly PcapngPacket[] {
    if (!this.#isNamed) this.#namedSince = now;
    this.#isNamed = true;
    for (const { label, media, rtcpPort } of streams) {
      this.#label = label;
      this.#media.add(media);
      if (rtcpPort !== undefined && rtcpPort !== this.destination.port) this.#addRtcp(rtcpPort);
    }
    if (!this.#receivers.change(streams, now)) return [];
    const waiting = this.#waiting;
    this.#waiting = [];
    return this.#open(waiting, now, (index) => waiting[index]?.until ?? now);
  }

  /** The latest revision does not name it: what still comes is taken as before. */
  drop(): void {
    this.#isNamed = false;
  }

  /** Takes captured packets; returns what is to be stored, in order. */
  take(arrived: readonly ArrivedPacket[], now: Millis): readonly PcapngPacket[] {
    for (const { component } of arrived) this.#counts[component].captured += 1;
    return this.#open(arrived, now, () => now + PENDING_MS);
  }

  /** Takes those that a key proves, replays as well, and leaves the rest: they may be another stream's. */
  takeProven(arrived: readonly ArrivedPacket[]): {
    readonly stored: readonly PcapngPacket[];
    readonly rest: readonly ArrivedPacket[];
  } {
    const attempts = this.#receivers.openProven(arrived.map(({ packet }) => packet));
    const rest: ArrivedPacket[] = [];
    const stored = arrived.flatMap((each, index) => {
      const attempt = attempts[index];
      if (attempt === undefined || attempt.kind === "unopened" || !isProven(attempt)) {
        rest.push(each);
        return [];
      }
      this.#counts[each.component].captured += 1;
      return attempt.kind === "opened"
        ? this.#store(each, attempt)
        : this.#reject(each, attempt.reason);
    });
    return { stored, rest };
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
    const sources = this.#sequence.report();
    const rtcpPort = this.#rtcpPorts.at(-1);
    const former = this.#rtcpPorts.slice(0, -1);
    const { impossible } = this.#receivers;
    return {
      label: this.#label,
      media: [...this.#media].join("+"),
      destination: this.destination,
      ...(rtcpPort === undefined ? {} : { rtcpPort }),
      ...(former.length === 0 ? {} : { formerRtcpPorts: former }),
      ...(impossible === undefined ? {} : { undecryptable: impossible }),
      rtp: { ...this.#counts.rtp, admitted: admitted(this.destination.port) },
      rtcp: { ...this.#counts.rtcp, admitted: sumOrNull(this.#rtcpPorts.map(admitted)) },
      sources: [...sources],
      lost: sources.reduce((sum, { lost }) => sum + lost, 0),
    };
  }

  #addRtcp(port: number): void {
    const others = this.#rtcpPorts.filter((known) => known !== port);
    if (others.length < MAX_RTCP_PORTS) this.#rtcpPorts = [...others, port];
  }

  #giveUp(count: number): readonly PcapngPacket[] {
    return this.#waiting.splice(0, count).flatMap((waiting) => this.#unopened(waiting));
  }

  /** @param untilOf How long a packet that no key opens waits for another. */
  #open(
    arrived: readonly ArrivedPacket[],
    now: Millis,
    untilOf: (index: number) => Millis,
  ): readonly PcapngPacket[] {
    const attempts = this.#receivers.open(
      arrived.map(({ packet }) => packet),
      now,
    );
    const stored = arrived.flatMap((each, index) => {
      const attempt = attempts[index];
      if (attempt?.kind === "opened") return this.#store(each, attempt);
      if (attempt?.kind === "unopened") return this.#wait(each, attempt, untilOf(index));
      return this.#reject(each, attempt?.reason ?? "syntax");
    });
    const room = this.#receivers.hasKeys ? MAX_UNOPENED_PACKETS : MAX_PENDING_PACKETS;
    return [...stored, ...this.#giveUp(Math.max(0, this.#waiting.length - room))];
  }

  #wait(
    { component, packet }: ArrivedPacket,
    { reason }: Extract<Attempt, { kind: "unopened" }>,
    until: Millis,
  ): readonly PcapngPacket[] {
    const waiting = { component, packet, reason, until };
    if (this.#receivers.impossible !== undefined) return this.#unopened(waiting);
    this.#waiting.push(waiting);
    return [];
  }

  #store(
    { component, packet }: ArrivedPacket,
    { payload, isAuthenticated, rtp }: Extract<Attempt, { kind: "opened" }>,
  ): readonly PcapngPacket[] {
    const counts = this.#counts[component];
    if (isAuthenticated) counts.authenticated += 1;
    else counts.clear += 1;
    counts.stored += 1;
    if (rtp !== undefined && !isRtcp(payload))
      this.#sequence.count(payload.readUInt32BE(8), rtp.index, rtp.key);
    const octets = withPayload(packet, payload);
    const comment = rtp === undefined ? { comment: NOT_RTP } : {};
    return [{ interfaceId: INTERFACES.media, micros: packet.micros, octets, ...comment }];
  }

  #reject(arrived: ArrivedPacket, reason: keyof RejectedCounts): readonly PcapngPacket[] {
    this.#counts[arrived.component].rejected[reason] += 1;
    return this.#keepApart(arrived, `rejected: ${reason}`);
  }

  #unopened(waiting: Waiting): readonly PcapngPacket[] {
    const { impossible } = this.#receivers;
    if (impossible === undefined && waiting.reason === "authentication")
      return this.#reject(waiting, "authentication");
    this.#counts[waiting.component].undecrypted += 1;
    return this.#keepApart(waiting, `not decrypted: ${impossible ?? "no key"}`);
  }

  #keepApart({ component, packet }: ArrivedPacket, comment: string): readonly PcapngPacket[] {
    const { rtp, rtcp } = this.#counts;
    if (rtp.keptApart + rtcp.keptApart >= MAX_KEPT_APART) return [];
    this.#counts[component].keptApart += 1;
    const { micros, octets } = packet;
    return [{ interfaceId: INTERFACES.keptApart, micros, octets, comment }];
  }
}

/** Without an RTCP port nothing can have passed to one. */
const sumOrNull = (counts: readonly (number | null)[]): number | null =>
  counts.reduce<number | null>(
    (sum, count) => (sum === null || count === null ? null : sum + count),
    0,
  );

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
