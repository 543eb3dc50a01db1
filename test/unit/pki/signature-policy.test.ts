import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { test } from "node:test";
import {
  isAcceptedKey,
  SIGNATURE_RSA_MAX_BITS,
  SIGNATURE_RSA_MIN_BITS,
} from "../../../protocol/pki/signature-policy.ts";

/** A key that nobody has: the modulus is no product of two primes that anybody knows. */
function rsaOf(bits: number): KeyObject {
  const modulus = Buffer.alloc(Math.ceil(bits / 8), 0xff);
  modulus[0] = 0xff >> (modulus.length * 8 - bits);
  const key = { kty: "RSA", n: modulus.toString("base64url"), e: "AQAB" };
  return createPublicKey({ key, format: "jwk" });
}

const ec = (namedCurve: string): KeyObject => generateKeyPairSync("ec", { namedCurve }).publicKey;

const KEYS: Readonly<Record<string, readonly [key: () => KeyObject, isAccepted: boolean]>> = {
  "RSA a bit too short": [() => rsaOf(SIGNATURE_RSA_MIN_BITS - 1), false],
  "the shortest RSA": [() => rsaOf(SIGNATURE_RSA_MIN_BITS), true],
  "the longest RSA": [() => rsaOf(SIGNATURE_RSA_MAX_BITS), true],
  "RSA a bit too long": [() => rsaOf(SIGNATURE_RSA_MAX_BITS + 1), false],
  "P-256": [() => ec("P-256"), true],
  "P-384": [() => ec("P-384"), true],
  "P-521": [() => ec("P-521"), true],
  secp256k1: [() => ec("secp256k1"), false],
  Ed25519: [() => generateKeyPairSync("ed25519").publicKey, false],
};

for (const [what, [key, isAccepted]] of Object.entries(KEYS))
  test(`${what} is ${isAccepted ? "" : "not "}believed in a signature`, () =>
    assert.equal(isAcceptedKey(key()), isAccepted));
