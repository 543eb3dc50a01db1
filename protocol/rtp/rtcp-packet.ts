/**
 * RTCP compound packets: sender and receiver reports, source descriptions, goodbyes
 * (RFC 3550 §6). Pure. Other packet types pass through as octets.
 */
import { ProtocolError } from "../errors.ts";
import { type ReportBlock, readReportBlocks, writeReportBlocks } from "./report-block.ts";
import {
  readGoodbye,
  readSourceDescription,
  type SourceChunk,
  writeGoodbye,
  writeSourceDescription,
} from "./source-lists.ts";

export type RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye | OtherRtcp;

export interface SenderReport {
  readonly kind: "sender-report";
  readonly ssrc: number;
  /** NTP time: 32 bits of seconds since 1900, 32 bits of fraction. */
  readonly ntpTimestamp: bigint;
  /** The same instant on the clock of the media. */
  readonly rtpTimestamp: number;
  readonly packetCount: number;
  readonly octetCount: number;
  readonly reports: readonly ReportBlock[];
}

export interface ReceiverReport {
  readonly kind: "receiver-report";
  readonly ssrc: number;
  readonly reports: readonly ReportBlock[];
}

export interface SourceDescription {
  readonly kind: "source-description";
  readonly chunks: readonly SourceChunk[];
}

export interface Goodbye {
  readonly kind: "goodbye";
  readonly ssrcs: readonly number[];
  readonly reason?: string;
}

export interface OtherRtcp {
  readonly kind: "other";
  readonly packetType: number;
  /** The five bits beside the version: a count or a format. */
  readonly count: number;
  /** What follows the 4 octets of header; a whole number of words. */
  readonly body: Buffer;
}

const HEADER_BYTES = 4;
const VERSION = 2;
const COUNT_MAX = 31;
const TYPES = {
  "sender-report": 200,
  "receiver-report": 201,
  "source-description": 202,
  goodbye: 203,
} as const;

/**
 * Reads a compound packet. Reduced-size packets (RFC 5506), which begin with no report, are
 * taken too.
 * @throws ProtocolError `ERR_RTCP_SYNTAX`.
 */
export function decodeRtcp(octets: Uint8Array): readonly RtcpPacket[] {
  const compound = Buffer.from(octets.buffer, octets.byteOffset, octets.length);
  if (compound.length === 0) throw new ProtocolError("ERR_RTCP_SYNTAX", "no RTCP packet");
  const packets: RtcpPacket[] = [];
  for (let at = 0; at < compound.length; ) {
    const end = packetEnd(compound, at);
    packets.push(decodeOne(compound.subarray(at, end), end === compound.length));
    at = end;
  }
  return packets;
}

/**
 * Writes packets as one compound packet.
 * @throws RangeError for more than 31 blocks, chunks or sources, a text beyond 255 octets, or
 *   a body that is not a whole number of words.
 */
export function encodeRtcp(packets: readonly RtcpPacket[]): Buffer {
  return Buffer.concat(packets.map(encodeOne));
}

function packetEnd(compound: Buffer, at: number): number {
  if (at + HEADER_BYTES > compound.length || compound.readUInt8(at) >> 6 !== VERSION)
    throw new ProtocolError("ERR_RTCP_SYNTAX", "not an RTCP header");
  const end = at + 4 * (compound.readUInt16BE(at + 2) + 1);
  if (end > compound.length) throw new ProtocolError("ERR_RTCP_SYNTAX", "packet is cut off");
  return end;
}

function decodeOne(packet: Buffer, isLast: boolean): RtcpPacket {
  const [first, packetType] = [packet.readUInt8(0), packet.readUInt8(1)];
  const count = first & COUNT_MAX;
  const body = packet.subarray(HEADER_BYTES, packet.length - paddingBytes(packet, isLast));
  try {
    return decodeBody(packetType, count, body);
  } catch (error) {
    // Buffer reads past the end: a count that the length does not bear out.
    if (error instanceof RangeError)
      throw new ProtocolError("ERR_RTCP_SYNTAX", "packet shorter than its count says");
    throw error;
  }
}

function decodeBody(packetType: number, count: number, body: Buffer): RtcpPacket {
  switch (packetType) {
    case TYPES["sender-report"]:
      return {
        kind: "sender-report",
        ssrc: body.readUInt32BE(0),
        ntpTimestamp: body.readBigUInt64BE(4),
        rtpTimestamp: body.readUInt32BE(12),
        packetCount: body.readUInt32BE(16),
        octetCount: body.readUInt32BE(20),
        reports: readReportBlocks(body.subarray(24), count),
      };
    case TYPES["receiver-report"]: {
      const reports = readReportBlocks(body.subarray(4), count);
      return { kind: "receiver-report", ssrc: body.readUInt32BE(0), reports };
    }
    case TYPES["source-description"]:
      return { kind: "source-description", chunks: readSourceDescription(body, count) };
    case TYPES.goodbye:
      return { kind: "goodbye", ...readGoodbye(body, count) };
    default:
      return { kind: "other", packetType, count, body };
  }
}

/** Padding may stand on the last packet only (§6.4.1). */
function paddingBytes(packet: Buffer, isLast: boolean): number {
  if ((packet.readUInt8(0) & 0x20) === 0) return 0;
  const count = packet.readUInt8(packet.length - 1);
  if (!isLast || count === 0 || count % 4 !== 0 || count > packet.length - HEADER_BYTES)
    throw new ProtocolError("ERR_RTCP_SYNTAX", "padding out of place");
  return count;
}

function encodeOne(packet: RtcpPacket): Buffer {
  switch (packet.kind) {
    case "sender-report": {
      const head = Buffer.alloc(24);
      head.writeUInt32BE(packet.ssrc, 0);
      head.writeBigUInt64BE(packet.ntpTimestamp, 4);
      head.writeUInt32BE(packet.rtpTimestamp, 12);
      head.writeUInt32BE(packet.packetCount, 16);
      head.writeUInt32BE(packet.octetCount, 20);
      return frame(TYPES[packet.kind], packet.reports.length, [
        head,
        ...writeReportBlocks(packet.reports),
      ]);
    }
    case "receiver-report": {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(packet.ssrc, 0);
      const blocks = writeReportBlocks(packet.reports);
      return frame(TYPES[packet.kind], packet.reports.length, [head, ...blocks]);
    }
    case "source-description":
      return frame(TYPES[packet.kind], packet.chunks.length, writeSourceDescription(packet.chunks));
    case "goodbye":
      return frame(TYPES[packet.kind], packet.ssrcs.length, writeGoodbye(packet));
    case "other":
      return frame(packet.packetType, packet.count, [packet.body]);
  }
}

function frame(packetType: number, count: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  if (count > COUNT_MAX) throw new RangeError("at most 31 entries in one RTCP packet");
  if (body.length % 4 !== 0) throw new RangeError("RTCP body is not a whole number of words");
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8((VERSION << 6) | count, 0);
  header.writeUInt8(packetType, 1);
  header.writeUInt16BE(body.length / 4, 2);
  return Buffer.concat([header, body]);
}
