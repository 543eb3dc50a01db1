/**
 * Reads BER (X.690): the subset that CMS messages and certificates use, indefinite lengths
 * included, since stream encoders write them. Every limit holds before anything is built. Pure.
 */
import { ProtocolError } from "../errors.ts";

/** Deepest nesting of constructed values. */
export const DER_MAX_DEPTH = 32;
/** Most values, of all depths, in one encoding. */
export const DER_MAX_VALUES = 4096;
/** Longest encoding, in octets. */
export const DER_MAX_BYTES = 192 * 1024;

const CONSTRUCTED = 0x20;
const HIGH_TAG_NUMBER = 0x1f;
const INDEFINITE = 0x80;
const MAX_LENGTH_OCTETS = 4;
const END_OF_CONTENTS_BYTES = 2;

export interface DerLimits {
  readonly maxBytes: number;
  readonly maxValues: number;
}

const LIMITS: DerLimits = { maxBytes: DER_MAX_BYTES, maxValues: DER_MAX_VALUES };

/** One value: identifier, content and, if constructed, what is inside. Views, not copies. */
export interface Tlv {
  /** The identifier octet: class, constructed bit and tag number (below 31). */
  readonly tag: number;
  /** Identifier, length and content as received. */
  readonly encoded: Buffer;
  readonly content: Buffer;
  /** Empty for a primitive value. */
  readonly children: readonly Tlv[];
}

interface Cursor {
  readonly octets: Buffer;
  readonly maxValues: number;
  at: number;
  values: number;
}

/**
 * Decodes octets that hold exactly one value.
 * @throws ProtocolError `ERR_DER_SYNTAX`, also beyond `DER_MAX_DEPTH` and the limits, which are
 *   `DER_MAX_VALUES` and `DER_MAX_BYTES` unless told.
 */
export function decodeTlv(octets: Uint8Array, { maxBytes, maxValues } = LIMITS): Tlv {
  if (octets.length > maxBytes) throw syntax("encoding too long");
  const cursor: Cursor = { octets: viewOf(octets), maxValues, at: 0, values: 0 };
  const value = readValue(cursor, octets.length, 0);
  if (cursor.at !== octets.length) throw syntax("octets after the value");
  return value;
}

const viewOf = (octets: Uint8Array): Buffer =>
  Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);

function readValue(cursor: Cursor, limit: number, depth: number): Tlv {
  cursor.values += 1;
  if (cursor.values > cursor.maxValues) throw syntax("too many values");
  if (depth > DER_MAX_DEPTH) throw syntax("nested too deeply");

  const start = cursor.at;
  const tag = readOctet(cursor, limit);
  if ((tag & HIGH_TAG_NUMBER) === HIGH_TAG_NUMBER) throw syntax("high tag number");
  const isConstructed = (tag & CONSTRUCTED) !== 0;
  const lengthBytes = readLength(cursor, limit);
  if (lengthBytes === undefined && !isConstructed) throw syntax("indefinite primitive");

  const contentStart = cursor.at;
  const contentLimit = lengthBytes === undefined ? limit : contentStart + lengthBytes;
  if (contentLimit > limit) throw syntax("length beyond the end");
  if (!isConstructed) {
    cursor.at = contentLimit;
    return finish(cursor, tag, start, contentStart, contentLimit, []);
  }
  const children: Tlv[] = [];
  if (lengthBytes !== undefined) {
    while (cursor.at < contentLimit) children.push(readValue(cursor, contentLimit, depth + 1));
    return finish(cursor, tag, start, contentStart, contentLimit, children);
  }
  while (!isAtEndOfContents(cursor, limit)) children.push(readValue(cursor, limit, depth + 1));
  const contentEnd = cursor.at;
  cursor.at += END_OF_CONTENTS_BYTES;
  return finish(cursor, tag, start, contentStart, contentEnd, children);
}

function finish(
  cursor: Cursor,
  tag: number,
  start: number,
  contentStart: number,
  contentEnd: number,
  children: readonly Tlv[],
): Tlv {
  const { octets, at } = cursor;
  return {
    tag,
    encoded: octets.subarray(start, at),
    content: octets.subarray(contentStart, contentEnd),
    children,
  };
}

function isAtEndOfContents(cursor: Cursor, limit: number): boolean {
  if (cursor.at + END_OF_CONTENTS_BYTES > limit) throw syntax("no end of contents");
  return cursor.octets[cursor.at] === 0 && cursor.octets[cursor.at + 1] === 0;
}

/** The length in octets; undefined for the indefinite form (X.690 §8.1.3). */
function readLength(cursor: Cursor, limit: number): number | undefined {
  const first = readOctet(cursor, limit);
  if (first < INDEFINITE) return first;
  if (first === INDEFINITE) return undefined;
  const lengthOctets = first - INDEFINITE;
  if (lengthOctets > MAX_LENGTH_OCTETS) throw syntax("length too long");
  let lengthBytes = 0;
  for (let count = 0; count < lengthOctets; count += 1)
    lengthBytes = lengthBytes * 256 + readOctet(cursor, limit);
  return lengthBytes;
}

function readOctet(cursor: Cursor, limit: number): number {
  const octet = cursor.at < limit ? cursor.octets[cursor.at] : undefined;
  if (octet === undefined) throw syntax("ends too early");
  cursor.at += 1;
  return octet;
}

const syntax = (fault: string): ProtocolError =>
  new ProtocolError("ERR_DER_SYNTAX", `not BER: ${fault}`);
