/**
 * P-256 key agreement for one recipient: ephemeral-static ECDH and the X9.63 key derivation
 * over ECC-CMS-SharedInfo (RFC 5753 §3.1, §7.2). Pure.
 */
import { createECDH, createHash, type ECDH, type KeyObject } from "node:crypto";
import {
  encodeAlgorithm,
  encodeBitString,
  encodeOctetString,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../der/encode.ts";
import { readAlgorithm, readOctetString, readSequence } from "../der/read.ts";
import { contextTag } from "../der/tag.ts";
import { decodeTlv } from "../der/tlv.ts";
import {
  KEY_AGREEMENT_DIGESTS,
  KEY_AGREEMENT_SHA256,
  type KeyDigest,
  OID,
  wrapAlgorithmFor,
  wrapAlgorithmOf,
} from "./algorithms.ts";
import { unwrapKey, wrapKey } from "./key-wrap.ts";
import type { KeyAgreeEntry } from "./recipient-info.ts";

const CURVE = "prime256v1";
const SCALAR_BYTES = 32;
const POINT_BYTES = 65;
const UNCOMPRESSED = 0x04; // the hybrid forms 6 and 7 are as long
const KEY_AGREE_VERSION = 3;
/** A random scalar is out of range once in 2^32. */
const MAX_SCALAR_DRAWS = 4;

/** One ready ECDH a private key: making it costs more than using it. */
const agreements = new WeakMap<KeyObject, ECDH>();

/**
 * KeyAgreeRecipientInfo that wraps `cek` for the holder of `point`.
 * @param identifier encoded IssuerAndSerialNumber of the recipient
 * @param random source of the ephemeral key
 */
export function encodeKeyAgree(
  cek: Uint8Array,
  point: Uint8Array,
  identifier: Uint8Array,
  random: (size: number) => Buffer,
): Buffer {
  const wrap = wrapAlgorithmFor(cek.length);
  const wrapAlgorithm = encodeAlgorithm(wrap.oid);
  const ephemeral = createEphemeral(random);
  const sharedSecret = ephemeral.computeSecret(point);
  const kek = deriveKek("sha256", sharedSecret, wrapAlgorithm, undefined, wrap.keyBytes);
  const encryptedKey = wrapKey(wrap, kek, cek);
  sharedSecret.fill(0);
  kek.fill(0);
  const originatorKey = encodeTlv(
    contextTag(1),
    encodeAlgorithm(OID.ecPublicKey),
    encodeBitString(ephemeral.getPublicKey()),
  );
  return encodeTlv(
    contextTag(1),
    encodeSmallInteger(KEY_AGREE_VERSION),
    encodeTlv(contextTag(0), originatorKey),
    encodeAlgorithm(KEY_AGREEMENT_SHA256, wrapAlgorithm),
    encodeSequence(encodeSequence(identifier, encodeOctetString(encryptedKey))),
  );
}

/** The content key of an entry for this P-256 key. @throws Error whatever is wrong with it. */
export function openKeyAgree(entry: KeyAgreeEntry, privateKey: KeyObject): Buffer {
  const digest = KEY_AGREEMENT_DIGESTS.get(entry.algorithm.oid);
  const wrapAlgorithm = entry.algorithm.parameters;
  const wrap = wrapAlgorithmOf(readAlgorithm(wrapAlgorithm).oid);
  const point = entry.originatorPoint;
  if (digest === undefined || wrapAlgorithm === undefined || wrap === undefined)
    throw new TypeError("key agreement not supported");
  if (point?.length !== POINT_BYTES || point[0] !== UNCOMPRESSED)
    throw new TypeError("not an uncompressed point");

  const sharedSecret = agreementOf(privateKey).computeSecret(point);
  const kek = deriveKek(digest, sharedSecret, wrapAlgorithm.encoded, entry.ukm, wrap.keyBytes);
  try {
    return unwrapKey(wrap, kek, entry.encryptedKey);
  } finally {
    sharedSecret.fill(0);
    kek.fill(0);
  }
}

/** X9.63 KDF: digests of secret, 32-bit counter and SharedInfo, joined (SEC 1 §3.6.1). */
function deriveKek(
  digest: KeyDigest,
  sharedSecret: Uint8Array,
  wrapAlgorithm: Uint8Array,
  ukm: Uint8Array | undefined,
  keyBytes: number,
): Buffer {
  const keyBits = Buffer.alloc(4);
  keyBits.writeUInt32BE(keyBytes * 8);
  const sharedInfo = encodeSequence(
    wrapAlgorithm,
    ...(ukm === undefined ? [] : [encodeTlv(contextTag(0), encodeOctetString(ukm))]),
    encodeTlv(contextTag(2), encodeOctetString(keyBits)),
  );
  const blocks: Buffer[] = [];
  const counter = Buffer.alloc(4);
  for (let derivedBytes = 0; derivedBytes < keyBytes; ) {
    counter.writeUInt32BE(blocks.length + 1);
    const block = createHash(digest).update(sharedSecret).update(counter).update(sharedInfo);
    blocks.push(block.digest());
    derivedBytes += blocks.at(-1)?.length ?? 0;
  }
  const kek = Buffer.concat(blocks, keyBytes);
  for (const block of blocks) block.fill(0);
  return kek;
}

function createEphemeral(random: (size: number) => Buffer): ECDH {
  const ecdh = createECDH(CURVE);
  for (let draw = 0; draw < MAX_SCALAR_DRAWS; draw += 1) {
    const scalar = random(SCALAR_BYTES);
    try {
      ecdh.setPrivateKey(scalar);
      return ecdh;
    } catch {
      // Not below the order of the curve: draw again.
    } finally {
      scalar.fill(0);
    }
  }
  throw new RangeError("random source gives no scalar");
}

function agreementOf(privateKey: KeyObject): ECDH {
  const known = agreements.get(privateKey);
  if (known !== undefined) return known;
  const sec1 = privateKey.export({ format: "der", type: "sec1" });
  const ecdh = createECDH(CURVE);
  ecdh.setPrivateKey(readOctetString(readSequence(decodeTlv(sec1))[1])); // RFC 5915 §3
  sec1.fill(0);
  agreements.set(privateKey, ecdh);
  return ecdh;
}
