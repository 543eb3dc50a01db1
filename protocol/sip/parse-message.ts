/**
 * From octets to SIP messages (RFC 3261 §7, §18.3). Pure.
 * Only the head is read as text, one octet a character; a body is never looked at. Lines end in
 * CRLF and nothing else: two readings of one message are how requests are smuggled.
 */
import { ProtocolError } from "../errors.ts";
import { isLws, isToken, trimLws } from "./grammar.ts";
import { readName } from "./header-name.ts";
import { type HeaderRow, headerRows, NO_BODY, type SipMessage } from "./message.ts";

export const MAX_HEAD_BYTES = 32 * 1024;
export const MAX_BODY_BYTES = 96 * 1024;
/** A head and a body at their limits. */
export const MAX_MESSAGE_BYTES = MAX_HEAD_BYTES + MAX_BODY_BYTES;
export const MAX_HEADER_ROWS = 256;

/** What stands before the body, split but not yet understood. */
export interface MessageHead {
  readonly startLine: string;
  readonly headers: readonly HeaderRow[];
}

const CRLF = "\r\n";
const HEAD_END = Buffer.from("\r\n\r\n");
const SPACE = 0x20;
const STATUS_LINE = /^SIP\/(\d+\.\d+) (\d{3})(?: (.*))?$/i;
const REQUEST_LINE = /^(\S+) (\S+) SIP\/(\d+\.\d+)$/i;

/**
 * Parses one whole message, as in a datagram or a file. Without Content-Length the body is the
 * rest; octets beyond Content-Length are not part of the message (§18.3).
 * @throws ProtocolError `ERR_SIP_SYNTAX`, `ERR_SIP_VERSION`; `ERR_SIP_LIMIT` (128 KiB, head 32 KiB,
 *   256 header rows).
 */
export function parseMessage(octets: Uint8Array): SipMessage {
  const input = asBuffer(octets);
  if (input.length > MAX_MESSAGE_BYTES) throw new ProtocolError("ERR_SIP_LIMIT", "message");
  let start = 0;
  while (input[start] === 0x0d && input[start + 1] === 0x0a) start += 2;
  const headEnd = input.indexOf(HEAD_END, start);
  if (headEnd < 0) throw new ProtocolError("ERR_SIP_SYNTAX", "no end of headers");
  const head = parseHeadText(input.toString("latin1", start, headEnd));
  const bodyStart = headEnd + HEAD_END.length;
  const length = contentLength(head) ?? input.length - bodyStart;
  if (length > input.length - bodyStart)
    throw new ProtocolError("ERR_SIP_SYNTAX", "body is cut short");
  return assembleMessage(head, input.subarray(bodyStart, bodyStart + length));
}

const asBuffer = (octets: Uint8Array): Buffer =>
  Buffer.isBuffer(octets)
    ? octets
    : Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);

/**
 * Parses start line and header rows; `octets` end before the empty line.
 * @throws ProtocolError `ERR_SIP_SYNTAX`; `ERR_SIP_LIMIT`.
 */
export function parseHead(octets: Uint8Array): MessageHead {
  return parseHeadText(asBuffer(octets).toString("latin1"));
}

/** @param text One character an octet. */
function parseHeadText(text: string): MessageHead {
  if (text.length > MAX_HEAD_BYTES) throw new ProtocolError("ERR_SIP_LIMIT", "header section");
  const startEnd = lineEnd(text, 0);
  const headers: HeaderRow[] = [];
  for (let at = startEnd + 2; at < text.length + 2; ) {
    const from = at;
    let end = lineEnd(text, at);
    const firstEnd = end;
    while (isLws(text.charCodeAt(end + 2))) end = lineEnd(text, end + 2);
    if (headers.push(readRow(text, from, firstEnd, end)) > MAX_HEADER_ROWS)
      throw new ProtocolError("ERR_SIP_LIMIT", "header rows");
    at = end + 2;
  }
  return { startLine: text.slice(0, startEnd), headers };
}

/** Where the line that begins at `from` ends: before its CRLF or at the end of the text. */
function lineEnd(text: string, from: number): number {
  const lf = text.indexOf("\n", from);
  const cr = text.indexOf("\r", from);
  if (cr + 1 !== lf && (cr >= 0 || lf >= 0))
    throw new ProtocolError("ERR_SIP_SYNTAX", "CR or LF alone");
  return lf < 0 ? text.length : cr;
}

/** One row, from `from` to `end`; folded if its first line ends earlier. */
function readRow(text: string, from: number, firstEnd: number, end: number): HeaderRow {
  const colon = text.indexOf(":", from);
  let nameEnd = colon;
  while (nameEnd > from && isLws(text.charCodeAt(nameEnd - 1))) nameEnd -= 1;
  const name = colon < 0 || colon > firstEnd ? undefined : readName(text, from, nameEnd);
  if (name === undefined) throw new ProtocolError("ERR_SIP_SYNTAX", "not a header row");
  if (firstEnd < end)
    return { name, value: unfold(text.slice(colon + 1, end)), wire: text.slice(from, end) };
  const value = trimLws(text.slice(colon + 1, end));
  const isPlain =
    nameEnd === colon && text.charCodeAt(colon + 1) === SPACE && value.length === end - colon - 2;
  return isPlain ? { name, value } : { name, value, wire: text.slice(from, end) };
}

const unfold = (text: string): string => trimLws(text.split(CRLF).map(trimLws).join(" "));

/**
 * Reads the start line and puts the message together; the body is copied.
 * @throws ProtocolError `ERR_SIP_SYNTAX`; `ERR_SIP_VERSION`; `ERR_SIP_LIMIT`.
 */
export function assembleMessage(head: MessageHead, body: Uint8Array): SipMessage {
  if (body.length > MAX_BODY_BYTES) throw new ProtocolError("ERR_SIP_LIMIT", "body");
  const { startLine, headers } = head;
  return parseStartLine(startLine, {
    headers,
    body: body.length === 0 ? NO_BODY : Buffer.from(body),
  });
}

/**
 * The octets of body that the head announces, if it does. Several equal rows are refused like
 * unequal ones: no honest sender writes two.
 * @throws ProtocolError `ERR_SIP_SYNTAX`; `ERR_SIP_LIMIT`.
 */
export function contentLength(head: MessageHead): number | undefined {
  const rows = headerRows(head, "Content-Length");
  if (rows.length > 1) throw new ProtocolError("ERR_SIP_SYNTAX", "several Content-Length rows");
  const value = rows[0]?.value;
  if (value === undefined) return undefined;
  if (!/^\d+$/.test(value)) throw new ProtocolError("ERR_SIP_SYNTAX", "Content-Length");
  if (Number(value) > MAX_BODY_BYTES) throw new ProtocolError("ERR_SIP_LIMIT", "Content-Length");
  return Number(value);
}

type Rest = Pick<SipMessage, "headers" | "body">;

function parseStartLine(line: string, { headers, body }: Rest): SipMessage {
  const status = STATUS_LINE.exec(line);
  if (status !== null) {
    checkVersion(status[1]);
    const code = Number(status[2]);
    if (code < 100 || code > 699) throw new ProtocolError("ERR_SIP_SYNTAX", "status code");
    return { kind: "response", status: code, reason: status[3] ?? "", headers, body };
  }
  const [, method = "", uri = "", version] = REQUEST_LINE.exec(line) ?? [];
  if (!isToken(method)) throw new ProtocolError("ERR_SIP_SYNTAX", "start line");
  checkVersion(version);
  return { kind: "request", method, uri, headers, body };
}

function checkVersion(version: string | undefined): void {
  if (version !== "2.0") throw new ProtocolError("ERR_SIP_VERSION", "not SIP/2.0");
}
