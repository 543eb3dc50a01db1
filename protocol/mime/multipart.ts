/**
 * Multipart bodies (RFC 2046 §5.1.1): the CRLF before a boundary belongs to the delimiter, so a
 * part may be binary and end anyhow. Pure: random octets are an argument.
 */
import { ProtocolError } from "../errors.ts";

/** Most parts of one multipart. */
export const MIME_MAX_PARTS = 16;

const CRLF = Buffer.from("\r\n");
const BLANK: ReadonlySet<number> = new Set(Buffer.from(" \t\r\n"));
const BOUNDARY = /^[\d A-Za-z'()+_,\-./:=?]{0,69}[\dA-Za-z'()+_,\-./:=?]$/;
const BOUNDARY_BYTES = 16;
const MAX_BOUNDARY_DRAWS = 4;

/**
 * The octets of each part. A preamble is passed over. After the closing delimiter only blanks and
 * line ends may follow, though RFC 2046 allows more: whoever appends blocks to a CBC body that is
 * not his must not learn from a signature that still verifies whether their padding was right.
 * @throws ProtocolError `ERR_MIME_SYNTAX` (boundary malformed, prefix of a line that is no
 *   delimiter, not closed, no part, octets after the end), `ERR_MIME_LIMIT`.
 */
export function splitMultipart(body: Buffer, boundary: string): readonly Buffer[] {
  if (!BOUNDARY.test(boundary)) throw new ProtocolError("ERR_MIME_SYNTAX", "malformed boundary");
  const parts: Buffer[] = [];
  let delimiter = findDelimiter(body, boundary, 0);
  while (!delimiter.isClose) {
    if (parts.length === MIME_MAX_PARTS)
      throw new ProtocolError("ERR_MIME_LIMIT", "too many parts");
    const next = findDelimiter(body, boundary, delimiter.end);
    parts.push(body.subarray(delimiter.end, next.start));
    delimiter = next;
  }
  if (!body.subarray(delimiter.end).every((octet) => BLANK.has(octet)))
    throw new ProtocolError("ERR_MIME_SYNTAX", "octets after the end");
  if (parts.length === 0) throw new ProtocolError("ERR_MIME_SYNTAX", "multipart of no part");
  return parts;
}

/**
 * Joins parts by a boundary that occurs in none of them.
 * @param random source of the boundary
 */
export function serializeMultipart(
  parts: readonly Uint8Array[],
  random: (size: number) => Buffer,
): { readonly body: Buffer; readonly boundary: string } {
  const boundary = drawBoundary(parts, random);
  const delimited = parts.flatMap((part) => [Buffer.from(`--${boundary}\r\n`), part, CRLF]);
  return { body: Buffer.concat([...delimited, Buffer.from(`--${boundary}--\r\n`)]), boundary };
}

function drawBoundary(parts: readonly Uint8Array[], random: (size: number) => Buffer): string {
  for (let draw = 0; draw < MAX_BOUNDARY_DRAWS; draw += 1) {
    const boundary = `kh-${random(BOUNDARY_BYTES).toString("hex")}`;
    const isWithin = ({ buffer, byteOffset, byteLength }: Uint8Array): boolean =>
      Buffer.from(buffer, byteOffset, byteLength).includes(boundary);
    if (!parts.some(isWithin)) return boundary;
  }
  throw new RangeError("random source gives no boundary");
}

interface Delimiter {
  /** Where the part before it ends. */
  readonly start: number;
  /** Where the part after it starts. */
  readonly end: number;
  readonly isClose: boolean;
}

/** The next delimiter at or after `from`, which is the start of a line. */
function findDelimiter(body: Buffer, boundary: string, from: number): Delimiter {
  const dashes = Buffer.from(`--${boundary}`);
  const isHere = body.subarray(from, from + dashes.length).equals(dashes);
  const found = isHere ? from : body.indexOf(Buffer.concat([CRLF, dashes]), from);
  if (found < 0) throw new ProtocolError("ERR_MIME_SYNTAX", "multipart not closed");
  const lineEnd = found + (isHere ? 0 : CRLF.length) + dashes.length;
  const isClose = body[lineEnd] === 0x2d && body[lineEnd + 1] === 0x2d;
  if (isClose) return { start: found, end: lineEnd + 2, isClose };

  let end = lineEnd;
  while (body[end] === 0x20 || body[end] === 0x09) end += 1; // transport padding
  if (body[end] !== 0x0d || body[end + 1] !== 0x0a)
    throw new ProtocolError("ERR_MIME_SYNTAX", "a line starts with the boundary");
  return { start: found, end: end + CRLF.length, isClose };
}
