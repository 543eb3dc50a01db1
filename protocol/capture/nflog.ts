/**
 * NFLOG messages as `cap` hands them over: link type 239 of the tcpdump registry, that is Linux's
 * `nfulnl_msg` attributes behind a head of 4 octets. Pure.
 *
 * ```text
 *  0       1       2               4
 * | family | 0     | group (BE)    | TLV | TLV | ...
 *
 *  TLV: length (host order, with this head) | type (host order) | value, padded to 4
 * ```
 * Host order is little-endian: the product runs on x86-64 and arm64 alone.
 */
import { ProtocolError } from "../errors.ts";

export interface NflogMessage {
  readonly family: 4 | 6;
  readonly group: number;
  /** The packet from its IP header on, as far as the rule's snaplen went. A view into the message. */
  readonly payload: Buffer;
  /** The kernel's time of the packet, microseconds since the Unix epoch; absent if the kernel gave none. */
  readonly captureMicros?: number;
  /** The prefix of the rule that copied the packet. */
  readonly prefix?: string;
}

const HEAD_BYTES = 4;
const TLV_HEAD_BYTES = 4;
const AF_INET = 2;
const AF_INET6 = 10;
const NFULA_TIMESTAMP = 3;
const NFULA_PAYLOAD = 9;
const NFULA_PREFIX = 10;
const TYPE_MASK = 0x7fff;
const TIMESTAMP_BYTES = 16;

/**
 * Decodes one NFLOG message; attributes it does not name are passed over.
 * @throws ProtocolError `ERR_CAPTURE_SYNTAX`.
 */
export function decodeNflog(octets: Uint8Array): NflogMessage {
  const message = view(octets);
  if (message.length < HEAD_BYTES) throw syntax("shorter than its head");
  const attributes = decodeAttributes(message);
  const payload = attributes.get(NFULA_PAYLOAD);
  if (payload === undefined) throw syntax("no packet inside");
  const captureMicros = decodeTimestamp(attributes.get(NFULA_TIMESTAMP));
  const prefix = attributes.get(NFULA_PREFIX)?.toString("latin1").replace(/\0+$/, "");
  return {
    family: decodeFamily(message.readUInt8(0)),
    group: message.readUInt16BE(2),
    payload,
    ...(captureMicros === undefined ? {} : { captureMicros }),
    ...(prefix === undefined ? {} : { prefix }),
  };
}

/**
 * Encodes a message that `decodeNflog` reads back, as the kernel would lay it out.
 * @throws RangeError for a payload that no 16-bit length can state.
 */
export function encodeNflog(message: NflogMessage): Buffer {
  const head = Buffer.from([message.family === 4 ? AF_INET : AF_INET6, 0, 0, 0]);
  head.writeUInt16BE(message.group, 2);
  const parts: Buffer[] = [head];
  if (message.prefix !== undefined)
    parts.push(encodeAttribute(NFULA_PREFIX, Buffer.from(`${message.prefix}\0`, "latin1")));
  if (message.captureMicros !== undefined)
    parts.push(encodeAttribute(NFULA_TIMESTAMP, encodeTimestamp(message.captureMicros)));
  parts.push(encodeAttribute(NFULA_PAYLOAD, message.payload));
  return Buffer.concat(parts);
}

function decodeAttributes(message: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  let offset = HEAD_BYTES;
  while (offset < message.length) {
    if (offset + TLV_HEAD_BYTES > message.length) throw syntax("an attribute cut in its head");
    const length = message.readUInt16LE(offset);
    const type = message.readUInt16LE(offset + 2) & TYPE_MASK;
    if (length < TLV_HEAD_BYTES || offset + length > message.length)
      throw syntax("an attribute's length does not fit");
    if (!attributes.has(type))
      attributes.set(type, message.subarray(offset + TLV_HEAD_BYTES, offset + length));
    offset += pad4(length);
  }
  return attributes;
}

function decodeFamily(family: number): 4 | 6 {
  if (family === AF_INET) return 4;
  if (family === AF_INET6) return 6;
  throw syntax("neither IPv4 nor IPv6");
}

function decodeTimestamp(value: Buffer | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (value.length !== TIMESTAMP_BYTES) throw syntax("a timestamp of another size");
  const micros = value.readBigUInt64BE(0) * 1_000_000n + value.readBigUInt64BE(8);
  if (micros > BigInt(Number.MAX_SAFE_INTEGER)) throw syntax("a timestamp beyond all dates");
  return Number(micros);
}

function encodeTimestamp(captureMicros: number): Buffer {
  const value = Buffer.alloc(TIMESTAMP_BYTES);
  value.writeBigUInt64BE(BigInt(Math.floor(captureMicros / 1_000_000)), 0);
  value.writeBigUInt64BE(BigInt(captureMicros % 1_000_000), 8);
  return value;
}

function encodeAttribute(type: number, value: Uint8Array): Buffer {
  const length = TLV_HEAD_BYTES + value.length;
  const attribute = Buffer.alloc(pad4(length));
  attribute.writeUInt16LE(length, 0);
  attribute.writeUInt16LE(type, 2);
  attribute.set(value, TLV_HEAD_BYTES);
  return attribute;
}

const pad4 = (length: number) => (length + 3) & ~3;

function view(octets: Uint8Array): Buffer {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
}

function syntax(what: string): ProtocolError {
  return new ProtocolError("ERR_CAPTURE_SYNTAX", `NFLOG message: ${what}`);
}
