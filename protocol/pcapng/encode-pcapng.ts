/**
 * Writes pcapng (draft-ietf-opsawg-pcapng §3, §4): section header, interface descriptions and
 * enhanced packets, little-endian, microsecond times, raw IP packets. Pure.
 */

export const BLOCK_CODES = {
  sectionHeader: 0x0a0d0d0a,
  interfaceDescription: 1,
  enhancedPacket: 6,
} as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
/** LINKTYPE_RAW: a packet begins with its IPv4 or IPv6 header. */
export const LINKTYPE_RAW = 101;

/** Option codes used here: §3.5, and tables of §4.1, §4.2. */
export const OPTIONS = {
  endOfOptions: 0,
  comment: 1,
  interfaceName: 2,
  interfaceDescription: 3,
  timestampResolution: 9,
  userApplication: 4,
} as const;

/** Octets of text in one option. */
export const MAX_COMMENT_BYTES = 1024;

export interface PcapngInterface {
  readonly name: string;
  readonly description: string;
}

export interface PcapngPacket {
  /** Index of its interface in the section, from 0. */
  readonly interfaceId: number;
  /** Microseconds since the Unix epoch. */
  readonly micros: number;
  /** The packet from its IP header on. */
  readonly octets: Uint8Array;
  readonly comment?: string;
}

/** The beginning of a section: its header and its interfaces, all LINKTYPE_RAW in microseconds. */
export function encodeSection(application: string, interfaces: readonly PcapngInterface[]): Buffer {
  return Buffer.concat([encodeSectionHeader(application), ...interfaces.map(encodeInterface)]);
}

/** One enhanced packet block. @throws RangeError for a comment over `MAX_COMMENT_BYTES`. */
export function encodePacket(packet: PcapngPacket): Buffer {
  const { octets, micros } = packet;
  const fixed = Buffer.alloc(20);
  fixed.writeUInt32LE(packet.interfaceId, 0);
  fixed.writeUInt32LE(Math.floor(micros / 2 ** 32), 4);
  fixed.writeUInt32LE(micros % 2 ** 32, 8);
  fixed.writeUInt32LE(octets.length, 12);
  fixed.writeUInt32LE(octets.length, 16);
  const options = packet.comment === undefined ? [] : [text(OPTIONS.comment, packet.comment)];
  return encodeBlock(BLOCK_CODES.enhancedPacket, [fixed, padded(octets), ...endOptions(options)]);
}

function encodeSectionHeader(application: string): Buffer {
  const fixed = Buffer.alloc(16);
  fixed.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  fixed.writeUInt16LE(1, 4); // version 1.0
  fixed.writeBigInt64LE(-1n, 8); // section length not stated
  const options = endOptions([text(OPTIONS.userApplication, application)]);
  return encodeBlock(BLOCK_CODES.sectionHeader, [fixed, ...options]);
}

function encodeInterface({ name, description }: PcapngInterface): Buffer {
  const fixed = Buffer.alloc(8);
  fixed.writeUInt16LE(LINKTYPE_RAW, 0); // snap length 0: no limit
  const options = endOptions([
    text(OPTIONS.interfaceName, name),
    text(OPTIONS.interfaceDescription, description),
    option(OPTIONS.timestampResolution, Buffer.of(6)),
  ]);
  return encodeBlock(BLOCK_CODES.interfaceDescription, [fixed, ...options]);
}

function encodeBlock(code: number, parts: readonly Uint8Array[]): Buffer {
  const bytes = 12 + parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(code, 0);
  head.writeUInt32LE(bytes, 4);
  return Buffer.concat([head, ...parts, head.subarray(4)]);
}

const endOptions = (options: readonly Buffer[]) =>
  options.length === 0 ? [] : [...options, Buffer.alloc(4)];

function text(code: number, value: string): Buffer {
  const octets = Buffer.from(value, "utf8");
  if (octets.length > MAX_COMMENT_BYTES) throw new RangeError(`option of ${octets.length} octets`);
  return option(code, octets);
}

function option(code: number, value: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value)]);
}

const padded = (octets: Uint8Array) => Buffer.concat([octets], Math.ceil(octets.length / 4) * 4);
