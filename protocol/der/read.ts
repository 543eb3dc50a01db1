/**
 * Takes typed values out of a decoded tree; whatever is not there is the peer's fault. Pure.
 */
import { ProtocolError } from "../errors.ts";
import { TAG } from "./tag.ts";
import type { Tlv } from "./tlv.ts";

const MAX_SMALL_INTEGER_BYTES = 4;
const MAX_OID_BYTES = 32;
const MAX_ARC = 2 ** 40;

/**
 * The value itself if it has this tag.
 * @throws ProtocolError `ERR_DER_SYNTAX` if it is absent or another.
 */
export function expectTag(value: Tlv | undefined, tag: number): Tlv {
  if (value === undefined) throw new ProtocolError("ERR_DER_SYNTAX", "a value is missing");
  if (value.tag !== tag) throw new ProtocolError("ERR_DER_SYNTAX", "a value has another tag");
  return value;
}

/** What a SEQUENCE holds. @throws ProtocolError `ERR_DER_SYNTAX`. */
export function readSequence(value: Tlv | undefined): readonly Tlv[] {
  return expectTag(value, TAG.sequence).children;
}

/** What a SET holds, in the order received. @throws ProtocolError `ERR_DER_SYNTAX`. */
export function readSet(value: Tlv | undefined): readonly Tlv[] {
  return expectTag(value, TAG.set).children;
}

/**
 * The octets of an OCTET STRING, whose BER segments are joined (X.690 §8.7).
 * `implicitTag`: the context tag that stands in for it, in its primitive form.
 * @throws ProtocolError `ERR_DER_SYNTAX`.
 */
export function readOctetString(
  value: Tlv | undefined,
  implicitTag: number = TAG.octetString,
): Buffer {
  if (value?.tag === implicitTag) return value.content;
  const segments = expectTag(value, implicitTag | TAG.constructedBit).children;
  return Buffer.concat(segments.map((segment) => readOctetString(segment)));
}

/** A BIT STRING of whole octets (X.690 §8.6). @throws ProtocolError `ERR_DER_SYNTAX`. */
export function readBitString(value: Tlv | undefined, tag: number = TAG.bitString): Buffer {
  const { content } = expectTag(value, tag);
  if (content[0] !== 0) throw new ProtocolError("ERR_DER_SYNTAX", "bits left over");
  return content.subarray(1);
}

/** A non-negative INTEGER below 2^31. @throws ProtocolError `ERR_DER_SYNTAX`. */
export function readSmallInteger(value: Tlv | undefined): number {
  const { content } = expectTag(value, TAG.integer);
  if (content.length === 0 || content.length > MAX_SMALL_INTEGER_BYTES)
    throw new ProtocolError("ERR_DER_SYNTAX", "integer out of range");
  const number = content.readIntBE(0, content.length);
  if (number < 0) throw new ProtocolError("ERR_DER_SYNTAX", "integer out of range");
  return number;
}

/** An OBJECT IDENTIFIER in dotted form. @throws ProtocolError `ERR_DER_SYNTAX`. */
export function readOid(value: Tlv | undefined): string {
  const { content } = expectTag(value, TAG.oid);
  if (content.length === 0 || content.length > MAX_OID_BYTES || (content.at(-1) ?? 0x80) > 0x7f)
    throw new ProtocolError("ERR_DER_SYNTAX", "not an object identifier");
  const arcs: number[] = [];
  let arc = 0;
  for (const octet of content) {
    arc = arc * 128 + (octet & 0x7f);
    if (arc > MAX_ARC) throw new ProtocolError("ERR_DER_SYNTAX", "not an object identifier");
    if (octet > 0x7f) continue;
    if (arcs.length === 0) {
      const root = Math.min(2, Math.floor(arc / 40));
      arcs.push(root, arc - root * 40);
    } else arcs.push(arc);
    arc = 0;
  }
  return arcs.join(".");
}

/** An AlgorithmIdentifier: its name and, if any, its parameters (RFC 5280 §4.1.1.2). */
export interface AlgorithmIdentifier {
  readonly oid: string;
  readonly parameters: Tlv | undefined;
}

/** @throws ProtocolError `ERR_DER_SYNTAX`. */
export function readAlgorithm(value: Tlv | undefined): AlgorithmIdentifier {
  const [oid, parameters] = readSequence(value);
  return { oid: readOid(oid), parameters };
}
