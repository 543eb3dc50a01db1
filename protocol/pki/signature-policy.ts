/**
 * Which signatures and keys we believe: no SHA-1, no short RSA. Pure.
 */
import type { KeyObject } from "node:crypto";
import type { AlgorithmIdentifier } from "pkijs";

/** Shortest RSA modulus believed in a signature. */
export const SIGNATURE_RSA_MIN_BITS = 2048;
/** Longest: beyond it a verification costs more than a call. */
export const SIGNATURE_RSA_MAX_BITS = 8192;

export const SHA256 = "2.16.840.1.101.3.4.2.1";
const DIGESTS = new Set([SHA256, "2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.3"]);
const RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
/** ecdsa-with-SHA256, -384, -512 (RFC 5758 §3.2); sha256-, sha384-, sha512WithRSA (RFC 4055 §5). */
const SIGNATURES = new Set([
  "1.2.840.10045.4.3.2",
  "1.2.840.10045.4.3.3",
  "1.2.840.10045.4.3.4",
  "1.2.840.113549.1.1.11",
  "1.2.840.113549.1.1.12",
  "1.2.840.113549.1.1.13",
]);
const CURVES = new Set(["prime256v1", "secp384r1", "secp521r1"]);

export const isAcceptedDigest = (algorithm: AlgorithmIdentifier): boolean =>
  DIGESTS.has(algorithm.algorithmId);

export const isAcceptedSignature = (algorithm: AlgorithmIdentifier): boolean =>
  SIGNATURES.has(algorithm.algorithmId);

/** As above, or bare rsaEncryption, whose digest stands elsewhere in a SignerInfo (RFC 3370 §3.2). */
export const isAcceptedSignerSignature = (algorithm: AlgorithmIdentifier): boolean =>
  isAcceptedSignature(algorithm) || algorithm.algorithmId === RSA_ENCRYPTION;

/** True for RSA of a sound length and the NIST curves. */
export function isAcceptedKey(key: KeyObject): boolean {
  const { modulusLength = 0, namedCurve = "" } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "rsa":
      return modulusLength >= SIGNATURE_RSA_MIN_BITS && modulusLength <= SIGNATURE_RSA_MAX_BITS;
    case "ec":
      return CURVES.has(namedCurve);
    default:
      return false;
  }
}
