/**
 * PasswordRecipientInfo (RFC 5652 §6.2.4): the key comes of a password by PBKDF2 (RFC 8018 §5.2)
 * and wraps by PWRI-KEK (RFC 3211). HMAC-SHA256 out; HMAC-SHA1 too on input. The derivation runs
 * in node:crypto's thread pool; nothing else here waits. Pure: random octets are an argument.
 */
import { pbkdf2 } from "node:crypto";
import {
  encodeAlgorithm,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../der/encode.ts";
import {
  type AlgorithmIdentifier,
  readAlgorithm,
  readOctetString,
  readSequence,
  readSmallInteger,
} from "../der/read.ts";
import { contextTag, TAG } from "../der/tag.ts";
import { Secret } from "../secret.ts";
import {
  type CbcCipher,
  CONTENT_CIPHERS,
  contentCipherOf,
  HMAC_SHA256_OID,
  isCbcCipher,
  type KeyDigest,
  OID,
  PASSWORD_DIGESTS,
} from "./algorithms.ts";
import { unwrapUnderPassword, wrapUnderPassword } from "./password-wrap.ts";
import type { PasswordEntry } from "./recipient-info.ts";

/** Iterations that we write. */
export const PASSWORD_ITERATIONS = 100_000;
/** Fewest iterations that we follow (RFC 8018 §4.2). */
export const PASSWORD_MIN_ITERATIONS = 1000;
/** Most iterations that we follow: a peer must not have us work for longer. */
export const PASSWORD_MAX_ITERATIONS = 200_000;
/** Shortest and longest salt that we follow, in octets. */
export const PASSWORD_MIN_SALT_BYTES = 8;
export const PASSWORD_MAX_SALT_BYTES = 64;

/** A recipient who knows a password, the derivation of its key being done. */
export interface PasswordRecipient {
  readonly kind: "password";
  readonly salt: Buffer;
  readonly kek: Secret;
}

const PASSWORD_VERSION = 0;
const SALT_BYTES = 16;
const IV_BYTES = 16;
const WRAP_CIPHER: CbcCipher = "aes-256-cbc";
const WRAP = CONTENT_CIPHERS[WRAP_CIPHER];

/** Derives the key for one message to a recipient with this password. */
export async function derivePasswordRecipient(
  password: Secret,
  random: (size: number) => Buffer,
): Promise<PasswordRecipient> {
  const salt = random(SALT_BYTES);
  const kek = await deriveKek(password, {
    digest: "sha256",
    salt,
    iterations: PASSWORD_ITERATIONS,
    cipher: WRAP_CIPHER,
  });
  return { kind: "password", salt, kek };
}

/** PasswordRecipientInfo that wraps `cek` for this recipient. */
export function encodePasswordRecipient(
  cek: Uint8Array,
  recipient: PasswordRecipient,
  random: (size: number) => Buffer,
): Buffer {
  const iv = random(IV_BYTES);
  const derivation = encodeSequence(
    encodeOctetString(recipient.salt),
    encodeIterations(PASSWORD_ITERATIONS),
    encodeAlgorithm(HMAC_SHA256_OID, encodeNull()),
  );
  const wrapped = wrapUnderPassword(WRAP_CIPHER, recipient.kek.expose(), iv, cek, random);
  return encodeTlv(
    contextTag(3),
    encodeSmallInteger(PASSWORD_VERSION),
    encodeTlv(contextTag(0), encodeOid(OID.pbkdf2), derivation),
    encodeAlgorithm(OID.passwordWrap, encodeAlgorithm(WRAP.oid, encodeOctetString(iv))),
    encodeOctetString(wrapped),
  );
}

/**
 * The content key of an entry, if this is its password. Limits are held before work is done.
 * @throws Error whatever is wrong with it.
 */
export async function openPasswordEntry(entry: PasswordEntry, password: Secret): Promise<Buffer> {
  const { cipher, iv } = readWrap(entry.algorithm);
  const kek = await deriveKek(password, readDerivation(entry.derivation, cipher));
  try {
    return unwrapUnderPassword(cipher, kek.expose(), iv, entry.encryptedKey);
  } finally {
    kek.wipe();
  }
}

interface Derivation {
  readonly digest: KeyDigest;
  readonly salt: Buffer;
  readonly iterations: number;
  readonly cipher: CbcCipher;
}

function readWrap({ oid, parameters }: AlgorithmIdentifier): { cipher: CbcCipher; iv: Buffer } {
  if (oid !== OID.passwordWrap) throw new TypeError("wrap not supported");
  const inner = readAlgorithm(parameters);
  const cipher = contentCipherOf(inner.oid);
  if (cipher === undefined || !isCbcCipher(cipher)) throw new TypeError("wrap not supported");
  const iv = readOctetString(inner.parameters);
  if (iv.length !== IV_BYTES) throw new TypeError("length of IV");
  return { cipher, iv };
}

/** PBKDF2-params (RFC 8018 appendix A.2); the default of `prf` is HMAC-SHA1. */
function readDerivation(algorithm: AlgorithmIdentifier | undefined, cipher: CbcCipher): Derivation {
  if (algorithm?.oid !== OID.pbkdf2) throw new TypeError("derivation not supported");
  const [saltField, iterationsField, ...rest] = readSequence(algorithm.parameters);
  const salt = readOctetString(saltField);
  if (salt.length < PASSWORD_MIN_SALT_BYTES || salt.length > PASSWORD_MAX_SALT_BYTES)
    throw new RangeError("length of salt");
  const iterations = readSmallInteger(iterationsField);
  if (iterations < PASSWORD_MIN_ITERATIONS || iterations > PASSWORD_MAX_ITERATIONS)
    throw new RangeError("iterations");
  const hasLength = rest[0]?.tag === TAG.integer;
  if (hasLength && readSmallInteger(rest[0]) !== CONTENT_CIPHERS[cipher].keyBytes)
    throw new TypeError("length of key");
  const prf = hasLength ? rest[1] : rest[0];
  const digest = prf === undefined ? "sha1" : PASSWORD_DIGESTS.get(readAlgorithm(prf).oid);
  if (digest === undefined) throw new TypeError("derivation not supported");
  return { digest, salt, iterations, cipher };
}

const deriveKek = (password: Secret, derivation: Derivation): Promise<Secret> =>
  new Promise((resolve, reject) => {
    const { digest, salt, iterations, cipher } = derivation;
    const { keyBytes } = CONTENT_CIPHERS[cipher];
    pbkdf2(password.expose(), salt, iterations, keyBytes, digest, (error, octets) => {
      if (error !== null) return reject(error);
      resolve(new Secret(octets));
      octets.fill(0);
    });
  });

/** A positive INTEGER of 31 bits at most. */
function encodeIterations(count: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeInt32BE(count);
  const start = octets.findIndex((octet) => octet > 0);
  const isNegative = (octets[start] ?? 0) > 0x7f;
  return encodeTlv(TAG.integer, octets.subarray(isNegative ? start - 1 : start));
}
