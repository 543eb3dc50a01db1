/**
 * The receiving half of SRTP and SRTCP (RFC 3711 §3.3, §3.4). A machine without time. Pure.
 * For each packet: check (syntax, index), verify (tag), refuse what was there before (replay), commit
 * (index, window), open. What fails before the commit leaves no trace. §3.3 asks for the replay check
 * first, to save the tag of a repetition; a recorder would rather know that it is one.
 */
import { isRtcp } from "../rtp/is-rtcp.ts";
import { rtpHeaderBytes } from "../rtp/rtp-packet.ts";
import { SRTP_SUITES } from "../rtp/srtp-suite.ts";
import { estimateIndex, packetIndex, rolloverCounterOf } from "./packet-index.ts";
import { type MasterKey, PacketKeys } from "./packet-keys.ts";
import { ReplayWindow } from "./replay-window.ts";
import {
  RTCP_CLEAR_BYTES,
  SRTCP_ENCRYPTED,
  SRTCP_INDEX_BYTES,
  SRTCP_INDEX_MAX,
} from "./srtcp-layout.ts";

export type UnprotectResult =
  /** `packet` is a copy without MKI and tag; `index` the 48 bits of SRTP, the 31 of SRTCP. */
  | { readonly kind: "ok"; readonly packet: Buffer; readonly index: number }
  | { readonly kind: "rejected"; readonly reason: RejectReason };

export type RejectReason = "authentication" | "replay" | "syntax" | "limit";

/** Most SSRCs that one key opens, for RTP and for RTCP. */
export const SSRCS_MAX = 64;
/** Highest rollover counter tried on the first packet of an SSRC: some six hours of speech. */
export const FIRST_ROLLOVER_COUNTER_MAX = 16;

/** Highest indices that an SSRC was at under other keys, or on the way to another destination; few. */
export type EarlierIndices = (ssrc: number) => readonly number[];

export interface ReceiverOptions {
  /**
   * Highest rollover counter a new SSRC may start at, up to `FIRST_ROLLOVER_COUNTER_MAX`. The
   * default of 1 forgives the loss of all packets up to a rollover; more is for late joiners,
   * and costs a forged packet that many tags.
   */
  readonly firstRolloverCounterMax?: number;
  /**
   * A new SSRC may also go on from these: a new key keeps the rollover counter (RFC 3711 §3.3.1).
   * Each costs a forged packet one tag more.
   */
  readonly earlierIndices?: EarlierIndices;
}

type Streams = Map<number, ReplayWindow>;

export class SrtpReceiver {
  readonly #rtp: PacketKeys;
  readonly #rtcp: PacketKeys;
  readonly #lifetimePackets: number;
  readonly #firstRolloverCounterMax: number;
  readonly #earlierIndices: EarlierIndices;
  readonly #rtpStreams: Streams = new Map();
  readonly #rtcpStreams: Streams = new Map();
  readonly #opened = { rtp: 0, rtcp: 0 };

  /** @throws RangeError for a suite without support, key octets of another length, an option. */
  constructor(master: MasterKey, options: ReceiverOptions = {}) {
    const { firstRolloverCounterMax = 1, earlierIndices = () => [] } = options;
    if (!(firstRolloverCounterMax <= FIRST_ROLLOVER_COUNTER_MAX))
      throw new RangeError(`firstRolloverCounterMax beyond ${FIRST_ROLLOVER_COUNTER_MAX}`);
    this.#rtp = new PacketKeys(master, "rtp");
    this.#rtcp = new PacketKeys(master, "rtcp");
    this.#lifetimePackets = master.lifetimePackets ?? SRTP_SUITES[master.suite].lifetimePackets;
    this.#firstRolloverCounterMax = firstRolloverCounterMax;
    this.#earlierIndices = earlierIndices;
  }

  /** SSRCs with state, in the order in which they first proved themselves. */
  get ssrcs(): { readonly rtp: readonly number[]; readonly rtcp: readonly number[] } {
    return { rtp: [...this.#rtpStreams.keys()], rtcp: [...this.#rtcpStreams.keys()] };
  }

  /**
   * True once more packets were opened than the key may protect (§9.2): the sender is at fault
   * and should be reported. Packets are opened all the same: a listener has no say.
   */
  get isLifetimeExceeded(): boolean {
    return Math.max(this.#opened.rtp, this.#opened.rtcp) > this.#lifetimePackets;
  }

  /** Opens SRTP packets in the order given; one result each. */
  unprotectBatch(packets: readonly Uint8Array[]): readonly UnprotectResult[] {
    return packets.map((packet) => this.#unprotectRtp(packet));
  }

  /** Opens SRTCP packets in the order given; one result each. */
  unprotectRtcpBatch(packets: readonly Uint8Array[]): readonly UnprotectResult[] {
    return packets.map((packet) => this.#unprotectRtcp(packet));
  }

  #unprotectRtp(sealed: Uint8Array): UnprotectResult {
    const end = sealed.length - this.#rtp.trailerBytes;
    const headerBytes = rtpHeaderBytes(sealed);
    if (headerBytes === undefined || headerBytes > end) return rejected("syntax");
    const packet = Buffer.from(sealed.subarray(0, end));
    const [sequenceNumber, ssrc] = [packet.readUInt16BE(2), packet.readUInt32BE(8)];
    const stream = this.#rtpStreams.get(ssrc);

    const candidates = this.#candidateIndices(stream, ssrc, sequenceNumber);
    const index = candidates.find((i) => this.#rtp.isAuthentic(sealed, rolloverCounterOf(i)));
    if (index === undefined) return rejected("authentication");
    if (stream?.isFresh(index) === false) return rejected("replay");

    if (!commit(this.#rtpStreams, ssrc, index)) return rejected("limit");
    this.#opened.rtp += 1;

    this.#rtp.cipher.apply(packet.subarray(headerBytes), ssrc, index);
    return { kind: "ok", packet, index };
  }

  #unprotectRtcp(sealed: Uint8Array): UnprotectResult {
    const end = sealed.length - this.#rtcp.trailerBytes - SRTCP_INDEX_BYTES;
    if (end < RTCP_CLEAR_BYTES || !isRtcp(sealed)) return rejected("syntax");
    const packet = Buffer.from(sealed.subarray(0, end + SRTCP_INDEX_BYTES));
    const [ssrc, word] = [packet.readUInt32BE(4), packet.readUInt32BE(end)];
    const index = word & SRTCP_INDEX_MAX;
    if (!this.#rtcp.isAuthentic(sealed)) return rejected("authentication");
    if (this.#rtcpStreams.get(ssrc)?.isFresh(index) === false) return rejected("replay");

    if (!commit(this.#rtcpStreams, ssrc, index)) return rejected("limit");
    this.#opened.rtcp += 1;

    const opened = packet.subarray(0, end);
    if ((word & SRTCP_ENCRYPTED) !== 0)
      this.#rtcp.cipher.apply(opened.subarray(RTCP_CLEAR_BYTES), ssrc, index);
    return { kind: "ok", packet: opened, index };
  }

  /** One index for a known SSRC; for a new one, each that it may have started at. */
  #candidateIndices(
    stream: ReplayWindow | undefined,
    ssrc: number,
    sequenceNumber: number,
  ): readonly number[] {
    if (stream !== undefined) return [estimateIndex(stream.highest, sequenceNumber)];
    const first = Array.from({ length: this.#firstRolloverCounterMax + 1 }, (_, rolloverCounter) =>
      packetIndex(rolloverCounter, sequenceNumber),
    );
    const kept = this.#earlierIndices(ssrc).map((index) => estimateIndex(index, sequenceNumber));
    return [...new Set([...first, ...kept])];
  }
}

/** Moves the state of an SSRC, creating it if there is room; false if there is none. */
function commit(streams: Streams, ssrc: number, index: number): boolean {
  let stream = streams.get(ssrc);
  if (stream === undefined) {
    if (streams.size >= SSRCS_MAX) return false;
    stream = new ReplayWindow();
    streams.set(ssrc, stream);
  }
  stream.mark(index);
  return true;
}

const rejected = (reason: RejectReason): UnprotectResult => ({ kind: "rejected", reason });
