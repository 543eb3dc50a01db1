/**
 * The bodies of RTCP SDES and BYE: lists of sources with texts (RFC 3550 §6.5, §6.6). Pure.
 */
import { ProtocolError } from "../errors.ts";

export interface SourceChunk {
  readonly ssrc: number;
  readonly items: readonly SourceItem[];
}

export interface SourceItem {
  /** 1 is CNAME; the others are in §6.5. */
  readonly type: number;
  readonly text: string;
}

/** The SDES item that every source sends. */
export const CNAME = 1;
const ITEMS_END = 0;
const TEXT_BYTES_MAX = 255;

/** @throws RangeError if cut off; ProtocolError `ERR_RTCP_SYNTAX` for octets left over. */
export function readSourceDescription(body: Buffer, count: number): readonly SourceChunk[] {
  let at = 0;
  const chunks = Array.from({ length: count }, () => {
    const ssrc = body.readUInt32BE(at);
    at += 4;
    const items: SourceItem[] = [];
    for (let type = body.readUInt8(at); type !== ITEMS_END; type = body.readUInt8(at)) {
      const text = readText(body, at + 1);
      items.push({ type, text: text.toString("utf8") });
      at += 2 + text.length;
    }
    at = 4 * Math.floor(at / 4) + 4;
    return { ssrc, items };
  });
  if (at !== body.length) throw new ProtocolError("ERR_RTCP_SYNTAX", "octets after the chunks");
  return chunks;
}

/** At least one octet of zero ends the items; more fill the word. */
export function writeSourceDescription(chunks: readonly SourceChunk[]): Buffer[] {
  return chunks.map(({ ssrc, items }) => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(ssrc);
    const texts = Buffer.concat(
      items.map(({ type, text }) => Buffer.concat([Buffer.of(type), writeText(text)])),
    );
    return Buffer.concat([head, texts, Buffer.alloc(4 - (texts.length % 4))]);
  });
}

/** @throws RangeError if cut off. */
export function readGoodbye(
  body: Buffer,
  count: number,
): { readonly ssrcs: readonly number[]; readonly reason?: string } {
  const ssrcs = Array.from({ length: count }, (_, nth) => body.readUInt32BE(4 * nth));
  if (body.length === 4 * count) return { ssrcs };
  return { ssrcs, reason: readText(body, 4 * count).toString("utf8") };
}

export function writeGoodbye(goodbye: {
  readonly ssrcs: readonly number[];
  readonly reason?: string;
}): Buffer[] {
  const sources = goodbye.ssrcs.map((ssrc) => {
    const octets = Buffer.alloc(4);
    octets.writeUInt32BE(ssrc);
    return octets;
  });
  if (goodbye.reason === undefined) return sources;
  const text = writeText(goodbye.reason);
  return [...sources, text, Buffer.alloc((4 - (text.length % 4)) % 4)];
}

/** A text behind its length octet. */
function readText(body: Buffer, at: number): Buffer {
  const end = at + 1 + body.readUInt8(at);
  if (end > body.length) throw new ProtocolError("ERR_RTCP_SYNTAX", "text is cut off");
  return body.subarray(at + 1, end);
}

function writeText(text: string): Buffer {
  const octets = Buffer.from(text, "utf8");
  if (octets.length > TEXT_BYTES_MAX) throw new RangeError("RTCP text beyond 255 octets");
  return Buffer.concat([Buffer.of(octets.length), octets]);
}
