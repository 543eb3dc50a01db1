/**
 * Makes messages that our own code never writes: other versions, algorithms, attributes, encodings.
 */
import { createCipheriv } from "node:crypto";
import { AES256_WRAP, CONTENT_CIPHERS, OID } from "../../../protocol/cms/algorithms.ts";
import { wrapKey } from "../../../protocol/cms/key-wrap.ts";
import {
  encodeAlgorithm,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSetOf,
  encodeSmallInteger,
  encodeTlv,
} from "../../../protocol/der/encode.ts";
import { contextTag, primitiveContextTag, TAG } from "../../../protocol/der/tag.ts";
import type { Tlv } from "../../../protocol/der/tlv.ts";

export const KEK = Buffer.alloc(32, 7);
export const KEK_ID = Buffer.from("kek");
export const CEK = Buffer.alloc(32, 9);
export const CONTENT = Buffer.from("content");

/** KEKRecipientInfo that wraps `CEK` under `KEK`. */
export const kekRecipient = (keyIdentifier: Uint8Array = KEK_ID, version = 4): Buffer =>
  encodeTlv(
    contextTag(2),
    encodeSmallInteger(version),
    encodeSequence(encodeOctetString(keyIdentifier)),
    encodeAlgorithm(AES256_WRAP.oid),
    encodeOctetString(wrapKey(AES256_WRAP, KEK, CEK)),
  );

export const attribute = (oid: string, ...values: readonly Buffer[]): Buffer =>
  encodeSequence(encodeOid(oid), encodeSetOf(values));

interface GcmOptions {
  readonly tagBytes?: number;
  readonly statedTagBytes?: number | undefined;
  readonly nonceBytes?: number;
  readonly contentType?: string;
  readonly oid?: string;
  readonly authAttributes?: readonly Buffer[];
  /** As they stand in the message, if other than DER. */
  readonly encodedAuthAttributes?: Buffer;
}

/** EncryptedContentInfo and MAC of `CONTENT` under `CEK` by AES-256-GCM. */
export function gcmContent(options: GcmOptions = {}): { info: Buffer; mac: Buffer } {
  const { tagBytes = 16, nonceBytes = 12, authAttributes } = options;
  const nonce = Buffer.alloc(nonceBytes, 3);
  const cipher = createCipheriv("aes-256-gcm", CEK, nonce, { authTagLength: tagBytes });
  if (authAttributes !== undefined) cipher.setAAD(encodeSetOf(authAttributes));
  const ciphertext = Buffer.concat([cipher.update(CONTENT), cipher.final()]);
  const stated = "statedTagBytes" in options ? options.statedTagBytes : tagBytes;
  const parameters = encodeSequence(
    encodeOctetString(nonce),
    ...(stated === undefined ? [] : [encodeSmallInteger(stated)]),
  );
  const info = encodeSequence(
    encodeOid(options.contentType ?? OID.data),
    encodeAlgorithm(options.oid ?? CONTENT_CIPHERS["aes-256-gcm"].oid, parameters),
    encodeTlv(primitiveContextTag(0), ciphertext),
  );
  return { info, mac: cipher.getAuthTag() };
}

/** EncryptedContentInfo of `CONTENT` under `CEK` by AES-256-CBC. */
export function cbcContent(ivBytes = 16): Buffer {
  const cipher = createCipheriv("aes-256-cbc", CEK, Buffer.alloc(16, 3));
  const ciphertext = Buffer.concat([cipher.update(CONTENT), cipher.final()]);
  return encodeSequence(
    encodeOid(OID.data),
    encodeAlgorithm(
      CONTENT_CIPHERS["aes-256-cbc"].oid,
      encodeOctetString(Buffer.alloc(ivBytes, 3)),
    ),
    encodeTlv(primitiveContextTag(0), ciphertext),
  );
}

/** AuthEnvelopedData of `CONTENT` for the holder of `KEK`. */
export function authEnveloped(options: GcmOptions = {}): Buffer {
  const { info, mac } = gcmContent(options);
  const attributes =
    options.encodedAuthAttributes ??
    (options.authAttributes && encodeSetOf(options.authAttributes, contextTag(1)));
  return message(
    OID.authEnvelopedData,
    encodeSmallInteger(0),
    encodeSetOf([kekRecipient()]),
    info,
    ...(attributes ? [attributes] : []),
    encodeOctetString(mac),
  );
}

/** EnvelopedData of `CONTENT` with these recipients and unprotected attributes. */
export const enveloped = (
  recipients: readonly Buffer[] = [kekRecipient()],
  attributes?: readonly Buffer[],
): Buffer =>
  message(
    OID.envelopedData,
    encodeSmallInteger(2),
    encodeSetOf(recipients),
    cbcContent(),
    ...(attributes ? [encodeSetOf(attributes, contextTag(1))] : []),
  );

export const message = (type: string, ...fields: readonly Buffer[]): Buffer =>
  encodeSequence(encodeOid(type), encodeTlv(contextTag(0), encodeSequence(...fields)));

/** Where the structure of a message ends and what must stay DER begins: names, algorithms, attributes. */
const STREAM_DEPTH = 3;

/** The same message as a stream encoder writes it: indefinite lengths, content in segments. */
export function toIndefinite(value: Tlv, depth = 0): Buffer {
  const wrap = (tag: number, contents: readonly Buffer[]): Buffer =>
    Buffer.concat([Buffer.of(tag, 0x80), ...contents, Buffer.alloc(2)]);
  const isAttributes = depth === STREAM_DEPTH && value.tag === contextTag(1);
  if (value.children.length > 0 && depth <= STREAM_DEPTH && !isAttributes)
    return wrap(
      value.tag,
      value.children.map((child) => toIndefinite(child, depth + 1)),
    );
  if (value.tag !== primitiveContextTag(0)) return value.encoded;
  const middle = value.content.length >> 1;
  const segments = [value.content.subarray(0, middle), value.content.subarray(middle)];
  return wrap(value.tag | TAG.constructedBit, segments.map(encodeOctetString));
}
