/**
 * The outer structure of a sealed message: EnvelopedData, AuthEnvelopedData (RFC 5083) or
 * EncryptedData (RFC 5652 §8). Reading it costs no key operation and believes nothing. Pure.
 */
import { encodeOid, encodeSequence, encodeSetOf, encodeTlv } from "../der/encode.ts";
import { readOctetString, readOid, readSequence, readSet, readSmallInteger } from "../der/read.ts";
import { contextTag } from "../der/tag.ts";
import { decodeTlv, type Tlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import { OID } from "./algorithms.ts";
import { readCekReference } from "./attributes.ts";
import { type RecipientEntry, readRecipientEntries } from "./recipient-info.ts";

interface SealedContent {
  /** EncryptedContentInfo, not yet read. */
  readonly contentInfo: Tlv | undefined;
  /** CEKReference, if the originator allows reuse of the key. */
  readonly reference: Buffer | undefined;
}

export type CmsMessage =
  | ({ readonly kind: "encrypted" } & SealedContent)
  | ({ readonly kind: "enveloped"; readonly recipients: readonly RecipientEntry[] } & SealedContent)
  | ({
      readonly kind: "auth-enveloped";
      readonly recipients: readonly RecipientEntry[];
      /** DER of authAttrs as a SET OF (RFC 5083 §2.2); empty if there are none. */
      readonly associatedData: Buffer;
      readonly mac: Buffer;
    } & SealedContent);

const ENCRYPTED_VERSIONS = [0, 2]; // RFC 5652 §8
const ENVELOPED_VERSIONS = [0, 2, 3, 4]; // RFC 5652 §6.1
const AUTH_ENVELOPED_VERSIONS = [0]; // RFC 5083 §2.1
const NO_ATTRIBUTES = Buffer.alloc(0);

/**
 * Reads the outer structure of a message in BER or DER.
 * @throws ProtocolError `ERR_DER_SYNTAX`, `ERR_CMS_SYNTAX`, `ERR_CMS_LIMIT`;
 *   `ERR_CMS_UNSUPPORTED` for another content type.
 */
export function decodeMessage(octets: Uint8Array): CmsMessage {
  const [contentType, content] = readSequence(decodeTlv(octets));
  const type = readOid(contentType);
  if (content?.tag !== contextTag(0))
    throw new ProtocolError("ERR_CMS_SYNTAX", "ContentInfo without content");
  const [versionField, ...fields] = readSequence(content.children[0]);
  const version = readSmallInteger(versionField);
  switch (type) {
    case OID.encryptedData:
      expectVersion(version, ENCRYPTED_VERSIONS);
      return { kind: "encrypted", contentInfo: fields[0], reference: readUnprotected(fields[1]) };
    case OID.envelopedData:
      expectVersion(version, ENVELOPED_VERSIONS);
      return readEnveloped(withoutOriginatorInfo(fields));
    case OID.authEnvelopedData:
      expectVersion(version, AUTH_ENVELOPED_VERSIONS);
      return readAuthEnveloped(withoutOriginatorInfo(fields));
    default:
      throw new ProtocolError("ERR_CMS_UNSUPPORTED", "not a sealed message");
  }
}

/** ContentInfo around the fields of one of the three types (RFC 5652 §3). */
export const encodeMessage = (type: string, ...fields: readonly Uint8Array[]): Buffer =>
  encodeSequence(encodeOid(type), encodeTlv(contextTag(0), encodeSequence(...fields)));

function expectVersion(version: number, expected: readonly number[]): void {
  if (!expected.includes(version)) throw new ProtocolError("ERR_CMS_SYNTAX", "another version");
}

function readEnveloped(fields: readonly Tlv[]): CmsMessage {
  const [recipients, contentInfo, attributes] = fields;
  return {
    kind: "enveloped",
    recipients: readRecipientEntries(readSet(recipients)),
    contentInfo,
    reference: readUnprotected(attributes),
  };
}

function readAuthEnveloped(fields: readonly Tlv[]): CmsMessage {
  const [recipients, contentInfo, ...rest] = fields;
  const authAttributes = rest[0]?.tag === contextTag(1) ? rest[0].children : undefined;
  const mac = authAttributes === undefined ? rest[0] : rest[1];
  return {
    kind: "auth-enveloped",
    recipients: readRecipientEntries(readSet(recipients)),
    contentInfo,
    reference: readCekReference(authAttributes ?? []),
    associatedData:
      authAttributes === undefined
        ? NO_ATTRIBUTES
        : encodeSetOf(authAttributes.map(({ encoded }) => encoded)),
    mac: readOctetString(mac),
  };
}

const readUnprotected = (attributes: Tlv | undefined): Buffer | undefined =>
  readCekReference(attributes?.tag === contextTag(1) ? attributes.children : []);

const withoutOriginatorInfo = (fields: readonly Tlv[]): readonly Tlv[] =>
  fields[0]?.tag === contextTag(0) ? fields.slice(1) : fields;
