/**
 * One recording between its first order and its report: the streams, the spans in which something
 * may be missing, and the wait for packets that are still on their way. Pure.
 */

import type { PinholeCount } from "../../protocol/ingest/messages.ts";
import type { OrderStream, RecordingOrder } from "../../protocol/ingest/order.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { PcapngPacket } from "../../protocol/pcapng/encode-pcapng.ts";
import { type Completeness, type Gap, judge } from "./completeness.ts";
import { destinationKey } from "./media-packet.ts";
import { type Component, MediaStream } from "./media-stream.ts";
import { beginMetadata, endMetadata, type Metadata, reviseMetadata } from "./metadata.ts";
import { rfc3339 } from "./rfc3339.ts";

/** How long a closed recording waits for packets that the kernel counted (its batches are late). */
export const LINGER_MS = 2000;
/** Streams of one recording, over all revisions. */
export const MAX_STREAMS = 64;
/** Indices that an SSRC may go on from where it gets a new key or a new destination. */
export const MAX_EARLIER_INDICES = 4;
/** Gaps that a report names one by one. */
export const MAX_GAPS = 256;

export type Counters = Readonly<Record<string, PinholeCount>>;

/** What the kernel let through, by pinhole. */
export interface KernelCount {
  readonly counters: Counters;
  /** False: the counters may be low. */
  readonly exact: boolean;
}

type State =
  | { readonly kind: "recording" }
  | { readonly kind: "lingering"; readonly until: Millis; readonly close: Close }
  | { readonly kind: "ended" };

interface Close {
  readonly reason: string;
  readonly admitted: ReadonlyMap<string, number> | undefined;
  /** False: more may have been admitted. */
  readonly isExact: boolean;
  readonly at: Millis;
}

export class Recording {
  readonly id: string;
  readonly session: string;
  readonly startedAt: Millis;
  #revision: number;
  #metadata: Metadata;
  #state: State = { kind: "recording" };
  /** The call was going on before the recorder heard of it. */
  readonly #isJoined: boolean;
  readonly #streams: MediaStream[] = [];
  readonly #gaps: Gap[] = [];
  #isResumed = false;

  constructor(order: RecordingOrder, session: string, now: Millis) {
    this.id = order.recording;
    this.session = session;
    this.startedAt = now;
    this.#revision = order.revision;
    this.#metadata = beginMetadata(order, rfc3339(now));
    this.#isJoined = order.revision > 1;
    this.#streams = byDestination(order).map((streams) => this.#newStream(streams, now));
    if (this.#isJoined) this.addGap(`joined at revision ${order.revision}`, now, now);
  }

  get revision(): number {
    return this.#revision;
  }

  get metadata(): Metadata {
    return this.#metadata;
  }

  get isRecording(): boolean {
    return this.#state.kind === "recording";
  }

  get isEnded(): boolean {
    return this.#state.kind === "ended";
  }

  /** Where its packets go, by `destinationKey`. */
  get ports(): readonly {
    readonly key: string;
    readonly stream: MediaStream;
    readonly component: Component;
  }[] {
    return this.#streams.flatMap((stream) =>
      stream.ports.map(({ port, component }) => {
        return { key: destinationKey(stream.destination.address, port), stream, component };
      }),
    );
  }

  /** Takes a later revision; returns what can be stored now that a key has come. */
  update(order: RecordingOrder, now: Millis): readonly PcapngPacket[] {
    this.#revision = order.revision;
    this.#metadata = reviseMetadata(this.#metadata, order, rfc3339(now));
    const groups = byDestination(order);
    for (const known of this.#streams) if (!groups.some(leadTo(known))) known.drop();
    return groups.flatMap((streams) => {
      const known = this.#streams.find((each) => leadTo(each)(streams));
      if (known !== undefined) return known.update(streams, now);
      if (this.#streams.length < MAX_STREAMS) this.#streams.push(this.#newStream(streams, now));
      else this.addGap("too many streams for one recording", now, now);
      return [];
    });
  }

  /**
   * Goes on with a recording whose recorder was interrupted: its counts from before are lost, so
   * the kernel's cannot be compared with them.
   */
  resume(interruptedSince: Millis, now: Millis): void {
    this.#isResumed = true;
    this.addGap("the recorder was interrupted", interruptedSince, now);
  }

  /** States a span in which packets may be missing. */
  addGap(reason: string, fromMs: Millis, toMs: Millis): void {
    if (this.#gaps.length < MAX_GAPS)
      this.#gaps.push({ reason, from: rfc3339(fromMs), to: rfc3339(toMs) });
  }

  /** Begins the end: from now on only packets that the kernel counted are waited for. */
  close(reason: string, count: KernelCount | undefined, now: Millis): void {
    if (this.#state.kind !== "recording") return;
    const admitted = count && sumByPort(count.counters);
    const close = { reason, admitted, isExact: count?.exact ?? true, at: now };
    this.#state = { kind: "lingering", until: now + LINGER_MS, close };
  }

  /** True if nothing more is to be waited for. */
  isOver(now: Millis): boolean {
    if (this.#state.kind !== "lingering") return false;
    const { until, close } = this.#state;
    if (now >= until || close.admitted === undefined) return true;
    return close.isExact && this.#hasAll(close.admitted);
  }

  deadline(): Millis | undefined {
    const own = this.#state.kind === "lingering" ? [this.#state.until] : [];
    const all = [...own, ...this.#streams.flatMap((stream) => stream.deadline() ?? [])];
    return all.length === 0 ? undefined : Math.min(...all);
  }

  expire(now: Millis): readonly PcapngPacket[] {
    return this.#streams.flatMap((stream) => stream.expire(now));
  }

  /**
   * Ends it; what still waited for a key is kept apart.
   * @throws RangeError if it was not closed before.
   */
  end(): { readonly packets: readonly PcapngPacket[]; readonly completeness: Completeness } {
    if (this.#state.kind !== "lingering") throw new RangeError("recording was not closed");
    const { close } = this.#state;
    this.#state = { kind: "ended" };
    const packets = this.expire(Number.POSITIVE_INFINITY);
    this.#metadata = endMetadata(this.#metadata, close.reason, rfc3339(close.at));
    return { packets, completeness: this.#report(close) };
  }

  /** A stream that moved here may keep its rollover counter, or begin anew. */
  #newStream(streams: readonly OrderStream[], now: Millis): MediaStream {
    const earlierIndices = (ssrc: number) =>
      this.#streams.flatMap((stream) => stream.lastIndices(ssrc)).slice(-MAX_EARLIER_INDICES);
    return new MediaStream(streams, now, { isJoined: this.#isJoined, earlierIndices });
  }

  #report({ reason, admitted, isExact, at }: Close): Completeness {
    const counted = {
      streams: this.#streams.map((stream) =>
        stream.report((port) =>
          admitted === undefined || this.#isResumed
            ? null
            : (admitted.get(destinationKey(stream.destination.address, port)) ?? 0),
        ),
      ),
      gaps: this.#gaps,
      ...(isExact ? {} : { isAdmittedLow: true as const }),
      unassigned: { admitted: this.#unassigned(admitted) },
    };
    return {
      version: 1,
      recording: this.id,
      verdict: judge(counted),
      reason,
      startedAt: rfc3339(this.startedAt),
      endedAt: rfc3339(at),
      ...counted,
    };
  }

  #hasAll(admitted: ReadonlyMap<string, number>): boolean {
    return this.ports.every(
      ({ key, stream, component }) => stream.captured(component) >= (admitted.get(key) ?? 0),
    );
  }

  #unassigned(admitted: ReadonlyMap<string, number> = new Map()): number {
    const assigned = new Set(this.ports.map(({ key }) => key));
    let sum = 0;
    for (const [key, packets] of admitted) if (!assigned.has(key)) sum += packets;
    return sum;
  }
}

/** Streams of one destination together, such as those of a bundle (RFC 9143). */
function byDestination({ streams }: RecordingOrder): readonly (readonly OrderStream[])[] {
  const groups = new Map<string, OrderStream[]>();
  for (const stream of streams) {
    const key = destinationKey(stream.destination.address, stream.destination.port);
    groups.set(key, [...(groups.get(key) ?? []), stream]);
  }
  return [...groups.values()];
}

/** Tells whether streams of an order go where a known one does. */
const leadTo =
  ({ destination: { address, port } }: MediaStream) =>
  ([first]: readonly OrderStream[]): boolean =>
    first?.destination.address === address && first.destination.port === port;

function sumByPort(counters: Counters): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { packets, to } of Object.values(counters)) {
    const key = destinationKey(to.address, to.port);
    sums.set(key, (sums.get(key) ?? 0) + packets);
  }
  return sums;
}
