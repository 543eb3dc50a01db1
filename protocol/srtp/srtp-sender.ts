/**
 * The sending half of SRTP and SRTCP (RFC 3711 §3.3, §3.4). A machine without time. Pure.
 */
import { ProtocolError } from "../errors.ts";
import { rtpHeaderBytes } from "../rtp/rtp-packet.ts";
import { SRTP_SUITES } from "../rtp/srtp-suite.ts";
import { estimateIndex, rolloverCounterOf } from "./packet-index.ts";
import { type MasterKey, PacketKeys } from "./packet-keys.ts";
import { RTCP_CLEAR_BYTES, SRTCP_ENCRYPTED, SRTCP_INDEX_MAX } from "./srtcp-layout.ts";

export class SrtpSender {
  readonly #rtp: PacketKeys;
  readonly #rtcp: PacketKeys;
  readonly #lifetimePackets: number;
  /** Highest index used, by SSRC. */
  readonly #rtpIndices = new Map<number, number>();
  readonly #rtcpIndices = new Map<number, number>();
  #rtpPackets = 0;
  #rtcpPackets = 0;

  /** @throws RangeError for a suite without support, or key octets of another length. */
  constructor(master: MasterKey) {
    this.#rtp = new PacketKeys(master, "rtp");
    this.#rtcp = new PacketKeys(master, "rtcp");
    this.#lifetimePackets = master.lifetimePackets ?? SRTP_SUITES[master.suite].lifetimePackets;
  }

  /**
   * Protects one RTP packet. Each SSRC starts at rollover counter 0; its sequence numbers go up.
   * @throws RangeError for what is no RTP packet, or an index not above the last: the same
   *   keystream would be used twice. ProtocolError `ERR_SRTP_LIMIT` after the key's lifetime.
   */
  protectRtp(packet: Uint8Array): Buffer {
    const headerBytes = rtpHeaderBytes(packet);
    if (headerBytes === undefined) throw new RangeError("not an RTP packet");
    if (this.#rtpPackets >= this.#lifetimePackets) throw lifetimeOver();
    const sealed = Buffer.from(packet);
    const [sequenceNumber, ssrc] = [sealed.readUInt16BE(2), sealed.readUInt32BE(8)];
    const last = this.#rtpIndices.get(ssrc);
    const index = last === undefined ? sequenceNumber : estimateIndex(last, sequenceNumber);
    if (last !== undefined && index <= last)
      throw new RangeError("RTP sequence number used before");

    this.#rtp.cipher.apply(sealed.subarray(headerBytes), ssrc, index);
    this.#rtpIndices.set(ssrc, index);
    this.#rtpPackets += 1;
    return Buffer.concat([sealed, this.#rtp.trailer(sealed, rolloverCounterOf(index))]);
  }

  /**
   * Protects one compound RTCP packet under the next SRTCP index of its first SSRC.
   * @throws RangeError for fewer than 8 octets; ProtocolError `ERR_SRTP_LIMIT`.
   */
  protectRtcp(packet: Uint8Array): Buffer {
    if (packet.length < RTCP_CLEAR_BYTES) throw new RangeError("not an RTCP packet");
    const sealed = Buffer.alloc(packet.length + 4);
    sealed.set(packet);
    const ssrc = sealed.readUInt32BE(4);
    const index = (this.#rtcpIndices.get(ssrc) ?? -1) + 1;
    if (this.#rtcpPackets >= this.#lifetimePackets || index > SRTCP_INDEX_MAX) throw lifetimeOver();

    this.#rtcp.cipher.apply(sealed.subarray(RTCP_CLEAR_BYTES, packet.length), ssrc, index);
    sealed.writeUInt32BE((SRTCP_ENCRYPTED | index) >>> 0, packet.length);
    this.#rtcpIndices.set(ssrc, index);
    this.#rtcpPackets += 1;
    return Buffer.concat([sealed, this.#rtcp.trailer(sealed)]);
  }
}

const lifetimeOver = (): ProtocolError =>
  new ProtocolError("ERR_SRTP_LIMIT", "master key has protected all the packets it may");
