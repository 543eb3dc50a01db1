/**
 * Seals content: for recipients by certificate, shared key or password (RFC 5652 §6, RFC 5083), or
 * under a key that the peer already holds (RFC 5652 §8). Pure: random octets are an argument.
 */
import {
  encodeAlgorithm,
  encodeOctetString,
  encodeSequence,
  encodeSetOf,
  encodeSmallInteger,
  encodeTlv,
} from "../der/encode.ts";
import { contextTag, TAG } from "../der/tag.ts";
import { assertNever, ProtocolError } from "../errors.ts";
import { Secret } from "../secret.ts";
import {
  CONTENT_CIPHERS,
  type ContentCipher,
  isCbcCipher,
  OID,
  wrapAlgorithmFor,
} from "./algorithms.ts";
import { encodeAttributes } from "./attributes.ts";
import { decodeCertificateIdentity } from "./certificate-identity.ts";
import { sealCbcContent, sealGcmContent } from "./encrypted-content.ts";
import type { FirstKey } from "./first-key.ts";
import { encodeKeyAgree } from "./key-agreement.ts";
import { encodeKeyTransport } from "./key-transport.ts";
import { wrapKey } from "./key-wrap.ts";
import { encodeMessage } from "./message.ts";
import { encodePasswordRecipient, type PasswordRecipient } from "./password-recipient.ts";
import { CMS_MAX_RECIPIENTS } from "./recipient-info.ts";

export type Recipient =
  /** DER certificate with a P-256 or RSA key. */
  | { readonly kind: "certificate"; readonly certificate: Uint8Array }
  /** A key that the recipient knows by this identifier; 16 or 32 octets. */
  | { readonly kind: "kek"; readonly keyIdentifier: Uint8Array; readonly kek: Secret }
  | PasswordRecipient;

export interface EnvelopeRequest {
  readonly content: Uint8Array;
  readonly cipher: ContentCipher;
  readonly recipients: readonly Recipient[];
  /** CEKReference to offer; authenticated under GCM, unprotected under CBC. */
  readonly reference?: Uint8Array;
  readonly random: (size: number) => Buffer;
}

const KEK_VERSION = 4;

/**
 * Seals content under a new key, wrapped for each recipient: AuthEnvelopedData for a GCM cipher,
 * EnvelopedData for CBC.
 * @throws ProtocolError `ERR_CERTIFICATE` (unreadable, or its key is neither P-256 nor RSA).
 * @throws RangeError for none or more than `CMS_MAX_RECIPIENTS`, or content beyond its limit.
 */
export function sealEnvelope(request: EnvelopeRequest): {
  readonly message: Buffer;
  readonly firstKey: FirstKey;
} {
  const { cipher, recipients, reference, random } = request;
  if (recipients.length === 0 || recipients.length > CMS_MAX_RECIPIENTS)
    throw new RangeError(`1 to ${CMS_MAX_RECIPIENTS} recipients expected`);
  const key = random(CONTENT_CIPHERS[cipher].keyBytes);
  const cek = new Secret(key);
  key.fill(0);
  const infos = recipients.map((recipient) => encodeRecipient(recipient, cek.expose(), random));
  const message = isCbcCipher(cipher)
    ? encodeEnveloped(request, cek, infos)
    : encodeAuthEnveloped(request, cek, infos);
  const firstKey =
    reference === undefined ? { cek, cipher } : { cek, cipher, reference: Buffer.from(reference) };
  return { message, firstKey };
}

/**
 * Seals content under the first key itself, wrapped for nobody: EncryptedData version 0.
 * @throws RangeError if the first key served GCM: one key never serves two algorithms.
 */
export function sealEncryptedData(
  content: Uint8Array,
  firstKey: FirstKey,
  random: (size: number) => Buffer,
): Buffer {
  if (!isCbcCipher(firstKey.cipher)) throw new RangeError("a first key of CBC expected");
  const info = sealCbcContent(firstKey.cipher, firstKey.cek.expose(), content, random);
  return encodeMessage(OID.encryptedData, encodeSmallInteger(0), info);
}

/** Version 3 with a password; else 2 with an attribute or a later recipient (RFC 5652 §6.1). */
function encodeEnveloped(request: EnvelopeRequest, cek: Secret, infos: readonly Buffer[]): Buffer {
  const { content, cipher, reference, random } = request;
  if (!isCbcCipher(cipher)) throw new TypeError("CBC expected");
  const attributes = reference === undefined ? [] : [encodeAttributes(reference, contextTag(1))];
  const isPlain = attributes.length === 0 && infos.every((info) => info[0] === TAG.sequence);
  const hasPassword = infos.some((info) => info[0] === contextTag(3));
  return encodeMessage(
    OID.envelopedData,
    encodeSmallInteger(hasPassword ? 3 : isPlain ? 0 : 2),
    encodeSetOf(infos),
    sealCbcContent(cipher, cek.expose(), content, random),
    ...attributes,
  );
}

function encodeAuthEnveloped(
  request: EnvelopeRequest,
  cek: Secret,
  infos: readonly Buffer[],
): Buffer {
  const { content, cipher, reference, random } = request;
  if (isCbcCipher(cipher)) throw new TypeError("GCM expected");
  const attributes = (tag: number): readonly Buffer[] =>
    reference === undefined ? [] : [encodeAttributes(reference, tag)];
  const associatedData = Buffer.concat(attributes(TAG.set));
  const sealed = sealGcmContent(cipher, cek.expose(), content, associatedData, random);
  return encodeMessage(
    OID.authEnvelopedData,
    encodeSmallInteger(0),
    encodeSetOf(infos),
    sealed.info,
    ...attributes(contextTag(1)),
    encodeOctetString(sealed.tag),
  );
}

function encodeRecipient(
  recipient: Recipient,
  cek: Uint8Array,
  random: (size: number) => Buffer,
): Buffer {
  switch (recipient.kind) {
    case "certificate":
      return encodeCertificateRecipient(recipient.certificate, cek, random);
    case "kek": {
      const wrap = wrapAlgorithmFor(recipient.kek.length);
      return encodeTlv(
        contextTag(2),
        encodeSmallInteger(KEK_VERSION),
        encodeSequence(encodeOctetString(recipient.keyIdentifier)),
        encodeAlgorithm(wrap.oid),
        encodeOctetString(wrapKey(wrap, recipient.kek.expose(), cek)),
      );
    }
    case "password":
      return encodePasswordRecipient(cek, recipient, random);
    default:
      return assertNever(recipient);
  }
}

function encodeCertificateRecipient(
  certificate: Uint8Array,
  cek: Uint8Array,
  random: (size: number) => Buffer,
): Buffer {
  const { issuer, serialNumber, key } = decodeCertificateIdentity(certificate);
  const identifier = encodeSequence(issuer, serialNumber);
  switch (key.kind) {
    case "p256":
      return encodeKeyAgree(cek, key.point, identifier, random);
    case "rsa":
      return encodeKeyTransport(cek, key.spki, identifier);
    case "other":
      throw new ProtocolError("ERR_CERTIFICATE", "neither a P-256 nor an RSA key");
    default:
      return assertNever(key);
  }
}
