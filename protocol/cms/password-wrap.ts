/**
 * PWRI-KEK: a content key wrapped under a password's key by encrypting it twice, so that every
 * octet depends on every other (RFC 3211 §2.3). Pure: random octets are an argument.
 *
 *     | count | ~key[0] ~key[1] ~key[2] | key ... | random padding to whole blocks, two at least |
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { CbcCipher } from "./algorithms.ts";

const BLOCK_BYTES = 16;
const HEAD_BYTES = 4;
const CHECK_BYTES = 3;
const MIN_BYTES = 2 * BLOCK_BYTES;
/** Head and the longest key that any of our ciphers takes, in whole blocks. */
const MAX_BYTES = 3 * BLOCK_BYTES;

/** Wraps `key`, of 3 octets or more, under `kek` by this cipher and IV. */
export function wrapUnderPassword(
  cipher: CbcCipher,
  kek: Uint8Array,
  iv: Uint8Array,
  key: Uint8Array,
  random: (size: number) => Buffer,
): Buffer {
  const paddedBytes = Math.max(
    MIN_BYTES,
    Math.ceil((HEAD_BYTES + key.length) / BLOCK_BYTES) * BLOCK_BYTES,
  );
  const check = Uint8Array.from(key.subarray(0, CHECK_BYTES), (octet) => octet ^ 0xff);
  const padding = random(paddedBytes - HEAD_BYTES - key.length);
  const block = Buffer.concat([Uint8Array.of(key.length), check, key, padding]);
  const once = encrypt(cipher, kek, iv, block);
  block.fill(0);
  return encrypt(cipher, kek, once.subarray(-BLOCK_BYTES), once);
}

/** Unwraps a key. @throws TypeError if it was not wrapped under this one. */
export function unwrapUnderPassword(
  cipher: CbcCipher,
  kek: Uint8Array,
  iv: Uint8Array,
  wrapped: Buffer,
): Buffer {
  if (wrapped.length < MIN_BYTES || wrapped.length > MAX_BYTES || wrapped.length % BLOCK_BYTES > 0)
    throw new TypeError("length of a wrapped key");
  const [last, before] = [wrapped.subarray(-BLOCK_BYTES), wrapped.subarray(0, -BLOCK_BYTES)];
  const innerIv = decrypt(cipher, kek, before.subarray(-BLOCK_BYTES), last);
  const once = decrypt(cipher, kek, innerIv, wrapped);
  const block = decrypt(cipher, kek, iv, once);
  try {
    const [keyBytes = 0] = block;
    const end = HEAD_BYTES + keyBytes;
    const isChecked = block
      .subarray(1, HEAD_BYTES)
      .every((octet, index) => (octet ^ (block[HEAD_BYTES + index] ?? 0)) === 0xff);
    if (!isChecked || keyBytes < CHECK_BYTES || end > block.length)
      throw new TypeError("not wrapped under this key");
    return Buffer.from(block.subarray(HEAD_BYTES, end));
  } finally {
    block.fill(0);
  }
}

function encrypt(name: CbcCipher, key: Uint8Array, iv: Uint8Array, octets: Uint8Array): Buffer {
  const cipher = createCipheriv(name, key, iv).setAutoPadding(false);
  return Buffer.concat([cipher.update(octets), cipher.final()]);
}

function decrypt(name: CbcCipher, key: Uint8Array, iv: Uint8Array, octets: Uint8Array): Buffer {
  const decipher = createDecipheriv(name, key, iv).setAutoPadding(false);
  return Buffer.concat([decipher.update(octets), decipher.final()]);
}
