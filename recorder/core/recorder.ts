/**
 * The recorder: orders, captured packets and closes go in; what is to be written, answered and
 * finished comes out. Pure.
 */

import type { CapturedPacket } from "../../protocol/ingest/frames.ts";
import type { OrderId } from "../../protocol/ingest/messages.ts";
import type { RecordingOrder } from "../../protocol/ingest/order.ts";
import type { Machine, Millis } from "../../protocol/machine.ts";
import type { PcapngPacket } from "../../protocol/pcapng/encode-pcapng.ts";
import { briefCompleteness, type Completeness } from "./completeness.ts";
import { PacketRouter, type RoutedPackets } from "./packet-router.ts";
import type { ConnectionId, RecorderEffect, RecorderInput } from "./recorder-messages.ts";
import { Recording } from "./recording.ts";

/** Recordings that are open at once. */
export const MAX_OPEN_RECORDINGS = 4096;
/** How long recordings go on without the agent that ordered them. */
export const AGENT_ABSENCE_MS = 30_000;

interface Entry {
  readonly recording: Recording;
  /** Undefined while its agent is away. */
  connection: ConnectionId | undefined;
  awaySince: Millis;
  /** Orders that are accepted once the file is there; undefined from then on. */
  opening: readonly OrderId[] | undefined;
  completeness: Completeness | undefined;
}

export class Recorder implements Machine<RecorderInput, RecorderEffect> {
  readonly #entries = new Map<string, Entry>();
  readonly #router = new PacketRouter();

  /** Packets that no order named, and messages that held no UDP packet: counted, not stored. */
  get strays(): PacketRouter["strays"] {
    return this.#router.strays;
  }

  /** Recordings not yet finished. */
  get openCount(): number {
    return this.#entries.size;
  }

  handle(input: RecorderInput, now: Millis): readonly RecorderEffect[] {
    switch (input.kind) {
      case "disconnected":
        return this.#disconnect(input.connection, now);
      case "order":
        return this.#order(input, now);
      case "opened":
        return this.#opened(input, now);
      case "open-failed":
        return this.#openFailed(input);
      case "batch":
        return [...this.#batch(input.packets, now), ...this.#settle(now)];
      case "close":
        return this.#close(input, now);
      case "gap":
        return this.#gap(input);
      case "finished":
        return this.#finished(input.recording);
      case "store-failed":
        return this.#storeFailed(input, now);
      case "stop":
        return this.#stop(input.reason, now);
      case "tick":
        return this.#tick(now);
    }
  }

  deadline(): Millis | undefined {
    const all: Millis[] = [];
    for (const { recording, connection, awaySince } of this.#entries.values()) {
      all.push(recording.deadline() ?? Number.POSITIVE_INFINITY);
      if (connection === undefined && recording.isRecording) all.push(awaySince + AGENT_ABSENCE_MS);
    }
    const first = all.reduce((least, each) => Math.min(least, each), Number.POSITIVE_INFINITY);
    return first === Number.POSITIVE_INFINITY ? undefined : first;
  }

  #order(input: Extract<RecorderInput, { kind: "order" }>, now: Millis): readonly RecorderEffect[] {
    const { connection, id, order } = input;
    if ("refused" in order) return [refuse(connection, id, order.refused)];
    if (order.recording !== input.recording)
      return [refuse(connection, id, "the sealed order is for another recording")];
    const entry = this.#entries.get(order.recording);
    if (entry === undefined) return this.#begin(input, order, now);
    if (entry.recording.session !== input.session)
      return [refuse(connection, id, "the recording belongs to another session")];
    if (!entry.recording.isRecording) {
      // Its report goes to whoever asks now.
      entry.connection = connection;
      return [refuse(connection, id, "the recording is closed")];
    }
    if (order.revision < entry.recording.revision)
      return [refuse(connection, id, `revision ${entry.recording.revision} is known already`)];
    this.#adopt(entry, connection, now);
    const isNew = order.revision > entry.recording.revision;
    const written = isNew ? this.#revise(entry, order, now) : [];
    if (entry.opening === undefined) return [...written, accept(connection, id)];
    entry.opening = [...entry.opening, id];
    return written;
  }

  #begin(
    { connection, id, session }: Extract<RecorderInput, { kind: "order" }>,
    order: RecordingOrder,
    now: Millis,
  ): readonly RecorderEffect[] {
    if (this.#entries.size >= MAX_OPEN_RECORDINGS)
      return [refuse(connection, id, `${MAX_OPEN_RECORDINGS} recordings are open`)];
    const recording = new Recording(order, session, now);
    const entry: Entry = {
      recording,
      connection,
      awaySince: now,
      opening: [id],
      completeness: undefined,
    };
    this.#entries.set(recording.id, entry);
    this.#router.add(recording);
    return [{ kind: "open", recording: recording.id, metadata: recording.metadata }];
  }

  #revise(entry: Entry, order: RecordingOrder, now: Millis): readonly RecorderEffect[] {
    const { recording } = entry;
    const packets = recording.update(order, now);
    this.#router.add(entry.recording);
    const { id, metadata } = recording;
    return [{ kind: "write-metadata", recording: id, metadata }, ...writePackets(id, packets)];
  }

  /** The agent came back, or another speaks for it now. */
  #adopt(entry: Entry, connection: ConnectionId, now: Millis): void {
    if (entry.connection === undefined)
      entry.recording.addGap("the agent was not connected", entry.awaySince, now);
    entry.connection = connection;
  }

  #opened(
    { recording, interruptedSince }: Extract<RecorderInput, { kind: "opened" }>,
    now: Millis,
  ): readonly RecorderEffect[] {
    const entry = this.#entries.get(recording);
    if (entry?.opening === undefined) return [];
    if (interruptedSince !== undefined) entry.recording.resume(interruptedSince, now);
    const { opening, connection } = entry;
    entry.opening = undefined;
    if (connection === undefined) return [];
    return opening.map((order) => accept(connection, order));
  }

  #openFailed(input: { recording: string; reason: string }): readonly RecorderEffect[] {
    const entry = this.#entries.get(input.recording);
    if (entry?.opening === undefined) return [];
    const { opening, connection } = entry;
    this.#forget(entry);
    if (connection === undefined) return [];
    return opening.map((order) => refuse(connection, order, input.reason));
  }

  #batch(captured: readonly CapturedPacket[], now: Millis): readonly RecorderEffect[] {
    return this.#router.route(captured).flatMap((routed) => share(routed, now));
  }

  #close(input: Extract<RecorderInput, { kind: "close" }>, now: Millis): readonly RecorderEffect[] {
    for (const { recording } of this.#entries.values())
      if (recording.session === input.session) recording.close(input.reason, input, now);
    return this.#settle(now);
  }

  #gap({ reason, fromMicros, toMicros }: Extract<RecorderInput, { kind: "gap" }>): [] {
    for (const { recording } of this.#entries.values()) {
      const fromMs = Math.max(fromMicros / 1000, recording.startedAt);
      if (fromMs <= toMicros / 1000) recording.addGap(reason, fromMs, toMicros / 1000);
    }
    return [];
  }

  #finished(id: string): readonly RecorderEffect[] {
    const entry = this.#entries.get(id);
    if (entry?.completeness === undefined) return [];
    return this.#report(entry, entry.completeness);
  }

  #storeFailed(
    input: { recording: string; reason: string },
    now: Millis,
  ): readonly RecorderEffect[] {
    const entry = this.#entries.get(input.recording);
    if (entry === undefined) return [];
    if (entry.opening !== undefined) return this.#openFailed(input);
    const { recording } = entry;
    recording.close("the store failed", undefined, now);
    const report = entry.completeness ?? recording.end().completeness;
    return this.#report(entry, {
      ...report,
      verdict: { kind: "not-recorded", because: `the store failed: ${input.reason}` },
    });
  }

  #report(entry: Entry, completeness: Completeness): readonly RecorderEffect[] {
    this.#forget(entry);
    const { connection, recording } = entry;
    if (connection === undefined) return [];
    const { id, session } = recording;
    const brief = briefCompleteness(completeness);
    const message = { kind: "closed", session, recording: id, completeness: brief } as const;
    return [{ kind: "reply", connection, message }];
  }

  #disconnect(connection: ConnectionId, now: Millis): readonly RecorderEffect[] {
    for (const entry of this.#entries.values())
      if (entry.connection === connection) {
        entry.connection = undefined;
        entry.awaySince = now;
      }
    return [];
  }

  #stop(reason: string, now: Millis): readonly RecorderEffect[] {
    for (const { recording } of this.#entries.values()) recording.close(reason, undefined, now);
    return [...this.#entries.values()].flatMap((entry) => this.#finish(entry));
  }

  #tick(now: Millis): readonly RecorderEffect[] {
    const written = [...this.#entries.values()].flatMap(({ recording }) =>
      writePackets(recording.id, recording.expire(now)),
    );
    for (const { recording, connection, awaySince } of this.#entries.values())
      if (
        connection === undefined &&
        recording.isRecording &&
        now >= awaySince + AGENT_ABSENCE_MS
      ) {
        recording.addGap("the agent was not connected", awaySince, now);
        recording.close("the agent was lost", undefined, now);
      }
    return [...written, ...this.#settle(now)];
  }

  /** Finishes whatever waits for nothing more. */
  #settle(now: Millis): readonly RecorderEffect[] {
    return [...this.#entries.values()].flatMap((entry) =>
      entry.recording.isOver(now) ? this.#finish(entry) : [],
    );
  }

  #finish(entry: Entry): readonly RecorderEffect[] {
    if (entry.completeness !== undefined) return [];
    const { recording } = entry;
    const { packets, completeness } = recording.end();
    entry.completeness = completeness;
    const { id, metadata } = recording;
    return [
      ...writePackets(id, packets),
      { kind: "finish", recording: id, metadata, completeness },
    ];
  }

  #forget({ recording }: Entry): void {
    this.#entries.delete(recording.id);
    this.#router.remove(recording);
  }
}

/** To several streams of one port: each takes what its keys open, the likeliest has the rest. */
function share({ targets, packets }: RoutedPackets, now: Millis): readonly RecorderEffect[] {
  const [likeliest] = targets;
  if (likeliest === undefined) return [];
  const effects: RecorderEffect[] = [];
  let rest = packets;
  const arrivedAt = (at: number) =>
    rest.map(({ packet, components }) => ({ packet, component: components[at] ?? "rtp" }));
  if (targets.length > 1)
    for (const [at, { recording, stream }] of targets.entries()) {
      const taken = stream.takeProven(arrivedAt(at));
      const left = new Set(taken.rest.map(({ packet }) => packet));
      rest = rest.filter(({ packet }) => left.has(packet));
      effects.push(...writePackets(recording.id, taken.stored));
    }
  const { recording, stream } = likeliest;
  return [...effects, ...writePackets(recording.id, stream.take(arrivedAt(0), now))];
}

function writePackets(recording: string, packets: readonly PcapngPacket[]): RecorderEffect[] {
  return packets.length === 0 ? [] : [{ kind: "write-packets", recording, packets }];
}

function accept(connection: ConnectionId, id: OrderId): RecorderEffect {
  return { kind: "reply", connection, message: { kind: "order-reply", id, result: "accepted" } };
}

function refuse(connection: ConnectionId, id: OrderId, refused: string): RecorderEffect {
  const message = { kind: "order-reply", id, result: { refused } } as const;
  return { kind: "reply", connection, message };
}
