/**
 * STUN Binding on a SIP port: how a phone behind a NAT keeps its UDP flow alive and notices when
 * it has moved (RFC 5626 §3.5.2, §8; RFC 8489 §5, §14). Pure. No other method, no credentials.
 *
 * ```text
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * |0 0|       type (14)           |  octets after this header     |
 * |                    magic cookie 0x2112A442                    |
 * |                  transaction id (96 bits)                     |
 * |  attribute: type (16), length (16), value, padded to 32 bits  |
 * ```
 */
import { parseAddress } from "../net/address.ts";

const HEADER_BYTES = 20;
const COOKIE = 0x2112a442;
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const BINDING_ERROR = 0x0111;
const XOR_MAPPED_ADDRESS = 0x0020;
const ERROR_CODE = 0x0009;
const UNKNOWN_ATTRIBUTES = 0x000a;
/** Attributes from here on may be ignored (§14). */
const FIRST_OPTIONAL = 0x8000;
const FAMILY = { 4: 0x01, 6: 0x02 } as const;
/** Unknown attributes that an answer names: it stays smaller than what asked for it. */
const MAX_NAMED = 4;

/** True for what cannot be SIP, whose first octet is a letter: STUN begins with two zero bits. */
export const isStun = (octets: Buffer): boolean =>
  octets.length >= HEADER_BYTES && octets.readUInt8(0) < 0x40 && octets.readUInt32BE(4) === COOKIE;

/**
 * The answer to a Binding request: where it came from (§14.2), or 420 for attributes that must be
 * understood and are not (§6.3.1). Undefined for everything else, which is to be ignored.
 */
export function answerBinding(
  request: Buffer,
  from: { readonly address: string; readonly port: number },
): Buffer | undefined {
  if (!isStun(request) || request.readUInt16BE(0) !== BINDING_REQUEST) return undefined;
  if (request.readUInt16BE(2) !== request.length - HEADER_BYTES) return undefined;
  const unknown = unknownAttributes(request);
  if (unknown === undefined) return undefined;
  return unknown.length > 0
    ? encode(request, BINDING_ERROR, Buffer.concat([error420(), unknownList(unknown)]))
    : encode(request, BINDING_SUCCESS, mappedAddress(request, from));
}

/** Types of attributes that may not be ignored; undefined if the attributes do not add up. */
function unknownAttributes(request: Buffer): number[] | undefined {
  const found: number[] = [];
  let at = HEADER_BYTES;
  while (at + 4 <= request.length) {
    const type = request.readUInt16BE(at);
    if (type < FIRST_OPTIONAL) found.push(type);
    at += 4 + padded(request.readUInt16BE(at + 2));
  }
  return at === request.length ? found : undefined;
}

const padded = (bytes: number): number => (bytes + 3) & ~3;

function encode(request: Buffer, type: number, attributes: Buffer): Buffer {
  const header = Buffer.from(request.subarray(0, HEADER_BYTES));
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(attributes.length, 2);
  return Buffer.concat([header, attributes]);
}

function attribute(type: number, value: Uint8Array): Buffer {
  const made = Buffer.alloc(4 + padded(value.length));
  made.writeUInt16BE(type, 0);
  made.writeUInt16BE(value.length, 2);
  made.set(value, 4);
  return made;
}

/** Address and port, hidden from NATs that rewrite what looks like one by XOR with the header. */
function mappedAddress(
  request: Buffer,
  { address, port }: { readonly address: string; readonly port: number },
): Buffer {
  const { family, octets } = parseAddress(address);
  const value = Buffer.alloc(4 + octets.length);
  value.writeUInt8(FAMILY[family], 1);
  value.writeUInt16BE(port ^ (COOKIE >>> 16), 2);
  const mask = request.subarray(4);
  octets.forEach((octet, index) => {
    value[4 + index] = octet ^ (mask[index] ?? 0);
  });
  return attribute(XOR_MAPPED_ADDRESS, value);
}

const error420 = (): Buffer => attribute(ERROR_CODE, Buffer.from([0, 0, 4, 20]));

function unknownList(types: readonly number[]): Buffer {
  const named = types.slice(0, MAX_NAMED);
  const value = Buffer.alloc(2 * named.length);
  named.forEach((type, index) => void value.writeUInt16BE(type, 2 * index));
  return attribute(UNKNOWN_ATTRIBUTES, value);
}
