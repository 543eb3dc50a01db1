/**
 * Writes one segment of a sealed recording: a key of its own, sealed to the archive's public keys,
 * then secretstream chunks (docs/recording-format.md §2). Whoever writes cannot read back: once
 * the writer has ended, only the archive's private key opens what it wrote. Pure, apart from
 * libsodium's random octets and memory.
 */

import { createHash } from "node:crypto";
import {
  archiveKeyId,
  BLOCK_TYPES,
  type BlockType,
  BOUND_HEADER_BYTES,
  CHUNK_OVERHEAD_BYTES,
  encodeChunkHead,
  encodeSegmentHeader,
  MAX_CHUNK_BYTES,
} from "./container-format.ts";
import { forgetStream, type Sodium, type StreamState } from "./sodium.ts";

export interface SegmentPlace {
  readonly recording: string;
  /** 0 for a new file. */
  readonly number: number;
  /** SHA-256 of the octets that the file holds already. */
  readonly previousSha256: Buffer;
}

/** The place of the first segment of a new recording. */
export function firstSegment(recording: string): SegmentPlace {
  return { recording, number: 0, previousSha256: createHash("sha256").digest() };
}

export class ContainerWriter {
  /** The segment's header: the first octets to write. */
  readonly header: Buffer;
  readonly #sodium: Sodium;
  readonly #state: StreamState;
  #bound: Buffer;
  #ended = false;

  /**
   * @param archiveKeys X25519 public keys, 32 octets each; any one of them will open the segment.
   * @throws RangeError for no key or more than `MAX_ARCHIVE_KEYS`.
   */
  constructor(place: SegmentPlace, archiveKeys: readonly Uint8Array[], sodium: Sodium) {
    this.#sodium = sodium;
    const key = sodium.crypto_secretstream_xchacha20poly1305_keygen();
    const stream = sodium.crypto_secretstream_xchacha20poly1305_init_push(key);
    this.#state = stream.state;
    const slots = archiveKeys.map((archiveKey) => ({
      keyId: archiveKeyId(archiveKey),
      sealedKey: Buffer.from(sodium.crypto_box_seal(key, archiveKey)),
    }));
    key.fill(0);
    this.header = encodeSegmentHeader({
      ...place,
      slots,
      streamHeader: Buffer.from(stream.header),
    });
    this.#bound = this.header.subarray(0, BOUND_HEADER_BYTES);
  }

  /**
   * Seals one block into as many chunks as it needs.
   * @throws RangeError after `sealLast` or `abandon`, or for an empty block.
   */
  seal(type: BlockType, octets: Uint8Array): Buffer {
    const room = MAX_CHUNK_BYTES - 1;
    const chunks: Buffer[] = [];
    if (octets.length === 0) throw new RangeError("an empty block");
    for (let at = 0; at < octets.length; at += room)
      chunks.push(this.#chunk(type, octets.subarray(at, at + room), false));
    return Buffer.concat(chunks);
  }

  /**
   * Seals the block that ends the segment, and forgets the key.
   * @throws RangeError if it does not fit one chunk, or after an end.
   */
  sealLast(type: BlockType, octets: Uint8Array): Buffer {
    const chunk = this.#chunk(type, octets, true);
    this.abandon();
    return chunk;
  }

  /** Forgets the key without an end: the file shows that it was interrupted. */
  abandon(): void {
    if (this.#ended) return;
    this.#ended = true;
    forgetStream(this.#sodium, this.#state);
  }

  #chunk(type: BlockType, octets: Uint8Array, isLast: boolean): Buffer {
    if (this.#ended) throw new RangeError("this segment has ended");
    if (octets.length > MAX_CHUNK_BYTES - 1) throw new RangeError(`block of ${octets.length}`);
    const plaintext = Buffer.concat([Buffer.of(BLOCK_TYPES[type]), octets]);
    const head = encodeChunkHead(isLast, plaintext.length + CHUNK_OVERHEAD_BYTES);
    const ciphertext = this.#sodium.crypto_secretstream_xchacha20poly1305_push(
      this.#state,
      plaintext,
      Buffer.concat([this.#bound, head]),
      isLast
        ? this.#sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
        : this.#sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE,
    );
    this.#bound = Buffer.alloc(0);
    return Buffer.concat([head, ciphertext]);
  }
}
