/**
 * EncryptedContentInfo: the content itself under its key (RFC 5652 §6.1, RFC 3565, RFC 5084). Pure.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import {
  encodeAlgorithm,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../der/encode.ts";
import {
  readAlgorithm,
  readOctetString,
  readOid,
  readSequence,
  readSmallInteger,
} from "../der/read.ts";
import { primitiveContextTag } from "../der/tag.ts";
import type { Tlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import {
  type CbcCipher,
  CONTENT_CIPHERS,
  contentCipherOf,
  type GcmCipher,
  isCbcCipher,
  OID,
} from "./algorithms.ts";
import { decryptFailure } from "./decrypt-failure.ts";

/** Longest content that we seal or open, in octets. */
export const CMS_MAX_CONTENT_BYTES = 128 * 1024;
/** Shortest GCM tag that we believe (RFC 5084 §3.2 allows 12 to 16); we write 16. */
export const GCM_MIN_TAG_BYTES = 12;

const GCM_TAG_BYTES = 16;
const GCM_NONCE_BYTES = 12;
const CBC_IV_BYTES = 16;
const DEFAULT_TAG_BYTES = 12; // RFC 5084 §3.2

export type EncryptedContent =
  | {
      readonly mode: "cbc";
      readonly cipher: CbcCipher;
      readonly iv: Buffer;
      readonly ciphertext: Buffer;
    }
  | {
      readonly mode: "gcm";
      readonly cipher: GcmCipher;
      readonly nonce: Buffer;
      readonly tagBytes: number;
      readonly ciphertext: Buffer;
    };

/**
 * Reads an EncryptedContentInfo whose content is id-data and travels inside.
 * @throws ProtocolError `ERR_DER_SYNTAX`; `ERR_CMS_SYNTAX`; `ERR_CMS_LIMIT` beyond
 *   `CMS_MAX_CONTENT_BYTES`; `ERR_CMS_UNSUPPORTED` (content type, cipher, tag or nonce length).
 */
export function readEncryptedContent(info: Tlv | undefined): EncryptedContent {
  const [contentType, algorithm, content] = readSequence(info);
  if (readOid(contentType) !== OID.data)
    throw new ProtocolError("ERR_CMS_UNSUPPORTED", "content is not plain data");
  const { oid, parameters } = readAlgorithm(algorithm);
  const cipher = contentCipherOf(oid);
  if (cipher === undefined) throw new ProtocolError("ERR_CMS_UNSUPPORTED", "content cipher");
  const ciphertext = readOctetString(content, primitiveContextTag(0));
  if (ciphertext.length > CMS_MAX_CONTENT_BYTES + CBC_IV_BYTES)
    throw new ProtocolError("ERR_CMS_LIMIT", "content too long");
  if (isCbcCipher(cipher)) {
    const iv = readOctetString(parameters);
    if (iv.length !== CBC_IV_BYTES) throw new ProtocolError("ERR_CMS_SYNTAX", "length of IV");
    return { mode: "cbc", cipher, iv, ciphertext };
  }
  const [nonceField, tagField] = readSequence(parameters);
  const nonce = readOctetString(nonceField);
  const tagBytes = tagField === undefined ? DEFAULT_TAG_BYTES : readSmallInteger(tagField);
  if (nonce.length !== GCM_NONCE_BYTES)
    throw new ProtocolError("ERR_CMS_UNSUPPORTED", "length of nonce");
  if (tagBytes < GCM_MIN_TAG_BYTES || tagBytes > GCM_TAG_BYTES)
    throw new ProtocolError("ERR_CMS_UNSUPPORTED", "length of tag");
  return { mode: "gcm", cipher, nonce, tagBytes, ciphertext };
}

/** Encrypts by CBC with a fresh IV; returns the EncryptedContentInfo. */
export function sealCbcContent(
  cipher: CbcCipher,
  cek: Uint8Array,
  content: Uint8Array,
  random: (size: number) => Buffer,
): Buffer {
  const iv = random(CBC_IV_BYTES);
  const encryption = createCipheriv(cipher, cek, iv);
  const ciphertext = Buffer.concat([encryption.update(limited(content)), encryption.final()]);
  return encodeContentInfo(CONTENT_CIPHERS[cipher].oid, encodeOctetString(iv), ciphertext);
}

/** Encrypts by GCM with a fresh nonce; returns the EncryptedContentInfo and the tag. */
export function sealGcmContent(
  cipher: GcmCipher,
  cek: Uint8Array,
  content: Uint8Array,
  associatedData: Uint8Array,
  random: (size: number) => Buffer,
): { readonly info: Buffer; readonly tag: Buffer } {
  const nonce = random(GCM_NONCE_BYTES);
  const encryption = createCipheriv(cipher, cek, nonce, { authTagLength: GCM_TAG_BYTES });
  encryption.setAAD(associatedData);
  const ciphertext = Buffer.concat([encryption.update(limited(content)), encryption.final()]);
  const parameters = encodeSequence(encodeOctetString(nonce), encodeSmallInteger(GCM_TAG_BYTES));
  const info = encodeContentInfo(CONTENT_CIPHERS[cipher].oid, parameters, ciphertext);
  return { info, tag: encryption.getAuthTag() };
}

/** Decrypts CBC content. @throws ProtocolError `ERR_CMS_DECRYPT`. */
export function openCbcContent(
  content: EncryptedContent & { mode: "cbc" },
  cek: Uint8Array,
): Buffer {
  return orDecryptFailure(() => {
    const decryption = createDecipheriv(content.cipher, cek, content.iv);
    return Buffer.concat([decryption.update(content.ciphertext), decryption.final()]);
  });
}

/** Decrypts GCM content once its tag is found good. @throws ProtocolError `ERR_CMS_DECRYPT`. */
export function openGcmContent(
  content: EncryptedContent & { mode: "gcm" },
  cek: Uint8Array,
  associatedData: Uint8Array,
  tag: Uint8Array,
): Buffer {
  return orDecryptFailure(() => {
    if (tag.length !== content.tagBytes) throw new RangeError("length of tag");
    const options = { authTagLength: content.tagBytes };
    const decryption = createDecipheriv(content.cipher, cek, content.nonce, options);
    decryption.setAAD(associatedData);
    decryption.setAuthTag(tag);
    return Buffer.concat([decryption.update(content.ciphertext), decryption.final()]);
  });
}

function orDecryptFailure(open: () => Buffer): Buffer {
  try {
    return open();
  } catch {
    throw decryptFailure();
  }
}

function limited(content: Uint8Array): Uint8Array {
  if (content.length > CMS_MAX_CONTENT_BYTES)
    throw new RangeError(`content of at most ${CMS_MAX_CONTENT_BYTES} octets expected`);
  return content;
}

const encodeContentInfo = (oid: string, parameters: Buffer, ciphertext: Buffer): Buffer =>
  encodeSequence(
    encodeOid(OID.data),
    encodeAlgorithm(oid, parameters),
    encodeTlv(primitiveContextTag(0), ciphertext),
  );
