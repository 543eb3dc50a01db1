/**
 * Signatures of certificates, requests and CRLs over exact octets: ECDSA on P-256 and RSA
 * PKCS#1 v1.5, with SHA-256 (RFC 5758 §3.2, RFC 4055 §5). Pure, but ECDSA's nonce is OpenSSL's own.
 */
import { type KeyObject, sign, verify } from "node:crypto";
import { encodeAlgorithm, encodeBitString, encodeNull, encodeSequence } from "../der/encode.ts";
import { readAlgorithm } from "../der/read.ts";
import type { Tlv } from "../der/tlv.ts";

const ECDSA_WITH_SHA256 = encodeAlgorithm("1.2.840.10045.4.3.2");
const SHA256_WITH_RSA = encodeAlgorithm("1.2.840.113549.1.1.11", encodeNull());

export type SignatureDigest = "sha256" | "sha384" | "sha512";

export interface SignatureAlgorithm {
  readonly keyType: "ec" | "rsa";
  readonly digest: SignatureDigest;
}

/** By object identifier: ecdsa-with-SHA2 (RFC 5758 §3.2), SHA-2 with RSA (RFC 4055 §5). */
export const SIGNATURE_ALGORITHMS: ReadonlyMap<string, SignatureAlgorithm> = new Map([
  ["1.2.840.10045.4.3.2", { keyType: "ec", digest: "sha256" }],
  ["1.2.840.10045.4.3.3", { keyType: "ec", digest: "sha384" }],
  ["1.2.840.10045.4.3.4", { keyType: "ec", digest: "sha512" }],
  ["1.2.840.113549.1.1.11", { keyType: "rsa", digest: "sha256" }],
  ["1.2.840.113549.1.1.12", { keyType: "rsa", digest: "sha384" }],
  ["1.2.840.113549.1.1.13", { keyType: "rsa", digest: "sha512" }],
]);

/**
 * The AlgorithmIdentifier of what `signOctets` makes with this private key.
 * @throws TypeError if it is neither P-256 nor RSA.
 */
export function signatureAlgorithmOf(privateKey: KeyObject): Buffer {
  if (privateKey.asymmetricKeyType === "rsa") return SHA256_WITH_RSA;
  if (privateKey.asymmetricKeyDetails?.namedCurve === "prime256v1") return ECDSA_WITH_SHA256;
  throw new TypeError("a P-256 or RSA key expected");
}

/** Signs with SHA-256. RSA takes twenty times as long as P-256, so it is done off the thread. */
export function signOctets(octets: Uint8Array, privateKey: KeyObject): Promise<Buffer> {
  if (privateKey.asymmetricKeyType === "ec")
    return Promise.resolve(sign("sha256", octets, privateKey));
  return new Promise((resolve, reject) => {
    sign("sha256", octets, privateKey, (error, signature) => {
      if (error === null) resolve(signature);
      else reject(error);
    });
  });
}

/** SEQUENCE of what is signed, how, and the signature (RFC 5280 §4.1, §5.1, RFC 2986 §4.2). */
export async function encodeSigned(toBeSigned: Buffer, privateKey: KeyObject): Promise<Buffer> {
  const algorithm = signatureAlgorithmOf(privateKey);
  const signature = await signOctets(toBeSigned, privateKey);
  return encodeSequence(toBeSigned, algorithm, encodeBitString(signature));
}

/**
 * True if a signature by SHA-2 verifies. Whether the key is strong enough is the caller's question.
 */
export function isSignatureValid(
  toBeSigned: Uint8Array,
  algorithm: Tlv | undefined,
  signature: Uint8Array,
  publicKey: KeyObject,
): boolean {
  const known = SIGNATURE_ALGORITHMS.get(readAlgorithm(algorithm).oid);
  if (known === undefined || known.keyType !== publicKey.asymmetricKeyType) return false;
  try {
    return verify(known.digest, toBeSigned, publicKey, signature);
  } catch {
    return false; // a key that OpenSSL cannot calculate with
  }
}
