/**
 * Finds the streams that a captured packet may belong to by where the packet goes: nothing that a
 * packet says of itself decides where it is stored, unless a key proves it. Pure.
 */

import { isProtocolError } from "../../protocol/errors.ts";
import type { CapturedPacket } from "../../protocol/ingest/frames.ts";
import { decodeMediaPacket, destinationKey, type MediaPacket } from "./media-packet.ts";
import type { Component, MediaStream } from "./media-stream.ts";
import type { Recording } from "./recording.ts";

/** Packets that may belong to the same streams, in the order of their capture. */
export interface RoutedPackets {
  /** Whose they are unless a key says otherwise comes first; never empty. */
  readonly targets: readonly Target[];
  readonly packets: readonly RoutedPacket[];
}

export interface RoutedPacket {
  readonly packet: MediaPacket;
  /** What the packet is to each of the targets. */
  readonly components: readonly Component[];
}

interface Target {
  readonly recording: Recording;
  readonly stream: MediaStream;
}

interface PortTarget extends Target {
  readonly component: Component;
}

export class PacketRouter {
  readonly #targets = new Map<string, readonly PortTarget[]>();
  readonly #numbers = new WeakMap<MediaStream, number>();
  #nextNumber = 1;
  #unmatched = 0;
  #malformed = 0;

  /** Packets that no order named, and messages that held no UDP packet: counted, not stored. */
  get strays(): { readonly unmatched: number; readonly malformed: number } {
    return { unmatched: this.#unmatched, malformed: this.#malformed };
  }

  /** Leads to a recording what goes to the ports of its streams. */
  add(recording: Recording): void {
    for (const { key, stream, component } of recording.ports) {
      const targets = this.#targets.get(key) ?? [];
      if (!targets.some((target) => target.stream === stream))
        this.#targets.set(key, [...targets, { recording, stream, component }]);
    }
  }

  remove(recording: Recording): void {
    for (const { key } of recording.ports) {
      const rest = this.#targets.get(key)?.filter((target) => target.recording !== recording) ?? [];
      if (rest.length > 0) this.#targets.set(key, rest);
      else this.#targets.delete(key);
    }
  }

  /** Sorts a batch by stream; what belongs to none is counted. */
  route(captured: readonly CapturedPacket[]): readonly RoutedPackets[] {
    const routed = new Map<string, { targets: readonly Target[]; packets: RoutedPacket[] }>();
    for (const each of captured) {
      const packet = this.#decode(each);
      const targets = packet ? this.#find(packet) : [];
      if (packet === undefined || targets.length === 0) continue;
      const name = this.#nameOf(targets);
      const one = { packet, components: targets.map(({ component }) => component) };
      const known = routed.get(name);
      if (known !== undefined) known.packets.push(one);
      else routed.set(name, { targets, packets: [one] });
    }
    return [...routed.values()];
  }

  #decode(captured: CapturedPacket): MediaPacket | undefined {
    try {
      return decodeMediaPacket(captured);
    } catch (error) {
      if (!isProtocolError(error, "ERR_CAPTURE_SYNTAX")) throw error;
      this.#malformed += 1;
      return undefined;
    }
  }

  #find({ udp, micros }: MediaPacket): readonly PortTarget[] {
    const key = destinationKey(udp.destination, udp.destinationPort);
    const open = this.#targets.get(key)?.filter(({ recording }) => !recording.isEnded) ?? [];
    if (open.length === 0) this.#unmatched += 1;
    return open.length < 2 ? open : byLikelihood(open, udp.source, micros);
  }

  #nameOf(targets: readonly Target[]): string {
    return targets.map(({ stream }) => this.#numberOf(stream)).join(" ");
  }

  #numberOf(stream: MediaStream): number {
    const known = this.#numbers.get(stream);
    if (known !== undefined) return known;
    const number = this.#nextNumber++;
    this.#numbers.set(stream, number);
    return number;
  }
}

/**
 * Several streams of one port: only those that orders named when the packet passed, if any did. The
 * signalled source comes first, then what orders still name, then what has no key to decide by,
 * then the newest.
 */
function byLikelihood(
  open: readonly PortTarget[],
  source: string,
  micros: number,
): readonly PortTarget[] {
  const begun = open.filter(({ stream }) => stream.namedSince * 1000 <= micros);
  const rank = ({ stream }: PortTarget): readonly number[] => [
    Number(stream.isSource(source)),
    Number(stream.isNamed),
    Number(stream.takesUnproven),
    stream.namedSince,
  ];
  return (begun.length > 0 ? begun : open.slice(0, 1)).toSorted((one, other) => {
    const [left, right] = [rank(one), rank(other)];
    const at = left.findIndex((each, index) => each !== right[index]);
    return at === -1 ? 0 : (right[at] ?? 0) - (left[at] ?? 0);
  });
}
