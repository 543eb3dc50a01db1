/**
 * IPv4 (RFC 791) and IPv6 (RFC 8200) headers of captured packets. Pure.
 * Checksums are written but not checked: the kernel checks what it forwards, and on virtual links they are still to
 * be filled in when the packet is copied.
 */
import { ProtocolError } from "../errors.ts";
import { decodeAddress, parseAddress } from "../net/address.ts";

export interface IpPacket {
  /** Canonical text, as `parseAddress` gives it. */
  readonly source: string;
  readonly destination: string;
  /** The protocol of the payload; extension headers are passed over. */
  readonly protocol: number;
  /** A view into the octets decoded. */
  readonly payload: Buffer;
}

export const PROTOCOL_UDP = 17;

const FOUR_HEADER_BYTES = 20;
const SIX_HEADER_BYTES = 40;
const HOP_LIMIT = 64;
const FRAGMENT_HEADER = 44;
const FRAGMENT_HEADER_BYTES = 8;
/** Hop-by-hop options, routing, destination options (RFC 8200 §4): all of one shape. */
const OPTION_HEADERS: ReadonlySet<number> = new Set([0, 43, 60]);
/** More extension headers than this is no packet that carries media. */
export const MAX_EXTENSION_HEADERS = 8;

/**
 * Decodes a whole packet; octets behind its stated length are link padding and left out.
 * @throws ProtocolError `ERR_CAPTURE_SYNTAX`, also for a fragment or a packet cut short.
 */
export function decodeIp(octets: Uint8Array): IpPacket {
  const packet = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
  const version = packet.length === 0 ? 0 : packet.readUInt8(0) >> 4;
  if (version === 4) return decodeFour(packet);
  if (version === 6) return decodeSix(packet);
  throw syntax("neither version 4 nor 6");
}

/**
 * Encodes a packet without options, hop limit 64.
 * @throws ProtocolError `ERR_ADDRESS`; RangeError for addresses of two families or an oversized payload.
 */
export function encodeIp(packet: IpPacket): Buffer {
  const source = parseAddress(packet.source);
  const destination = parseAddress(packet.destination);
  if (source.family !== destination.family) throw new RangeError("addresses of two families");
  const header = source.family === 4 ? headerFour(packet) : headerSix(packet);
  const at = source.family === 4 ? 12 : 8;
  header.set(source.octets, at);
  header.set(destination.octets, at + source.octets.length);
  if (source.family === 4) header.writeUInt16BE(internetChecksum([header]), 10);
  return Buffer.concat([header, packet.payload]);
}

/** The ones' complement sum of RFC 1071 over the parts, each but the last of even length. */
export function internetChecksum(parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts)
    for (const [index, octet] of part.entries()) sum += index % 2 === 0 ? octet << 8 : octet;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

function decodeFour(packet: Buffer): IpPacket {
  if (packet.length < FOUR_HEADER_BYTES) throw syntax("cut in its header");
  const headerBytes = (packet.readUInt8(0) & 0x0f) * 4;
  const totalBytes = packet.readUInt16BE(2);
  if (headerBytes < FOUR_HEADER_BYTES || totalBytes < headerBytes) throw syntax("lengths disagree");
  if (totalBytes > packet.length) throw syntax("cut short");
  if ((packet.readUInt16BE(6) & 0x3fff) !== 0) throw syntax("a fragment");
  return {
    source: decodeAddress(packet.subarray(12, 16)).text,
    destination: decodeAddress(packet.subarray(16, 20)).text,
    protocol: packet.readUInt8(9),
    payload: packet.subarray(headerBytes, totalBytes),
  };
}

function decodeSix(packet: Buffer): IpPacket {
  if (packet.length < SIX_HEADER_BYTES) throw syntax("cut in its header");
  const end = SIX_HEADER_BYTES + packet.readUInt16BE(4);
  if (end > packet.length) throw syntax("cut short");
  return {
    source: decodeAddress(packet.subarray(8, 24)).text,
    destination: decodeAddress(packet.subarray(24, 40)).text,
    ...skipExtensions(packet.readUInt8(6), packet.subarray(SIX_HEADER_BYTES, end)),
  };
}

function skipExtensions(first: number, rest: Buffer): Pick<IpPacket, "protocol" | "payload"> {
  let [protocol, payload] = [first, rest];
  for (let headers = 0; headers <= MAX_EXTENSION_HEADERS; headers += 1) {
    const isFragment = protocol === FRAGMENT_HEADER;
    if (!isFragment && !OPTION_HEADERS.has(protocol)) return { protocol, payload };
    if (payload.length < 8) throw syntax("cut in an extension header");
    if (isFragment && (payload.readUInt16BE(2) & 0xfff9) !== 0) throw syntax("a fragment");
    const bytes = isFragment ? FRAGMENT_HEADER_BYTES : (payload.readUInt8(1) + 1) * 8;
    if (bytes > payload.length) throw syntax("cut in an extension header");
    [protocol, payload] = [payload.readUInt8(0), payload.subarray(bytes)];
  }
  throw syntax("too many extension headers");
}

function headerFour(packet: IpPacket): Buffer {
  const header = Buffer.alloc(FOUR_HEADER_BYTES);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(FOUR_HEADER_BYTES + packet.payload.length, 2);
  header.writeUInt16BE(0x4000, 6); // do not fragment
  header.writeUInt8(HOP_LIMIT, 8);
  header.writeUInt8(packet.protocol, 9);
  return header;
}

function headerSix(packet: IpPacket): Buffer {
  const header = Buffer.alloc(SIX_HEADER_BYTES);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(packet.payload.length, 4);
  header.writeUInt8(packet.protocol, 6);
  header.writeUInt8(HOP_LIMIT, 7);
  return header;
}

function syntax(what: string): ProtocolError {
  return new ProtocolError("ERR_CAPTURE_SYNTAX", `IP packet: ${what}`);
}
