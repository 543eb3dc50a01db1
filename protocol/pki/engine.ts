/**
 * The engine that pkijs computes with: Node's WebCrypto, given to each call, never set globally.
 * Touches no state; its random octets are OpenSSL's.
 */
import { webcrypto } from "node:crypto";
import { CryptoEngine, type ICryptoEngine } from "pkijs";

export const ENGINE: ICryptoEngine = new CryptoEngine({
  name: "node",
  crypto: webcrypto as unknown as Crypto,
}) as unknown as ICryptoEngine;

/** A copy in an ArrayBuffer of its own, as pkijs wants it. */
export const toArrayBuffer = (octets: Uint8Array): ArrayBuffer => Uint8Array.from(octets).buffer;
