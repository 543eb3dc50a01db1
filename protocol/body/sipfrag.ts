/**
 * message/sipfrag (RFC 3420): the copy of a message's headers, with or without its start line,
 * that is signed or sealed. Pure.
 */
import { ProtocolError } from "../errors.ts";
import { parseHeaderBlock, serializeEntity } from "../mime/entity.ts";

export type SipfragRows = readonly (readonly [name: string, value: string])[];

export const SIPFRAG = "message/sipfrag";
const CRLF = "\r\n";
const NAME = /^[!%'*+\-.^_`~\w]+$/;
const LINE_BREAK = /[\r\n\0]/;

/** A part of header rows. @throws RangeError if a row would break its line. */
export const sipfragPart = (rows: SipfragRows): Buffer =>
  serializeEntity([["Content-Type", SIPFRAG]], serializeSipfrag(rows));

/** Header rows, each ended by CRLF. @throws RangeError if a row would break its line. */
export function serializeSipfrag(rows: SipfragRows): Buffer {
  const lines = rows.map(([name, value]) => {
    if (!NAME.test(name) || LINE_BREAK.test(value))
      throw new RangeError("a header row is one line");
    return `${name}: ${value}${CRLF}`;
  });
  return Buffer.from(lines.join(""));
}

/** A start line and header rows, each ended by CRLF. @throws RangeError if one would break its line. */
export function serializeStartedSipfrag(startLine: string, rows: SipfragRows): Buffer {
  if (startLine === "" || LINE_BREAK.test(startLine))
    throw new RangeError("a start line is one line");
  return Buffer.concat([Buffer.from(startLine + CRLF), serializeSipfrag(rows)]);
}

/**
 * The header rows, in order. A start line is not expected and refused.
 * @throws ProtocolError `ERR_BODY`.
 */
export function parseSipfrag(octets: Buffer): SipfragRows {
  const end = octets.length - CRLF.length;
  const isEnded = end > 0 && octets.subarray(end).equals(Buffer.from(CRLF));
  try {
    return parseHeaderBlock(isEnded ? octets.subarray(0, end) : octets).map(
      ({ name, value }) => [name, value] as const,
    );
  } catch (cause) {
    throw new ProtocolError("ERR_BODY", "sipfrag cannot be read", { cause });
  }
}

/**
 * The first line, as it stands, and the header rows after it.
 * @throws ProtocolError `ERR_BODY`.
 */
export function parseStartedSipfrag(octets: Buffer): {
  readonly startLine: string;
  readonly rows: SipfragRows;
} {
  const end = octets.indexOf(CRLF);
  const startLine = octets.subarray(0, Math.max(end, 0)).toString();
  if (startLine === "" || LINE_BREAK.test(startLine))
    throw new ProtocolError("ERR_BODY", "sipfrag without a start line");
  return { startLine, rows: parseSipfrag(octets.subarray(end + CRLF.length)) };
}
