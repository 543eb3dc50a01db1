/**
 * Key pairs of our own, and what is asked of an authority for them. Touches OpenSSL's random octets.
 */
import { createPublicKey, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { createCertificationRequest } from "../../protocol/pki/certification-request.ts";
import { keyIdOf } from "../../protocol/pki/public-key.ts";
import type { RegistrationConfig } from "../config.ts";

/** A key that is to be certified, and the request for it. */
export interface RequestedKey {
  readonly privateKey: KeyObject;
  /** DER. */
  readonly request: Buffer;
  readonly keyId: string;
  /** Certified and stored before. */
  readonly isKept: boolean;
}

interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const generate = promisify(generateKeyPair);
const RSA_BITS = { rsa2048: 2048, rsa3072: 3072 } as const;

/** The request for the key that is kept, or for one that is made. */
export async function requestKey(
  aor: string,
  kept: KeyObject | undefined,
  keyType: RegistrationConfig["keyType"],
): Promise<RequestedKey> {
  const { privateKey, publicKey } =
    kept === undefined
      ? await makeKeyPair(keyType)
      : { privateKey: kept, publicKey: createPublicKey(kept) };
  const request = await createCertificationRequest({ aor, privateKey, publicKey });
  return { privateKey, request, keyId: keyIdOf(publicKey), isKept: kept !== undefined };
}

/** Whether a key that is kept is of the kind that is wanted. */
export function isOfType(key: KeyObject, keyType: RegistrationConfig["keyType"]): boolean {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  return keyType === "p256"
    ? namedCurve === "prime256v1"
    : key.asymmetricKeyType === "rsa" && modulusLength === RSA_BITS[keyType];
}

/** In the thread pool: RSA takes its time. */
const makeKeyPair = (keyType: RegistrationConfig["keyType"]): Promise<KeyPair> =>
  keyType === "p256"
    ? generate("ec", { namedCurve: "P-256" })
    : generate("rsa", { modulusLength: RSA_BITS[keyType] });
