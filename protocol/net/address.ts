/**
 * IPv4 and IPv6 addresses and prefixes as peers write them, in one canonical form
 * (RFC 791, RFC 4291, RFC 5952), and which of them may never carry media. Pure.
 */
import ipaddr from "ipaddr.js";
import { ProtocolError } from "../errors.ts";

export interface Address {
  readonly family: 4 | 6;
  /** Canonical text: dotted decimal, or RFC 5952. Equal addresses have equal text. */
  readonly text: string;
  /** 4 or 16 octets, network order. */
  readonly octets: Buffer;
}

export interface Prefix {
  readonly address: Address;
  /** Leading bits that count, 0 to 32 or 128. */
  readonly bits: number;
  readonly text: string;
}

/** Ports below this one belong to services and never carry media. */
export const MIN_MEDIA_PORT = 1024;
export const MAX_PORT = 65_535;

const MAX_ADDRESS_CHARS = 45;
const DECIMAL_OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const FOUR_DECIMALS = new RegExp(`^${DECIMAL_OCTET}(?:\\.${DECIMAL_OCTET}){3}$`);
const SIX_SYNTAX = /^[\da-f:]+(?:\.[\d.]+)?$/i;
const MAPPED_HEAD = Buffer.from("00000000000000000000ffff", "hex");

/**
 * Parses an address without zone, brackets or shorthand such as `127.1`.
 * An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is the IPv4 address it names, so that no check is passed by
 * writing an address the other way.
 * @throws ProtocolError `ERR_ADDRESS`.
 */
export function parseAddress(text: string): Address {
  if (FOUR_DECIMALS.test(text)) return decodeAddress(Buffer.from(text.split(".").map(Number)));
  if (text.length > MAX_ADDRESS_CHARS || !SIX_SYNTAX.test(text) || !ipaddr.IPv6.isValid(text))
    throw new ProtocolError("ERR_ADDRESS", "not an IPv4 or IPv6 address");
  const octets = Buffer.from(ipaddr.IPv6.parse(text).toByteArray());
  return decodeAddress(isMapped(octets) ? octets.subarray(12) : octets);
}

/**
 * Reads 4 or 16 octets as an address.
 * @throws RangeError for another number of octets.
 */
export function decodeAddress(octets: Uint8Array): Address {
  const copy = Buffer.from(octets);
  if (copy.length === 4) return { family: 4, text: copy.join("."), octets: copy };
  if (copy.length === 16) return { family: 6, text: serializeSix(copy), octets: copy };
  throw new RangeError(`an address has 4 or 16 octets, not ${copy.length}`);
}

/**
 * True for what can be no media end on a network: unspecified, loopback, multicast, link-local, broadcast and reserved
 * (RFC 6890), and IPv6 forms that hide an IPv4 address (`::/96`, `64:ff9b::/96`) or are site-local.
 */
export function isForbiddenMediaAddress({ family, octets }: Address): boolean {
  if (family === 4) {
    const [first = 0, second] = octets;
    return first === 0 || first === 127 || first >= 224 || (first === 169 && second === 254);
  }
  return FORBIDDEN_SIX.some(({ octets: prefix, bits }) => sharesBits(prefix, octets, bits));
}

/** True for a port that may carry media: an integer from 1024 to 65535. */
export function isMediaPort(port: number): boolean {
  return Number.isInteger(port) && port >= MIN_MEDIA_PORT && port <= MAX_PORT;
}

/**
 * Parses `address/bits`; the bits beyond the prefix must be zero.
 * @throws ProtocolError `ERR_ADDRESS`.
 */
export function parsePrefix(text: string): Prefix {
  const [base = "", bitsText = "", ...more] = text.split("/");
  const address = parseAddress(base);
  const bits = Number(bitsText);
  if (more.length > 0 || !/^\d{1,3}$/.test(bitsText) || bits > address.octets.length * 8)
    throw new ProtocolError("ERR_ADDRESS", "not a prefix: expected address/bits");
  if (!sharesBits(address.octets, masked(address.octets, bits), address.octets.length * 8))
    throw new ProtocolError("ERR_ADDRESS", "a prefix with bits set beyond its length");
  return { address, bits, text: `${address.text}/${bits}` };
}

/** True if the address lies in the prefix; never across families. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  return (
    prefix.address.family === address.family &&
    sharesBits(prefix.address.octets, address.octets, prefix.bits)
  );
}

const FORBIDDEN_SIX = (
  [
    ["::", 96],
    ["64:ff9b::", 96],
    ["fe80::", 10],
    ["fec0::", 10],
    ["ff00::", 8],
  ] as const
).map(([text, bits]) => ({ octets: parseAddress(text).octets, bits }));

function isMapped(octets: Buffer): boolean {
  return octets.subarray(0, 12).equals(MAPPED_HEAD);
}

function sharesBits(left: Buffer, right: Buffer, bits: number): boolean {
  const whole = bits >> 3;
  if (!left.subarray(0, whole).equals(right.subarray(0, whole))) return false;
  const rest = bits & 7;
  if (rest === 0) return true;
  const difference = left.readUInt8(whole) ^ right.readUInt8(whole);
  return (difference & (0xff00 >> rest) & 0xff) === 0;
}

function masked(octets: Buffer, bits: number): Buffer {
  return Buffer.from(
    octets.map((octet, index) => octet & (0xff00 >> Math.min(8, Math.max(0, bits - index * 8)))),
  );
}

/** RFC 5952 §4: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function serializeSix(octets: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => octets.readUInt16BE(index * 2));
  const run = longestZeroRun(groups);
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}
