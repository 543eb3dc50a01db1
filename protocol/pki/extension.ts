/**
 * Extensions of certificates, requests, CRLs and their entries (RFC 5280 §4.2, §5.2). Pure.
 */
import { encodeOctetString, encodeOid, encodeSequence, encodeTlv } from "../der/encode.ts";
import { expectTag, readOctetString, readOid, readSequence } from "../der/read.ts";
import { TAG } from "../der/tag.ts";
import { decodeTlv, type Tlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";

export const EXTENSION = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  crlNumber: "2.5.29.20",
  reasonCode: "2.5.29.21",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

export type ExtensionOid = (typeof EXTENSION)[keyof typeof EXTENSION];

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Buffer;
}

/** Most extensions in one place. */
export const EXTENSIONS_MAX = 64;

const ENCODED_OIDS = Object.fromEntries(
  Object.values(EXTENSION).map((oid) => [oid, encodeOid(oid)]),
) as Readonly<Record<ExtensionOid, Buffer>>;
const TRUE = encodeTlv(TAG.boolean, Buffer.of(0xff));

export const encodeExtension = (oid: ExtensionOid, critical: boolean, value: Uint8Array): Buffer =>
  encodeSequence(ENCODED_OIDS[oid], ...(critical ? [TRUE] : []), encodeOctetString(value));

/** The extensions by identifier. @throws ProtocolError `ERR_DER_SYNTAX`, also if one stands twice. */
export function readExtensions(value: Tlv | undefined): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>();
  for (const each of readSequence(value)) {
    const extension = readExtension(each);
    if (found.has(extension.oid) || found.size === EXTENSIONS_MAX)
      throw new ProtocolError("ERR_DER_SYNTAX", "an extension stands twice, or too many"); // §4.2
    found.set(extension.oid, extension);
  }
  return found;
}

/** What an extension holds, decoded; undefined if it is not there. @throws as above. */
export function extensionValue(
  extensions: ReadonlyMap<string, Extension>,
  oid: string,
): Tlv | undefined {
  const extension = extensions.get(oid);
  return extension === undefined ? undefined : decodeTlv(extension.value);
}

/** @throws ProtocolError `ERR_DER_SYNTAX`. */
export function readBoolean(value: Tlv | undefined): boolean {
  const { content } = expectTag(value, TAG.boolean);
  if (content.length !== 1) throw new ProtocolError("ERR_DER_SYNTAX", "not a boolean");
  return content[0] !== 0;
}

function readExtension(value: Tlv): Extension {
  const fields = readSequence(value);
  const [oid, second] = fields;
  const hasCritical = second?.tag === TAG.boolean;
  if (fields.length !== (hasCritical ? 3 : 2))
    throw new ProtocolError("ERR_DER_SYNTAX", "not an extension");
  return {
    oid: readOid(oid),
    critical: hasCritical && readBoolean(second),
    value: readOctetString(fields[hasCritical ? 2 : 1]),
  };
}
