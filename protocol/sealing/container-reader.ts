/**
 * Opens a sealed recording with an archive's private key, and finds every truncation, change and
 * reordering (docs/recording-format.md §2). Pure, apart from libsodium's memory.
 */

import { createHash } from "node:crypto";
import { ProtocolError } from "../errors.ts";
import {
  archiveKeyId,
  BLOCK_TYPES,
  type BlockType,
  type Chunk,
  type Segment,
  scanContainer,
} from "./container-format.ts";
import { forgetStream, type Sodium, type StreamState, type X25519KeyPair } from "./sodium.ts";

export interface Block {
  readonly type: BlockType;
  readonly octets: Buffer;
}

export interface OpenedSegment {
  readonly blocks: readonly Block[];
  /** False: the recorder was interrupted here; a later segment says so. */
  readonly isEnded: boolean;
}

export interface OpenedContainer {
  readonly recording: string;
  readonly segments: readonly OpenedSegment[];
}

/**
 * Opens the whole file.
 * @throws ProtocolError `ERR_RECORDING_KEY` (sealed to other archive keys),
 *   `ERR_RECORDING_TRUNCATED` (cut, or its recorder has not closed it yet),
 *   `ERR_RECORDING_ALTERED` (naming segment and chunk), `ERR_RECORDING_SYNTAX`.
 */
export function openContainer(
  octets: Uint8Array,
  archiveKey: X25519KeyPair,
  sodium: Sodium,
): OpenedContainer {
  const { segments, tornBytes } = scanContainer(octets);
  const [first] = segments;
  if (first === undefined) throw truncated("inside its header");
  const opened = segments.map((segment, index) => {
    checkPlace(octets, segment, first.header.recording);
    const next = openSegment(segment, archiveKey, sodium);
    if (!next.isEnded && index === segments.length - 1)
      throw truncated(`in segment ${index}, after chunk ${next.blocks.length - 1}`);
    return next;
  });
  if (tornBytes > 0) throw altered(`${tornBytes} octets follow its end`);
  return { recording: first.header.recording, segments: opened };
}

/**
 * Opens the first block of the first segment alone: what `list` needs of a long file, or of one
 * that is still being written.
 * @throws ProtocolError as `openContainer`.
 */
export function openFirstBlock(
  octets: Uint8Array,
  archiveKey: X25519KeyPair,
  sodium: Sodium,
): { readonly recording: string; readonly block: Block } {
  const [first] = scanContainer(octets).segments;
  if (first === undefined) throw truncated("inside its header");
  checkPlace(octets, first, first.header.recording);
  const segment = { ...first, chunks: first.chunks.slice(0, 1) };
  const [block] = openSegment(segment, archiveKey, sodium).blocks;
  if (block === undefined) throw truncated("before its first chunk");
  return { recording: first.header.recording, block };
}

function checkPlace(octets: Uint8Array, segment: Segment, recording: string): void {
  const { header, offset } = segment;
  const before = createHash("sha256").update(octets.subarray(0, offset)).digest();
  if (!before.equals(header.previousSha256))
    throw altered(`segment ${header.number} does not continue what stands before it`);
  if (header.recording !== recording)
    throw altered(`segment ${header.number} belongs to another recording`);
}

function openSegment(segment: Segment, archiveKey: X25519KeyPair, sodium: Sodium): OpenedSegment {
  const key = openKey(segment, archiveKey, sodium);
  const state = sodium.crypto_secretstream_xchacha20poly1305_init_pull(
    segment.header.streamHeader,
    key,
  );
  key.fill(0);
  const place = `segment ${segment.header.number}`;
  try {
    const blocks = segment.chunks.map((chunk, index) => {
      const bound = index === 0 ? [segment.boundHeader, chunk.head] : [chunk.head];
      return openChunk(state, chunk, Buffer.concat(bound), `${place}, chunk ${index}`, sodium);
    });
    return { blocks, isEnded: segment.chunks.at(-1)?.isLast ?? false };
  } finally {
    forgetStream(sodium, state);
  }
}

function openKey(segment: Segment, archiveKey: X25519KeyPair, sodium: Sodium): Buffer {
  const keyId = archiveKeyId(archiveKey.publicKey);
  const slot = segment.header.slots.find((candidate) => candidate.keyId.equals(keyId));
  if (slot === undefined) {
    const ids = segment.header.slots.map((candidate) => candidate.keyId.toString("hex"));
    throw new ProtocolError(
      "ERR_RECORDING_KEY",
      `the recording is sealed to archive key ${ids.join(", ")}, not to ${keyId.toString("hex")}`,
    );
  }
  const { publicKey, privateKey } = archiveKey;
  try {
    return Buffer.from(sodium.crypto_box_seal_open(slot.sealedKey, publicKey, privateKey));
  } catch {
    throw altered(`the sealed key of segment ${segment.header.number}`);
  }
}

function openChunk(
  state: StreamState,
  chunk: Chunk,
  bound: Buffer,
  place: string,
  sodium: Sodium,
): Block {
  const pulled = sodium.crypto_secretstream_xchacha20poly1305_pull(state, chunk.ciphertext, bound);
  if (pulled === false) throw altered(place);
  const isFinal = pulled.tag === sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL;
  if (isFinal !== chunk.isLast) throw altered(place);
  const plaintext = Buffer.from(
    pulled.message.buffer,
    pulled.message.byteOffset,
    pulled.message.byteLength,
  );
  const type = blockType(plaintext[0]);
  if (type === undefined)
    throw new ProtocolError("ERR_RECORDING_SYNTAX", `${place} holds a block of unknown type`);
  return { type, octets: plaintext.subarray(1) };
}

function blockType(octet: number | undefined): BlockType | undefined {
  const found = Object.entries(BLOCK_TYPES).find(([, value]) => value === octet);
  return found?.[0] as BlockType | undefined;
}

const truncated = (where: string) =>
  new ProtocolError("ERR_RECORDING_TRUNCATED", `the recording file ends ${where}, without a close`);
const altered = (what: string) =>
  new ProtocolError("ERR_RECORDING_ALTERED", `the recording file was altered: ${what}`);
