/**
 * AES key wrap (RFC 3394) of a content key. Pure.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { WrapAlgorithm } from "./algorithms.ts";

const INITIAL_VALUE = Buffer.alloc(8, 0xa6); // RFC 3394 §2.2.3.1

/** Wraps `key` under `kek`; the result is 8 octets longer. */
export function wrapKey(wrap: WrapAlgorithm, kek: Uint8Array, key: Uint8Array): Buffer {
  const cipher = createCipheriv(wrap.name, kek, INITIAL_VALUE);
  return Buffer.concat([cipher.update(key), cipher.final()]);
}

/** Unwraps a key. @throws Error of node:crypto if the integrity check fails. */
export function unwrapKey(wrap: WrapAlgorithm, kek: Uint8Array, wrapped: Uint8Array): Buffer {
  const decipher = createDecipheriv(wrap.name, kek, INITIAL_VALUE);
  return Buffer.concat([decipher.update(wrapped), decipher.final()]);
}
