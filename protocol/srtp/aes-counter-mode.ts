/**
 * AES in counter mode as SRTP uses it (RFC 3711 §4.1.1). Pure.
 * One cipher lives as long as the key: AES-ECB over counter blocks, so that no packet pays for
 * a key schedule.
 */
import { type Cipheriv, createCipheriv, createSecretKey } from "node:crypto";
import type { Secret } from "../secret.ts";

const BLOCK_BYTES = 16;
/** Blocks of keystream for one packet index (§4.1.1: a 16-bit block counter). */
const BLOCKS_MAX = 2 ** 16;

export class AesCounterMode {
  readonly #cipher: Cipheriv;
  readonly #salt: Secret;

  /** Key of 16, 24 or 32 octets; session salt of 14. */
  constructor(encryptionKey: Secret, salt: Secret) {
    const key = createSecretKey(encryptionKey.expose());
    this.#cipher = createCipheriv(`aes-${8 * encryptionKey.length}-ecb`, key, null);
    this.#cipher.setAutoPadding(false);
    this.#salt = salt;
  }

  /**
   * XORs the keystream of one packet into `octets`, in place: encrypts and decrypts.
   * `index` is the 48-bit packet index of SRTP or the 31-bit one of SRTCP.
   */
  apply(octets: Buffer, ssrc: number, index: number): void {
    const keystream = this.keystream(ssrc, index, Math.ceil(octets.length / BLOCK_BYTES));
    for (let at = 0; at < octets.length; at += 1)
      octets[at] = (octets[at] ?? 0) ^ (keystream[at] ?? 0);
  }

  /** The first `blocks` blocks of keystream. @throws RangeError beyond 2^16. */
  keystream(ssrc: number, index: number, blocks: number): Buffer {
    if (blocks > BLOCKS_MAX) throw new RangeError("packet longer than its keystream");
    const first = this.#counterBlock(ssrc, index);
    const counters = Buffer.alloc(blocks * BLOCK_BYTES);
    for (let block = 0; block < blocks; block += 1) {
      counters.set(first, block * BLOCK_BYTES);
      counters.writeUInt16BE(block, block * BLOCK_BYTES + 14);
    }
    return this.#cipher.update(counters);
  }

  /** IV = salt · 2^16 XOR SSRC · 2^64 XOR index · 2^16. */
  #counterBlock(ssrc: number, index: number): Buffer {
    const block = Buffer.alloc(BLOCK_BYTES);
    block.set(this.#salt.expose());
    block.writeUInt32BE((block.readUInt32BE(4) ^ ssrc) >>> 0, 4);
    const position = Buffer.alloc(6);
    position.writeUIntBE(index, 0, 6);
    for (const [at, octet] of position.entries())
      block.writeUInt8(block.readUInt8(8 + at) ^ octet, 8 + at);
    return block;
  }
}
