/**
 * The algorithms that our CMS messages may use, by object identifier. Pure.
 * Content: RFC 3565, RFC 5084. Key agreement: RFC 5753. RSA: OAEP only (RFC 3560, RFC 4055).
 */

export const OID = {
  data: "1.2.840.113549.1.7.1",
  envelopedData: "1.2.840.113549.1.7.3",
  encryptedData: "1.2.840.113549.1.7.6",
  authEnvelopedData: "1.2.840.113549.1.9.16.1.23",
  /** id-aa-CEKReference (RFC 3185 appendix A). */
  cekReference: "1.2.840.113549.1.9.16.2.30",
  ecPublicKey: "1.2.840.10045.2.1",
  prime256v1: "1.2.840.10045.3.1.7",
  rsaEncryption: "1.2.840.113549.1.1.1",
  rsaesOaep: "1.2.840.113549.1.1.7",
  mgf1: "1.2.840.113549.1.1.8",
  pSpecified: "1.2.840.113549.1.1.9",
  pbkdf2: "1.2.840.113549.1.5.12",
  /** id-alg-PWRI-KEK (RFC 3211 §2.3). */
  passwordWrap: "1.2.840.113549.1.9.16.3.9",
  subjectKeyIdentifier: "2.5.29.14",
} as const;

interface CipherSpec {
  readonly oid: string;
  readonly keyBytes: 16 | 32;
  readonly mode: "cbc" | "gcm";
}

/** Content ciphers by the name that node:crypto gives them. */
export const CONTENT_CIPHERS = {
  "aes-128-cbc": { oid: "2.16.840.1.101.3.4.1.2", keyBytes: 16, mode: "cbc" },
  "aes-256-cbc": { oid: "2.16.840.1.101.3.4.1.42", keyBytes: 32, mode: "cbc" },
  "aes-128-gcm": { oid: "2.16.840.1.101.3.4.1.6", keyBytes: 16, mode: "gcm" },
  "aes-256-gcm": { oid: "2.16.840.1.101.3.4.1.46", keyBytes: 32, mode: "gcm" },
} as const satisfies Record<string, CipherSpec>;

export type ContentCipher = keyof typeof CONTENT_CIPHERS;
export type CbcCipher = "aes-128-cbc" | "aes-256-cbc";
export type GcmCipher = "aes-128-gcm" | "aes-256-gcm";

export const isCbcCipher = (cipher: ContentCipher): cipher is CbcCipher =>
  CONTENT_CIPHERS[cipher].mode === "cbc";

/** The cipher with this identifier, if it is one of ours. */
export const contentCipherOf = (oid: string): ContentCipher | undefined =>
  (Object.keys(CONTENT_CIPHERS) as ContentCipher[]).find(
    (name) => CONTENT_CIPHERS[name].oid === oid,
  );

/** AES key wrap (RFC 3394, RFC 3565 §2.3.2). */
export interface WrapAlgorithm {
  readonly name: "id-aes128-wrap" | "id-aes256-wrap";
  readonly oid: string;
  readonly keyBytes: 16 | 32;
}

export const AES128_WRAP: WrapAlgorithm = {
  name: "id-aes128-wrap",
  oid: "2.16.840.1.101.3.4.1.5",
  keyBytes: 16,
};
export const AES256_WRAP: WrapAlgorithm = {
  name: "id-aes256-wrap",
  oid: "2.16.840.1.101.3.4.1.45",
  keyBytes: 32,
};

/** The wrap with this identifier, if it is one of ours. */
export const wrapAlgorithmOf = (oid: string): WrapAlgorithm | undefined =>
  [AES128_WRAP, AES256_WRAP].find((wrap) => wrap.oid === oid);

/** The wrap whose key has this size. @throws RangeError for any but 16 and 32. */
export function wrapAlgorithmFor(keyBytes: number): WrapAlgorithm {
  if (keyBytes === AES128_WRAP.keyBytes) return AES128_WRAP;
  if (keyBytes === AES256_WRAP.keyBytes) return AES256_WRAP;
  throw new RangeError("a key of 16 or 32 octets expected");
}

export type KeyDigest = "sha1" | "sha256";

/** Digest of the X9.63 key derivation by scheme (RFC 5753 §7.1.4); we write the second. */
export const KEY_AGREEMENT_DIGESTS: ReadonlyMap<string, KeyDigest> = new Map([
  ["1.3.133.16.840.63.0.2", "sha1"],
  ["1.3.132.1.11.1", "sha256"],
]);
export const KEY_AGREEMENT_SHA256 = "1.3.132.1.11.1";

/** Digests of OAEP (RFC 4055 §2.1); we write the second. */
export const OAEP_DIGESTS: ReadonlyMap<string, KeyDigest> = new Map([
  ["1.3.14.3.2.26", "sha1"],
  ["2.16.840.1.101.3.4.2.1", "sha256"],
]);
export const SHA256_OID = "2.16.840.1.101.3.4.2.1";

/** Pseudo-random functions of PBKDF2 (RFC 8018 appendix B.1); we write the second. */
export const PASSWORD_DIGESTS: ReadonlyMap<string, KeyDigest> = new Map([
  ["1.2.840.113549.2.7", "sha1"],
  ["1.2.840.113549.2.9", "sha256"],
]);
export const HMAC_SHA256_OID = "1.2.840.113549.2.9";
