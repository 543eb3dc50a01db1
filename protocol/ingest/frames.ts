/**
 * Framing of the ingest socket between the agent (which captures) and the recorder. Pure.
 *
 *     0               4     5
 *     +---------------+-----+----------------------------+
 *     | length u32 BE | kind| payload: length - 1 octets |
 *     +---------------+-----+----------------------------+
 *
 * `length` counts the kind octet and the payload. The payload of a batch frame is packets, that
 * of every other kind one JSON object (`messages.ts`).
 */

import { ProtocolError } from "../errors.ts";

/** Octets of kind and payload together that one frame may hold. */
export const MAX_FRAME_BYTES = 1024 * 1024;
/** Packets that one batch may hold. */
export const MAX_BATCH_PACKETS = 8192;
/** Octets of one NFLOG message: a whole IP packet and its attributes. */
export const MAX_CAPTURED_BYTES = 66_560;

const LENGTH_BYTES = 4;
const PACKET_HEAD_BYTES = 12;

/** What each kind octet means; below 128 the agent speaks, from 128 the recorder. */
export const FRAME_KINDS = {
  hello: 1,
  order: 2,
  batch: 3,
  close: 4,
  gap: 5,
  orderReply: 129,
  closed: 130,
} as const;

export interface Frame {
  /** One of `FRAME_KINDS`, or a number unknown to this version. */
  readonly kind: number;
  readonly payload: Buffer;
}

/** A packet as the kernel logged it. */
export interface CapturedPacket {
  /** When it was captured, in microseconds since the Unix epoch; the kernel's own time is inside `nflog`. */
  readonly captureMicros: number;
  /** The NFLOG message: family, version, group and attributes. */
  readonly nflog: Buffer;
}

/** One frame, ready for the socket. @throws RangeError if it would exceed `MAX_FRAME_BYTES`. */
export function encodeFrame(kind: number, payload: Uint8Array): Buffer {
  const bytes = payload.length + 1;
  if (bytes > MAX_FRAME_BYTES) throw new RangeError(`frame of ${bytes} octets`);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + bytes);
  frame.writeUInt32BE(bytes, 0);
  frame.writeUInt8(kind, LENGTH_BYTES);
  frame.set(payload, LENGTH_BYTES + 1);
  return frame;
}

/**
 * The payload of a batch frame: for each packet u32 BE length of the NFLOG message, u64 BE
 * microseconds, then the message.
 * @throws RangeError for more than `MAX_BATCH_PACKETS`, or a message over `MAX_CAPTURED_BYTES`.
 */
export function encodeBatch(packets: readonly CapturedPacket[]): Buffer {
  if (packets.length > MAX_BATCH_PACKETS) throw new RangeError(`batch of ${packets.length}`);
  let bytes = 0;
  for (const { nflog } of packets) bytes += PACKET_HEAD_BYTES + nflog.length;
  const payload = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const { captureMicros, nflog } of packets) {
    if (nflog.length > MAX_CAPTURED_BYTES) throw new RangeError(`packet of ${nflog.length} octets`);
    at = payload.writeUInt32BE(nflog.length, at);
    at = payload.writeBigUInt64BE(BigInt(captureMicros), at);
    payload.set(nflog, at);
    at += nflog.length;
  }
  return payload;
}

/**
 * The packets of a batch payload; they are views of it, not copies.
 * @throws ProtocolError `ERR_INGEST_SYNTAX` (cut short, time beyond 2^53); `ERR_INGEST_LIMIT`.
 */
export function decodeBatch(payload: Uint8Array): readonly CapturedPacket[] {
  const octets = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const packets: CapturedPacket[] = [];
  let at = 0;
  while (at < octets.length) {
    if (packets.length === MAX_BATCH_PACKETS)
      throw new ProtocolError("ERR_INGEST_LIMIT", "too many packets in a batch");
    if (octets.length - at < PACKET_HEAD_BYTES) throw cutShort();
    const bytes = octets.readUInt32BE(at);
    if (bytes > MAX_CAPTURED_BYTES)
      throw new ProtocolError("ERR_INGEST_LIMIT", "captured packet too long");
    const captureMicros = Number(octets.readBigUInt64BE(at + 4));
    if (!Number.isSafeInteger(captureMicros))
      throw new ProtocolError("ERR_INGEST_SYNTAX", "capture time out of range");
    at += PACKET_HEAD_BYTES;
    if (octets.length - at < bytes) throw cutShort();
    packets.push({ captureMicros, nflog: octets.subarray(at, at + bytes) });
    at += bytes;
  }
  return packets;
}

const cutShort = () => new ProtocolError("ERR_INGEST_SYNTAX", "batch is cut short");

/** Cuts the octets of one connection into frames; holds at most one frame and one chunk. */
export class IngestFramer {
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  #neededBytes = LENGTH_BYTES;

  /**
   * The frames that this chunk completes, in order. A frame may be a view of the chunk, so the
   * chunk must not be written to again.
   * @throws ProtocolError `ERR_INGEST_LIMIT` (length over `MAX_FRAME_BYTES`), `ERR_INGEST_SYNTAX`
   *   (length 0): the connection is beyond repair and is to be closed.
   */
  push(chunk: Uint8Array): readonly Frame[] {
    this.#chunks.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < this.#neededBytes) return [];
    return this.#cut(this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks));
  }

  /** True between frames: a connection that ends now ended cleanly. */
  isEmpty(): boolean {
    return this.#heldBytes === 0;
  }

  #cut(octets: Buffer = Buffer.alloc(0)): readonly Frame[] {
    const frames: Frame[] = [];
    let at = 0;
    for (;;) {
      this.#neededBytes = LENGTH_BYTES;
      if (octets.length - at < LENGTH_BYTES) break;
      const bytes = frameBytes(octets, at);
      this.#neededBytes = LENGTH_BYTES + bytes;
      if (octets.length - at < this.#neededBytes) break;
      const start = at + LENGTH_BYTES;
      at = start + bytes;
      frames.push({ kind: octets.readUInt8(start), payload: octets.subarray(start + 1, at) });
    }
    this.#heldBytes = octets.length - at;
    this.#chunks = this.#heldBytes === 0 ? [] : [octets.subarray(at)];
    return frames;
  }
}

function frameBytes(octets: Buffer, at: number): number {
  const bytes = octets.readUInt32BE(at);
  if (bytes === 0) throw new ProtocolError("ERR_INGEST_SYNTAX", "frame without a kind");
  if (bytes > MAX_FRAME_BYTES) throw new ProtocolError("ERR_INGEST_LIMIT", "frame too long");
  return bytes;
}
