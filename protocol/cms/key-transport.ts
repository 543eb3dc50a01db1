/**
 * RSAES-OAEP key transport (RFC 3560, RFC 4055 §4.1): SHA-256 out, SHA-1 or SHA-256 in, no label.
 * PKCS#1 v1.5 is not here at all. Pure, but OAEP's seed is OpenSSL's own.
 */
import {
  constants,
  createPublicKey,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
} from "node:crypto";
import {
  encodeAlgorithm,
  encodeNull,
  encodeOctetString,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../der/encode.ts";
import {
  type AlgorithmIdentifier,
  readAlgorithm,
  readOctetString,
  readSequence,
} from "../der/read.ts";
import { contextTag } from "../der/tag.ts";
import type { Tlv } from "../der/tlv.ts";
import { type KeyDigest, OAEP_DIGESTS, OID, SHA256_OID } from "./algorithms.ts";
import type { KeyTransportEntry } from "./recipient-info.ts";

/** Smallest RSA key that we wrap for. */
export const RSA_MIN_BITS = 2048;

const padding = constants.RSA_PKCS1_OAEP_PADDING;
const KEY_TRANSPORT_VERSION = 0;

/**
 * KeyTransRecipientInfo that wraps `cek` for an RSA key.
 * @param identifier encoded IssuerAndSerialNumber of the recipient
 * @throws RangeError for a key shorter than `RSA_MIN_BITS`.
 */
export function encodeKeyTransport(cek: Uint8Array, spki: Buffer, identifier: Uint8Array): Buffer {
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < RSA_MIN_BITS)
    throw new RangeError(`an RSA key of ${RSA_MIN_BITS} bits or more expected`);
  const sha256 = encodeAlgorithm(SHA256_OID, encodeNull());
  const parameters = encodeSequence(
    encodeTlv(contextTag(0), sha256),
    encodeTlv(contextTag(1), encodeAlgorithm(OID.mgf1, sha256)),
  );
  return encodeSequence(
    encodeSmallInteger(KEY_TRANSPORT_VERSION),
    identifier,
    encodeAlgorithm(OID.rsaesOaep, parameters),
    encodeOctetString(publicEncrypt({ key, padding, oaepHash: "sha256" }, cek)),
  );
}

/** The content key of an entry for this RSA key. @throws Error whatever is wrong with it. */
export function openKeyTransport(entry: KeyTransportEntry, privateKey: KeyObject): Buffer {
  const oaepHash = readOaepDigest(entry.algorithm);
  return privateDecrypt({ key: privateKey, padding, oaepHash }, entry.encryptedKey);
}

/** The digest of OAEP and of its mask, which must agree (RFC 4055 §4.1). */
function readOaepDigest(algorithm: AlgorithmIdentifier): KeyDigest {
  if (algorithm.oid !== OID.rsaesOaep) throw new TypeError("key transport not supported");
  const fields = algorithm.parameters === undefined ? [] : readSequence(algorithm.parameters);
  const field = (number: number): Tlv | undefined =>
    fields.find(({ tag }) => tag === contextTag(number))?.children[0];

  const digest = readDigest(field(0));
  const mask = field(1) === undefined ? undefined : readAlgorithm(field(1));
  if (mask !== undefined && mask.oid !== OID.mgf1) throw new TypeError("mask not supported");
  if (readDigest(mask?.parameters) !== digest) throw new TypeError("digests differ");
  if (!isEmptyLabel(field(2))) throw new TypeError("label not supported");
  return digest;
}

function readDigest(algorithm: Tlv | undefined): KeyDigest {
  if (algorithm === undefined) return "sha1"; // the DEFAULT of RFC 4055 §4.1
  const { oid, parameters } = readAlgorithm(algorithm);
  const digest = OAEP_DIGESTS.get(oid);
  const isPlain = parameters === undefined || parameters.encoded.equals(encodeNull());
  if (digest === undefined || !isPlain) throw new TypeError("digest not supported");
  return digest;
}

function isEmptyLabel(source: Tlv | undefined): boolean {
  if (source === undefined) return true;
  const { oid, parameters } = readAlgorithm(source);
  return oid === OID.pSpecified && readOctetString(parameters).length === 0;
}
