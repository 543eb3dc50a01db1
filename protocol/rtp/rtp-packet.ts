/**
 * RTP packets (RFC 3550 §5.1). Pure.
 *
 * ```text
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * |V=2|P|X|  CC   |M|     PT      |       sequence number         |
 * |                           timestamp                           |
 * |           synchronization source (SSRC) identifier            |
 * |            contributing source (CSRC) identifiers, CC of them |
 * |      extension profile        |   extension words, if X       |
 * ```
 */
import { ProtocolError } from "../errors.ts";

export interface RtpPacket {
  readonly marker: boolean;
  readonly payloadType: number;
  readonly sequenceNumber: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly csrcs: readonly number[];
  readonly extension?: RtpExtension;
  readonly payload: Buffer;
  /** Octets of padding after the payload, its count octet included; absent or 0: none. */
  readonly paddingBytes?: number;
}

export interface RtpExtension {
  /** The 16 bits "defined by profile" (§5.3.1). */
  readonly profile: number;
  /** A whole number of 32-bit words. */
  readonly content: Buffer;
}

const RTP_HEADER_BYTES_MIN = 12;
const VERSION = 2;
const CSRCS_MAX = 15;
const EXTENSION_WORDS_MAX = 0xffff;

/**
 * Octets of header, CSRC list and extension; `undefined` if this is no RTP packet of version 2
 * or ends before its header does.
 */
export function rtpHeaderBytes(octets: Uint8Array): number | undefined {
  const [first = 0] = octets;
  if (octets.length < RTP_HEADER_BYTES_MIN || first >> 6 !== VERSION) return undefined;
  const fixed = RTP_HEADER_BYTES_MIN + 4 * (first & 0x0f);
  if ((first & 0x10) === 0) return fixed <= octets.length ? fixed : undefined;
  if (fixed + 4 > octets.length) return undefined;
  const words = ((octets[fixed + 2] ?? 0) << 8) | (octets[fixed + 3] ?? 0);
  const whole = fixed + 4 + 4 * words;
  return whole <= octets.length ? whole : undefined;
}

/**
 * Reads one packet; payload and extension are views of `octets`.
 * @throws ProtocolError `ERR_RTP_SYNTAX`.
 */
export function decodeRtp(octets: Uint8Array): RtpPacket {
  const headerBytes = rtpHeaderBytes(octets);
  if (headerBytes === undefined) throw new ProtocolError("ERR_RTP_SYNTAX", "not an RTP packet");
  const packet = Buffer.from(octets.buffer, octets.byteOffset, octets.length);
  const [first, second] = [packet.readUInt8(0), packet.readUInt8(1)];
  const csrcs = Array.from({ length: first & 0x0f }, (_, at) =>
    packet.readUInt32BE(RTP_HEADER_BYTES_MIN + 4 * at),
  );
  const paddingBytes = (first & 0x20) === 0 ? 0 : readPadding(packet, headerBytes);
  return {
    marker: (second & 0x80) !== 0,
    payloadType: second & 0x7f,
    sequenceNumber: packet.readUInt16BE(2),
    timestamp: packet.readUInt32BE(4),
    ssrc: packet.readUInt32BE(8),
    csrcs,
    ...((first & 0x10) !== 0 && { extension: readExtension(packet, csrcs.length, headerBytes) }),
    payload: packet.subarray(headerBytes, packet.length - paddingBytes),
    ...(paddingBytes > 0 && { paddingBytes }),
  };
}

/**
 * Writes one packet.
 * @throws RangeError for a field that does not fit, or an extension of broken words.
 */
export function encodeRtp(packet: RtpPacket): Buffer {
  const { csrcs, extension, payload, paddingBytes = 0 } = packet;
  if (csrcs.length > CSRCS_MAX) throw new RangeError("at most 15 CSRCs");
  if (packet.payloadType > 0x7f) throw new RangeError("payload type beyond 127");
  const header = Buffer.alloc(RTP_HEADER_BYTES_MIN + 4 * csrcs.length);
  const flags = (paddingBytes > 0 ? 0x20 : 0) | (extension === undefined ? 0 : 0x10);
  header.writeUInt8((VERSION << 6) | flags | csrcs.length, 0);
  header.writeUInt8((packet.marker ? 0x80 : 0) | packet.payloadType, 1);
  header.writeUInt16BE(packet.sequenceNumber, 2);
  header.writeUInt32BE(packet.timestamp, 4);
  header.writeUInt32BE(packet.ssrc, 8);
  for (const [at, csrc] of csrcs.entries())
    header.writeUInt32BE(csrc, RTP_HEADER_BYTES_MIN + 4 * at);
  const padding = Buffer.alloc(paddingBytes);
  if (paddingBytes > 0) padding.writeUInt8(paddingBytes, paddingBytes - 1);
  return Buffer.concat([header, ...encodeExtension(extension), payload, padding]);
}

/** The last octet counts the padding, itself included. */
function readPadding(packet: Buffer, headerBytes: number): number {
  const count = packet.readUInt8(packet.length - 1);
  if (count === 0 || headerBytes + count > packet.length)
    throw new ProtocolError("ERR_RTP_SYNTAX", "padding longer than the payload");
  return count;
}

function readExtension(packet: Buffer, csrcCount: number, headerBytes: number): RtpExtension {
  const start = RTP_HEADER_BYTES_MIN + 4 * csrcCount;
  return { profile: packet.readUInt16BE(start), content: packet.subarray(start + 4, headerBytes) };
}

function encodeExtension(extension: RtpExtension | undefined): Buffer[] {
  if (extension === undefined) return [];
  const words = extension.content.length / 4;
  if (!Number.isInteger(words) || words > EXTENSION_WORDS_MAX)
    throw new RangeError("extension is not a whole number of words");
  const head = Buffer.alloc(4);
  head.writeUInt16BE(extension.profile, 0);
  head.writeUInt16BE(words, 2);
  return [head, extension.content];
}
