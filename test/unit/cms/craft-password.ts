/**
 * PasswordRecipientInfo with any parameters, wrapped by other code than ours.
 */
import { createCipheriv, pbkdf2Sync } from "node:crypto";
import { CONTENT_CIPHERS, OID } from "../../../protocol/cms/algorithms.ts";
import {
  encodeAlgorithm,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../../../protocol/der/encode.ts";
import { contextTag, TAG } from "../../../protocol/der/tag.ts";
import { CEK } from "./craft-message.ts";

export const PASSWORD = Buffer.from("correct horse battery staple");

export const HMAC_SHA1 = "1.2.840.113549.2.7";
export const HMAC_SHA256 = "1.2.840.113549.2.9";

export interface PasswordParts {
  readonly password?: Buffer;
  readonly saltBytes?: number;
  readonly iterations?: number;
  readonly statedKeyBytes?: number;
  /** `undefined`: none is stated, so HMAC-SHA1. */
  readonly prf?: string | undefined;
  readonly derivation?: string;
  readonly hasDerivation?: boolean;
  readonly wrap?: string;
  readonly cipher?: string;
  readonly ivBytes?: number;
  /** The block before it is encrypted. */
  readonly block?: Buffer;
  /** What stands in the entry, whatever was wrapped. */
  readonly wrapped?: Buffer;
  readonly version?: number;
}

const SALT_BYTES = 16;
const IV = Buffer.alloc(16, 5);

/** Count, check and key as RFC 3211 §2.3.1 lays them out. */
export const blockOf = (key: Buffer, count = key.length): Buffer => {
  const head = Buffer.of(count, ...key.subarray(0, 3).map((octet) => 255 - octet));
  const bytes = Math.max(32, Math.ceil((4 + key.length) / 16) * 16);
  return Buffer.concat([head, key], bytes);
};

const integer = (value: number): Buffer => {
  const hex = value.toString(16);
  const octets = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex");
  const isNegative = (octets[0] ?? 0) > 0x7f;
  return encodeTlv(TAG.integer, isNegative ? Buffer.concat([Buffer.of(0), octets]) : octets);
};

/** An entry that wraps `CEK` under `PASSWORD`, unless told otherwise. */
export function passwordRecipient(parts: PasswordParts = {}): Buffer {
  const { iterations = 1000, saltBytes = SALT_BYTES, password = PASSWORD } = parts;
  const prf = "prf" in parts ? parts.prf : HMAC_SHA256;
  const salt = Buffer.alloc(saltBytes, 6);
  const digest = prf === HMAC_SHA256 ? "sha256" : "sha1";
  const isCheap = iterations > 0 && iterations <= 200_000;
  const kek = isCheap ? pbkdf2Sync(password, salt, iterations, 32, digest) : Buffer.alloc(32);
  const derivation = encodeSequence(
    encodeOctetString(salt),
    integer(iterations),
    ...(parts.statedKeyBytes === undefined ? [] : [integer(parts.statedKeyBytes)]),
    ...(prf === undefined ? [] : [encodeAlgorithm(prf, encodeNull())]),
  );
  const iv = encodeOctetString(Buffer.alloc(parts.ivBytes ?? IV.length, IV[0]));
  const cipher = parts.cipher ?? CONTENT_CIPHERS["aes-256-cbc"].oid;
  return encodeTlv(
    contextTag(3),
    encodeSmallInteger(parts.version ?? 0),
    ...(parts.hasDerivation === false
      ? []
      : [encodeTlv(contextTag(0), encodeOid(parts.derivation ?? OID.pbkdf2), derivation)]),
    encodeAlgorithm(parts.wrap ?? OID.passwordWrap, encodeAlgorithm(cipher, iv)),
    encodeOctetString(parts.wrapped ?? wrapTwice(kek, parts.block ?? blockOf(CEK))),
  );
}

function wrapTwice(kek: Buffer, block: Buffer): Buffer {
  const encryption = createCipheriv("aes-256-cbc", kek, IV).setAutoPadding(false);
  const once = encryption.update(block);
  return encryption.update(once); // CBC goes on from the last block: RFC 3211 §2.3.1
}
