/**
 * Finds the stream of a captured packet by where the packet goes: nothing that a packet says of
 * itself decides where it is stored. Pure.
 */

import { isProtocolError } from "../../protocol/errors.ts";
import type { CapturedPacket } from "../../protocol/ingest/frames.ts";
import { decodeMediaPacket, destinationKey, type MediaPacket } from "./media-packet.ts";
import type { Component, MediaStream } from "./media-stream.ts";
import type { Recording } from "./recording.ts";

/** Packets of one stream, in the order of their capture. */
export interface RoutedPackets {
  readonly recording: Recording;
  readonly stream: MediaStream;
  readonly packets: readonly ArrivedPacket[];
}

export interface ArrivedPacket {
  readonly component: Component;
  readonly packet: MediaPacket;
}

interface Target {
  readonly recording: Recording;
  readonly stream: MediaStream;
  readonly component: Component;
}

export class PacketRouter {
  /** The newest recording of a port is last. */
  readonly #targets = new Map<string, readonly Target[]>();
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
    const routed = new Map<MediaStream, { recording: Recording; packets: ArrivedPacket[] }>();
    for (const each of captured) {
      const packet = this.#decode(each);
      const target = packet && this.#find(packet);
      if (packet === undefined || target === undefined) continue;
      const { stream, recording, component } = target;
      const known = routed.get(stream);
      if (known !== undefined) known.packets.push({ component, packet });
      else routed.set(stream, { recording, packets: [{ component, packet }] });
    }
    return [...routed].map(([stream, { recording, packets }]) => ({ recording, stream, packets }));
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

  /** Of several recordings of one port the newest that had begun when the packet passed. */
  #find({ udp, micros }: MediaPacket): Target | undefined {
    const key = destinationKey(udp.destination, udp.destinationPort);
    const open = this.#targets.get(key)?.filter(({ recording }) => !recording.isEnded) ?? [];
    const begun = open.findLast(({ recording }) => recording.startedAt * 1000 <= micros);
    const target = begun ?? open[0];
    if (target === undefined) this.#unmatched += 1;
    return target;
  }
}
