/**
 * Writes DER (X.690 §10): definite lengths, sorted sets. Pure.
 */
import { TAG } from "./tag.ts";

/** One value of this tag around the given contents. */
export function encodeTlv(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  let lengthBytes = 0;
  for (const content of contents) lengthBytes += content.length;
  const encoded = beginTlv(tag, lengthBytes);
  let at = encoded.length - lengthBytes;
  for (const content of contents) {
    encoded.set(content, at);
    at += content.length;
  }
  return encoded;
}

export const encodeSequence = (...values: readonly Uint8Array[]): Buffer =>
  encodeTlv(TAG.sequence, ...values);

/** A SET OF, its values in ascending order of their octets (X.690 §11.6). */
export const encodeSetOf = (values: readonly Uint8Array[], tag: number = TAG.set): Buffer =>
  encodeTlv(tag, ...values.toSorted(Buffer.compare));

export const encodeOctetString = (octets: Uint8Array): Buffer => encodeTlv(TAG.octetString, octets);

export const encodeBitString = (octets: Uint8Array, tag: number = TAG.bitString): Buffer =>
  encodeTlv(tag, Uint8Array.of(0), octets);

export const encodeNull = (): Buffer => encodeTlv(TAG.null);

/** An INTEGER from 0 to 127, all that our structures need. @throws RangeError beyond. */
export function encodeSmallInteger(value: number): Buffer {
  if (!Number.isInteger(value) || value < 0 || value > 127)
    throw new RangeError("integer from 0 to 127 expected");
  return encodeTlv(TAG.integer, Uint8Array.of(value));
}

/** Encoded identifiers: those that a program names are few, and it names them again and again. */
const oids = new Map<string, Buffer>();

/** An OBJECT IDENTIFIER from its dotted form, which is ours and never a peer's. */
export function encodeOid(dotted: string): Buffer {
  const known = oids.get(dotted);
  if (known !== undefined) return known;
  const encoded = encodeArcs(dotted);
  oids.set(dotted, encoded);
  return encoded;
}

function encodeArcs(dotted: string): Buffer {
  const [root = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const octets = [root * 40 + second, ...rest].flatMap(encodeArc);
  return encodeTlv(TAG.oid, Uint8Array.from(octets));
}

/** An AlgorithmIdentifier; `parameters` is an encoded value, or absent. */
export const encodeAlgorithm = (oid: string, ...parameters: readonly Uint8Array[]): Buffer =>
  encodeSequence(encodeOid(oid), ...parameters);

function encodeArc(arc: number): number[] {
  const octets = [arc % 128];
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128))
    octets.unshift((rest % 128) | 0x80);
  return octets;
}

/** A value whose contents are to be written yet; its length in one octet or after their number (§8.1.3). */
function beginTlv(tag: number, lengthBytes: number): Buffer {
  const isShort = lengthBytes < 0x80;
  const lengthOctets = isShort ? 0 : Math.ceil((32 - Math.clz32(lengthBytes)) / 8);
  const encoded = Buffer.allocUnsafe(2 + lengthOctets + lengthBytes);
  encoded[0] = tag;
  encoded[1] = isShort ? lengthBytes : 0x80 | lengthOctets;
  if (!isShort) encoded.writeUIntBE(lengthBytes, 2, lengthOctets);
  return encoded;
}
