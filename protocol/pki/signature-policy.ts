/**
 * Which keys we believe in signatures: no short RSA, no curve but NIST's. Pure.
 */
import type { KeyObject } from "node:crypto";

/** Shortest RSA modulus believed in a signature. */
export const SIGNATURE_RSA_MIN_BITS = 2048;
/** Longest: beyond it a verification costs more than a call. */
export const SIGNATURE_RSA_MAX_BITS = 8192;

const CURVES = new Set(["prime256v1", "secp384r1", "secp521r1"]);

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
