/**
 * message/sipfrag with header rows alone (RFC 3420): the copy of the headers that is signed. Pure.
 */
import { ProtocolError } from "../errors.ts";
import { parseHeaderBlock } from "../mime/entity.ts";

export type SipfragRows = readonly (readonly [name: string, value: string])[];

const CRLF = "\r\n";
const NAME = /^[!%'*+\-.^_`~\w]+$/;

/** Header rows, each ended by CRLF. @throws RangeError if a row would break its line. */
export function serializeSipfrag(rows: SipfragRows): Buffer {
  const lines = rows.map(([name, value]) => {
    if (!NAME.test(name) || /[\r\n\0]/.test(value))
      throw new RangeError("a header row is one line");
    return `${name}: ${value}${CRLF}`;
  });
  return Buffer.from(lines.join(""));
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
