/**
 * MIME entities on exact octets (RFC 2045, RFC 2046 §5.1): what is signed or hashed is a view of
 * what was received. Lines end in CRLF. Pure.
 */
import { ProtocolError } from "../errors.ts";
import { type ContentType, parseContentType } from "./content-type.ts";
import { splitMultipart } from "./multipart.ts";
import { decodeTransferEncoding } from "./transfer-encoding.ts";

/** Longest entity, in octets. */
export const MIME_MAX_BYTES = 128 * 1024;
/** Longest header block of one entity, in octets. */
export const MIME_MAX_HEADER_BYTES = 8 * 1024;
/** Most header rows of one entity. */
export const MIME_MAX_HEADERS = 32;
/** Deepest multipart within multipart. */
export const MIME_MAX_DEPTH = 8;

export interface MimeHeader {
  readonly name: string;
  /** Unfolded, without surrounding white space. */
  readonly value: string;
}

export interface MimeEntity {
  readonly headers: readonly MimeHeader[];
  readonly contentType: ContentType;
  /** Headers, empty line and body as received. */
  readonly octets: Buffer;
  /** The body without its transfer encoding. */
  readonly body: Buffer;
  /** How many multiparts this entity lies in. */
  readonly depth: number;
}

const CRLF = "\r\n";
const HEADER = /^([!#$%&'*+\-.^_`{|}~\w]+)[ \t]*:(.*)$/s;
const DEFAULT_TYPE = "text/plain";
const MULTIPART = "multipart/";
const LEAVES_BODY_AS_IS = new Set(["7bit", "8bit", "binary"]);

/**
 * Parses one entity; what a multipart holds is read by `partsOf`.
 * @throws ProtocolError `ERR_MIME_SYNTAX`, `ERR_MIME_LIMIT`.
 */
export function parseEntity(octets: Uint8Array): MimeEntity {
  const view = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
  return parseNested(view, 0);
}

/**
 * The parts of a multipart entity, in order.
 * @throws ProtocolError `ERR_MIME_SYNTAX`, also for an entity that is no multipart;
 *   `ERR_MIME_LIMIT`, also beyond `MIME_MAX_DEPTH`.
 */
export function partsOf(entity: MimeEntity): readonly MimeEntity[] {
  const boundary = entity.contentType.parameters.get("boundary");
  if (!entity.contentType.type.startsWith(MULTIPART) || boundary === undefined)
    throw new ProtocolError("ERR_MIME_SYNTAX", "not a multipart");
  const depth = entity.depth + 1;
  if (depth > MIME_MAX_DEPTH) throw new ProtocolError("ERR_MIME_LIMIT", "nested too deeply");
  return splitMultipart(entity.body, boundary).map((part) => parseNested(part, depth));
}

/**
 * The entity that a SIP body is, whose Content-Type stands among the headers of its message.
 * @throws ProtocolError `ERR_MIME_SYNTAX`, `ERR_MIME_LIMIT`.
 */
export function entityOfBody(body: Uint8Array, contentType: string): MimeEntity {
  if (body.length > MIME_MAX_BYTES) throw new ProtocolError("ERR_MIME_LIMIT", "entity too long");
  const octets = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return {
    headers: [{ name: "Content-Type", value: contentType }],
    contentType: parseContentType(contentType),
    octets,
    body: octets,
    depth: 0,
  };
}

/** The value of a header row, whatever the case of its name. */
export function mimeHeaderValue(entity: MimeEntity, name: string): string | undefined {
  const wanted = name.toLowerCase();
  return entity.headers.find((header) => header.name.toLowerCase() === wanted)?.value;
}

/** Headers, empty line and body. @throws RangeError if a header would break its line. */
export function serializeEntity(
  headers: readonly (readonly [name: string, value: string])[],
  body: Uint8Array,
): Buffer {
  const rows = headers.map(([name, value]) => {
    if (/[\r\n]/.test(name + value)) throw new RangeError("a header row is one line");
    return `${name}: ${value}${CRLF}`;
  });
  return Buffer.concat([Buffer.from(rows.join("") + CRLF), body]);
}

function parseNested(octets: Buffer, depth: number): MimeEntity {
  if (octets.length > MIME_MAX_BYTES) throw new ProtocolError("ERR_MIME_LIMIT", "entity too long");
  const { block, rawBody } = splitHeaderBlock(octets);
  const headers = parseHeaderBlock(block);
  const find = (name: string): string | undefined => singleValue(headers, name);

  const contentType = parseContentType(find("content-type") ?? DEFAULT_TYPE);
  const encoding = (find("content-transfer-encoding") ?? "7bit").toLowerCase();
  if (contentType.type.startsWith(MULTIPART) && !LEAVES_BODY_AS_IS.has(encoding))
    throw new ProtocolError("ERR_MIME_SYNTAX", "encoded multipart"); // RFC 2045 §6.4
  const body = LEAVES_BODY_AS_IS.has(encoding)
    ? rawBody
    : decodeTransferEncoding(encoding, rawBody);
  return { headers, contentType, octets, body, depth };
}

function splitHeaderBlock(octets: Buffer): { block: Buffer; rawBody: Buffer } {
  if (octets.indexOf(CRLF) === 0)
    return { block: octets.subarray(0, 0), rawBody: octets.subarray(2) };
  const end = octets.subarray(0, MIME_MAX_HEADER_BYTES).indexOf(CRLF + CRLF);
  if (end < 0) throw new ProtocolError("ERR_MIME_SYNTAX", "no end of headers");
  return { block: octets.subarray(0, end), rawBody: octets.subarray(end + 4) };
}

/** Header rows of a block without its last CRLF; a row goes on where a line starts with a blank. */
export function parseHeaderBlock(block: Buffer): readonly MimeHeader[] {
  if (block.length === 0) return [];
  const rows = block
    .toString("utf8")
    .replaceAll(/\r\n([ \t])/g, "$1")
    .split(CRLF);
  if (rows.length > MIME_MAX_HEADERS) throw new ProtocolError("ERR_MIME_LIMIT", "too many headers");
  return rows.map((row) => {
    const [, name, value] = HEADER.exec(row) ?? [];
    if (name === undefined || value === undefined || /[\r\n\0]/.test(row))
      throw new ProtocolError("ERR_MIME_SYNTAX", "not a header");
    return { name, value: value.trim() };
  });
}

function singleValue(headers: readonly MimeHeader[], name: string): string | undefined {
  const rows = headers.filter((header) => header.name.toLowerCase() === name);
  if (rows.length > 1) throw new ProtocolError("ERR_MIME_SYNTAX", "a header stands twice");
  return rows[0]?.value;
}
