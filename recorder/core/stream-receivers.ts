/**
 * All that may open a packet to one destination. A call changes its keys while packets are under
 * way: a packet is tried under each key that the orders brought, and the tag decides. What proves
 * nothing, plain RTP and fax, is taken only where an order says so, and a moment longer. Pure.
 */

import { createHash } from "node:crypto";
import type { OrderStream } from "../../protocol/ingest/order.ts";
import type { Millis } from "../../protocol/machine.ts";
import { isRtcp } from "../../protocol/rtp/is-rtcp.ts";
import { rtpHeaderBytes } from "../../protocol/rtp/rtp-packet.ts";
import type { UnprotectResult } from "../../protocol/srtp/srtp-receiver.ts";
import type { RejectedCounts } from "./completeness.ts";
import type { MediaPacket } from "./media-packet.ts";
import {
  ClearReceiver,
  chooseReceiver,
  type MediaReceiver,
  type SrtpHistory,
} from "./media-receiver.ts";

/** Keys under which a packet is tried, newest first: a sender may still use an earlier one. */
export const MAX_RECEIVERS = 4;
/** How long plain media from before a change is still taken. */
export const GRACE_MS = 2000;
/** Media that is no RTP: fax over UDPTL (ITU-T T.38). */
const OPAQUE_MEDIA: ReadonlySet<string> = new Set(["image"]);

export type Attempt =
  | {
      readonly kind: "opened";
      readonly payload: Buffer;
      readonly isAuthenticated: boolean;
      /** Absent for what is no RTP. */
      readonly rtp?: { readonly index: number; readonly key: number };
    }
  | { readonly kind: "rejected"; readonly reason: keyof RejectedCounts }
  /** Under no key so far; a tag was wrong, or there is no key. */
  | { readonly kind: "unopened"; readonly reason: "authentication" | "no key" };

interface Keyed {
  readonly digest: string;
  readonly receiver: MediaReceiver;
  /** Tells one key's indices from another's. */
  readonly key: number;
}

/** Signalled sources of plain media; undefined: any. */
type Sources = ReadonlySet<string> | undefined;

export class StreamReceivers {
  readonly #history: SrtpHistory;
  #digest = "";
  #keyed: readonly Keyed[] = [];
  #nextKey = 1;
  #isPending = false;
  #impossible: string | undefined;
  readonly #clear = new ClearReceiver();
  /** Until when plain RTP and fax are taken. */
  #clearUntil = Number.NEGATIVE_INFINITY;
  #opaqueUntil = Number.NEGATIVE_INFINITY;
  #sources: Sources = new Set();
  #formerSources: { readonly sources: Sources; readonly until: Millis } | undefined;

  constructor(history: SrtpHistory) {
    this.#history = history;
  }

  /** Why what no key opens will never be opened; undefined: a key may come. */
  get impossible(): string | undefined {
    return this.#impossible;
  }

  get hasKeys(): boolean {
    return this.#keyed.length > 0;
  }

  /** True if a packet that no key opens may still be this stream's. */
  get takesUnproven(): boolean {
    const isClear = isEndless(this.#clearUntil) || isEndless(this.#opaqueUntil);
    return this.#isPending || isClear || this.#keyed.length === 0;
  }

  /** True if the latest revision lets this address speak, or any. */
  isSource(address: string): boolean {
    return this.#sources === undefined || this.#sources.has(address);
  }

  /**
   * Takes what the latest revision says of this destination: one stream, or several that share it.
   * Returns false if nothing changed that decides what is opened.
   */
  change(streams: readonly OrderStream[], now: Millis): boolean {
    const digest = digestOf(
      streams.map(({ media, source, protection }) => [media, source, protection]),
    );
    if (digest === this.#digest) return false;
    this.#digest = digest;
    const rtp = streams.filter(({ media }) => !OPAQUE_MEDIA.has(media));
    this.#isPending = rtp.some(({ protection }) => protection.kind === "pending");
    const isClear = rtp.some(({ protection }) => protection.kind === "rtp");
    const isOpaque = rtp.length < streams.length;
    this.#impossible = undefined;
    const isKeyed = rtp.filter((stream) => this.#addKey(stream)).length > 0;
    // An offer alone takes nothing back.
    if (isClear || isOpaque || isKeyed) {
      this.#clearUntil = prolonged(this.#clearUntil, isClear, now);
      this.#opaqueUntil = prolonged(this.#opaqueUntil, isOpaque, now);
    }
    this.#changeSources(streams, now);
    return true;
  }

  /** Tries each packet; what was opened is never opened again. */
  open(packets: readonly MediaPacket[], now: Millis): readonly Attempt[] {
    const attempts = this.openProven(packets);
    return packets.map((packet, at) => {
      const attempt = attempts[at] ?? UNKEYED;
      return isProven(attempt) ? attempt : this.#takeUnproven(packet, attempt, now);
    });
  }

  /** Tries each packet under the keys alone. */
  openProven(packets: readonly MediaPacket[]): readonly Attempt[] {
    const attempts: Attempt[] = packets.map(() => UNKEYED);
    for (const [age, keyed] of this.#keyed.entries()) {
      const untried = attempts.flatMap(({ kind }, at) => (kind === "unopened" ? [at] : []));
      const results = unprotectMixed(
        keyed.receiver,
        untried.map((at) => packets[at]?.udp.payload ?? Buffer.alloc(0)),
      );
      for (const [position, at] of untried.entries()) {
        const attempt = attemptOf(results[position], keyed);
        if (age === 0 || isProven(attempt)) attempts[at] = attempt;
      }
    }
    return attempts;
  }

  /** Makes this key the first to be tried; true if the stream is one with a key. */
  #addKey({ protection }: OrderStream): boolean {
    if (protection.kind !== "srtp") return false;
    const digest = digestOf(protection);
    const known = this.#keyed.find((keyed) => keyed.digest === digest);
    const choice = known ? { kind: "known" as const } : chooseReceiver(protection, this.#history);
    if (choice.kind === "impossible") {
      this.#impossible = choice.because;
      return true;
    }
    const first =
      choice.kind === "ready"
        ? { digest, receiver: choice.receiver, key: this.#nextKey++ }
        : (known as Keyed);
    const others = this.#keyed.filter((keyed) => keyed !== known);
    this.#keyed = [first, ...others].slice(0, MAX_RECEIVERS);
    return true;
  }

  #changeSources(streams: readonly OrderStream[], now: Millis): void {
    const addresses = streams.map(({ source }) => source?.address);
    const known = addresses.filter((address) => address !== undefined);
    this.#formerSources = { sources: this.#sources, until: now + GRACE_MS };
    this.#sources = known.length < addresses.length ? undefined : new Set(known);
  }

  /** Without a key, the signalled address is all there is to go by. */
  #takeUnproven(packet: MediaPacket, attempt: Attempt, now: Millis): Attempt {
    const { payload } = packet.udp;
    const isRtp = isRtcp(payload) || rtpHeaderBytes(payload) !== undefined;
    const isClear = this.#isClear(payload, now);
    const isOpaque = isEndless(this.#opaqueUntil)
      ? !(isRtp && isClear)
      : this.#opaqueUntil > now && !isRtp;
    if (!isClear && !isOpaque) return attempt;
    if (this.#isFromElsewhere(packet, now)) return { kind: "rejected", reason: "source" };
    if (isOpaque) return { kind: "opened", payload: Buffer.from(payload), isAuthenticated: false };
    const [result] = unprotectMixed(this.#clear, [payload]);
    return attemptOf(result, { receiver: this.#clear, key: 0 });
  }

  /** After the stream got a key only what goes on from before can be plain. */
  #isClear(payload: Buffer, now: Millis): boolean {
    if (isEndless(this.#clearUntil)) return true;
    return this.#clearUntil > now && this.#clear.isKnownSource(payload);
  }

  #isFromElsewhere({ udp }: MediaPacket, now: Millis): boolean {
    const former = this.#formerSources;
    if (this.isSource(udp.source)) return false;
    if (former === undefined || former.until <= now) return true;
    return former.sources !== undefined && !former.sources.has(udp.source);
  }
}

const isEndless = (until: Millis): boolean => until === Number.POSITIVE_INFINITY;

const UNKEYED: Attempt = { kind: "unopened", reason: "no key" };

/** True if a tag was right: opened, or a replay, or beyond a limit. */
export const isProven = (attempt: Attempt): boolean =>
  attempt.kind === "opened" || (attempt.kind === "rejected" && attempt.reason !== "syntax");

function attemptOf(
  result: UnprotectResult | undefined,
  { receiver, key }: Pick<Keyed, "receiver" | "key">,
): Attempt {
  if (result?.kind === "ok")
    return {
      kind: "opened",
      payload: result.packet,
      isAuthenticated: receiver.isAuthenticating,
      rtp: { index: result.index, key },
    };
  if (result?.reason === "authentication") return { kind: "unopened", reason: "authentication" };
  return { kind: "rejected", reason: result?.reason ?? "syntax" };
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

/** What is wanted has no end; what was wanted has a near one. */
function prolonged(until: Millis, isWanted: boolean, now: Millis): Millis {
  if (isWanted) return Number.POSITIVE_INFINITY;
  return isEndless(until) ? now + GRACE_MS : until;
}

/** Tells whether a revision brings another key, without keeping the key. */
const digestOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex");
