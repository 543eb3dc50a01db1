/**
 * Attributes of a sealed message, of which we know CEKReference: the name under which a later
 * message will use this content key (RFC 3185 §3 and appendix A). Pure.
 */
import { encodeOctetString, encodeOid, encodeSequence, encodeSetOf } from "../der/encode.ts";
import { readOctetString, readOid, readSequence, readSet } from "../der/read.ts";
import type { Tlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import { OID } from "./algorithms.ts";

/** Most attributes in one message. */
export const CMS_MAX_ATTRIBUTES = 16;
/** Longest CEKReference, in octets. */
export const CEK_REFERENCE_MAX_BYTES = 64;

/** The attributes, DER-sorted, under this tag; for authenticated ones SET's own tag gives the AAD. */
export function encodeAttributes(reference: Uint8Array, tag: number): Buffer {
  const value = encodeSetOf([encodeOctetString(reference)]);
  return encodeSetOf([encodeSequence(encodeOid(OID.cekReference), value)], tag);
}

/**
 * The CEKReference among these attributes, if there is one.
 * @throws ProtocolError `ERR_CMS_LIMIT` beyond `CMS_MAX_ATTRIBUTES` or `CEK_REFERENCE_MAX_BYTES`;
 *   `ERR_CMS_SYNTAX` if there are two (RFC 3185 §3: a single value); `ERR_DER_SYNTAX`.
 */
export function readCekReference(attributes: readonly Tlv[]): Buffer | undefined {
  if (attributes.length > CMS_MAX_ATTRIBUTES)
    throw new ProtocolError("ERR_CMS_LIMIT", "too many attributes");
  const values = attributes.flatMap((attribute) => {
    const [type, set] = readSequence(attribute);
    return readOid(type) === OID.cekReference ? readSet(set) : [];
  });
  if (values.length === 0) return undefined;
  if (values.length > 1) throw new ProtocolError("ERR_CMS_SYNTAX", "more than one CEKReference");
  const reference = readOctetString(values[0]);
  if (reference.length === 0 || reference.length > CEK_REFERENCE_MAX_BYTES)
    throw new ProtocolError("ERR_CMS_LIMIT", "CEKReference of a forbidden length");
  return reference;
}
