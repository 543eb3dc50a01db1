/**
 * The sealed recording file, as far as it can be read without a key: segments and the heads of
 * their chunks (docs/recording-format.md §2). Pure.
 *
 *     segment header                                    chunk
 *     0   8  magic                                      0  1  kind: 1 more follow, 2 last
 *     8   2  version (1)                                1  4  octets of ciphertext
 *     10  2  number of this segment, from 0             5  n  ciphertext (secretstream)
 *     12  16 recording id (UUID)
 *     28  32 SHA-256 of all octets before this segment
 *     60  2  sealed keys, n
 *     62  n × (16 archive key id | 80 sealed key)
 *     ..  24 secretstream header                        numbers are big-endian
 */

import { createHash } from "node:crypto";
import { ProtocolError } from "../errors.ts";

export const CONTAINER_MAGIC = Buffer.from("894b485245430d0a", "hex");
export const CONTAINER_VERSION = 1;
/** Archive keys that one recording may be sealed to. */
export const MAX_ARCHIVE_KEYS = 16;
/** Octets of plaintext in one chunk, its block type included. */
export const MAX_CHUNK_BYTES = 1024 * 1024;
/** Segments of one file: the first, and one more for each interruption. */
export const MAX_SEGMENTS = 1024;
/** secretstream's overhead: tag octet and authenticator. */
export const CHUNK_OVERHEAD_BYTES = 17;
export const CHUNK_HEAD_BYTES = 5;
/** Octets of a segment header that the first chunk authenticates. */
export const BOUND_HEADER_BYTES = 60;

const FIXED_HEADER_BYTES = 62;
const KEY_ID_BYTES = 16;
const SEALED_KEY_BYTES = 80;
const SLOT_BYTES = KEY_ID_BYTES + SEALED_KEY_BYTES;
const STREAM_HEADER_BYTES = 24;

export const CHUNK_KINDS = { more: 1, last: 2 } as const;

/** What a chunk's plaintext begins with. */
export const BLOCK_TYPES = { pcapng: 1, metadata: 2, completeness: 3 } as const;
export type BlockType = keyof typeof BLOCK_TYPES;

export interface KeySlot {
  /** `archiveKeyId` of the key that opens it. */
  readonly keyId: Buffer;
  /** The recording's key in a sealed box (libsodium `crypto_box_seal`). */
  readonly sealedKey: Buffer;
}

export interface SegmentHeader {
  readonly number: number;
  /** Lower-case UUID. */
  readonly recording: string;
  /** SHA-256 of every octet of the file before this segment; of nothing for the first. */
  readonly previousSha256: Buffer;
  readonly slots: readonly KeySlot[];
  readonly streamHeader: Buffer;
}

export interface Chunk {
  readonly isLast: boolean;
  /** Kind and length as they stand in the file: additional data of the ciphertext. */
  readonly head: Buffer;
  readonly ciphertext: Buffer;
}

export interface Segment {
  readonly header: SegmentHeader;
  /** Where it starts in the file. */
  readonly offset: number;
  /** The first `BOUND_HEADER_BYTES` octets of its header. */
  readonly boundHeader: Buffer;
  readonly chunks: readonly Chunk[];
}

export interface ContainerScan {
  readonly segments: readonly Segment[];
  /** Octets up to the end of the last whole segment header or chunk. */
  readonly wholeBytes: number;
  /** Octets after that: a tail which a crash left half written, or a cut file. */
  readonly tornBytes: number;
}

/** Names an archive key in a file: the first 16 octets of SHA-256 of its 32. */
export function archiveKeyId(publicKey: Uint8Array): Buffer {
  return createHash("sha256").update(publicKey).digest().subarray(0, KEY_ID_BYTES);
}

/** @throws RangeError for more keys than `MAX_ARCHIVE_KEYS`, or none. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const { slots } = header;
  if (slots.length === 0 || slots.length > MAX_ARCHIVE_KEYS)
    throw new RangeError(`${slots.length} archive keys`);
  const fixed = Buffer.alloc(FIXED_HEADER_BYTES);
  CONTAINER_MAGIC.copy(fixed, 0);
  fixed.writeUInt16BE(CONTAINER_VERSION, 8);
  fixed.writeUInt16BE(header.number, 10);
  fixed.write(header.recording.replaceAll("-", ""), 12, "hex");
  fixed.set(header.previousSha256, 28);
  fixed.writeUInt16BE(slots.length, 60);
  const encoded = slots.map(({ keyId, sealedKey }) => Buffer.concat([keyId, sealedKey]));
  return Buffer.concat([fixed, ...encoded, header.streamHeader]);
}

export function encodeChunkHead(isLast: boolean, ciphertextBytes: number): Buffer {
  const head = Buffer.alloc(CHUNK_HEAD_BYTES);
  head.writeUInt8(isLast ? CHUNK_KINDS.last : CHUNK_KINDS.more, 0);
  head.writeUInt32BE(ciphertextBytes, 1);
  return head;
}

/**
 * Finds segments and whole chunks; opens nothing. What follows the last whole one is reported as
 * torn, not refused.
 * @throws ProtocolError `ERR_RECORDING_SYNTAX`: not a recording, another version, or octets that
 *   are neither chunk nor segment.
 */
export function scanContainer(octets: Uint8Array): ContainerScan {
  const file = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
  const begin = file.subarray(0, CONTAINER_MAGIC.length);
  if (!begin.equals(CONTAINER_MAGIC.subarray(0, begin.length))) throw syntax("is no recording");
  const segments: Segment[] = [];
  let at = 0;
  while (at < file.length) {
    const segment = scanSegment(file, at, segments.length);
    if (segment === undefined) break;
    segments.push(segment.segment);
    at = segment.end;
    if (file[at] !== CONTAINER_MAGIC[0]) break;
  }
  return { segments, wholeBytes: at, tornBytes: file.length - at };
}

function scanSegment(
  file: Buffer,
  offset: number,
  expectedNumber: number,
): { segment: Segment; end: number } | undefined {
  if (expectedNumber === MAX_SEGMENTS) throw syntax("has too many segments");
  const decoded = decodeSegmentHeader(file, offset);
  if (decoded === undefined) return undefined;
  if (decoded.header.number !== expectedNumber) throw syntax("has a segment out of order");
  const chunks: Chunk[] = [];
  let at = decoded.end;
  for (let chunk = decodeChunk(file, at); chunk !== undefined; chunk = decodeChunk(file, at)) {
    chunks.push(chunk);
    at += CHUNK_HEAD_BYTES + chunk.ciphertext.length;
    if (chunk.isLast) break;
  }
  const boundHeader = file.subarray(offset, offset + BOUND_HEADER_BYTES);
  return { segment: { header: decoded.header, offset, boundHeader, chunks }, end: at };
}

/** Undefined if the octets end inside the header. */
function decodeSegmentHeader(
  file: Buffer,
  offset: number,
): { header: SegmentHeader; end: number } | undefined {
  const rest = file.subarray(offset);
  if (rest.length < FIXED_HEADER_BYTES) return undefined;
  if (!rest.subarray(0, CONTAINER_MAGIC.length).equals(CONTAINER_MAGIC))
    throw syntax("has octets that are no segment");
  if (rest.readUInt16BE(8) !== CONTAINER_VERSION) throw syntax("is of another version");
  const slotCount = rest.readUInt16BE(60);
  if (slotCount === 0 || slotCount > MAX_ARCHIVE_KEYS) throw syntax("has no good key count");
  const streamAt = FIXED_HEADER_BYTES + slotCount * SLOT_BYTES;
  if (rest.length < streamAt + STREAM_HEADER_BYTES) return undefined;
  const slots = Array.from({ length: slotCount }, (_, index) => {
    const at = FIXED_HEADER_BYTES + index * SLOT_BYTES;
    const keyId = rest.subarray(at, at + KEY_ID_BYTES);
    return { keyId, sealedKey: rest.subarray(at + KEY_ID_BYTES, at + SLOT_BYTES) };
  });
  const header = {
    number: rest.readUInt16BE(10),
    recording: uuidText(rest.subarray(12, 28)),
    previousSha256: rest.subarray(28, 60),
    slots,
    streamHeader: rest.subarray(streamAt, streamAt + STREAM_HEADER_BYTES),
  };
  return { header, end: offset + streamAt + STREAM_HEADER_BYTES };
}

/** Undefined at the end of the octets, inside a chunk, or where a segment begins. */
function decodeChunk(file: Buffer, at: number): Chunk | undefined {
  const kind = file[at];
  if (kind === undefined || kind === CONTAINER_MAGIC[0]) return undefined;
  if (kind !== CHUNK_KINDS.more && kind !== CHUNK_KINDS.last)
    throw syntax(`has octets that are no chunk at ${at}`);
  if (file.length - at < CHUNK_HEAD_BYTES) return undefined;
  const bytes = file.readUInt32BE(at + 1);
  if (bytes <= CHUNK_OVERHEAD_BYTES || bytes > MAX_CHUNK_BYTES + CHUNK_OVERHEAD_BYTES)
    throw syntax(`has a chunk of no good length at ${at}`);
  const start = at + CHUNK_HEAD_BYTES;
  if (file.length - start < bytes) return undefined;
  return {
    isLast: kind === CHUNK_KINDS.last,
    head: file.subarray(at, start),
    ciphertext: file.subarray(start, start + bytes),
  };
}

function uuidText(octets: Buffer): string {
  const hex = octets.toString("hex");
  const cuts = [0, 8, 12, 16, 20, 32];
  return cuts
    .slice(1)
    .map((end, index) => hex.slice(cuts[index], end))
    .join("-");
}

const syntax = (what: string) =>
  new ProtocolError("ERR_RECORDING_SYNTAX", `the recording file ${what}`);
