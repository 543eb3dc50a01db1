/**
 * From octets to SIP messages (RFC 3261 §7, §18.3). Pure.
 * Only the head is read as text, one octet a character; a body is never looked at. Lines end in
 * CRLF and nothing else: two readings of one message are how requests are smuggled.
 */
import { ProtocolError } from "../errors.ts";
import { isToken, trimLws } from "./grammar.ts";
import { type HeaderRow, headerRows, type SipMessage } from "./message.ts";

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
const HEAD_END = "\r\n\r\n";
const ROW = /^([^\s:]+)[ \t]*:(.*)$/s;

/**
 * Parses one whole message, as in a datagram or a file. Without Content-Length the body is the
 * rest; octets beyond Content-Length are not part of the message (§18.3).
 * @throws ProtocolError `ERR_SIP_SYNTAX`, `ERR_SIP_VERSION`; `ERR_SIP_LIMIT` (128 KiB, head 32 KiB,
 *   256 header rows).
 */
export function parseMessage(octets: Uint8Array): SipMessage {
  const input = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
  if (input.length > MAX_MESSAGE_BYTES) throw new ProtocolError("ERR_SIP_LIMIT", "message");
  let start = 0;
  while (input[start] === 0x0d && input[start + 1] === 0x0a) start += 2;
  const headEnd = input.indexOf(HEAD_END, start, "latin1");
  if (headEnd < 0) throw new ProtocolError("ERR_SIP_SYNTAX", "no end of headers");
  const head = parseHead(input.subarray(start, headEnd));
  const rest = input.subarray(headEnd + HEAD_END.length);
  const length = contentLength(head) ?? rest.length;
  if (length > rest.length) throw new ProtocolError("ERR_SIP_SYNTAX", "body is cut short");
  return assembleMessage(head, rest.subarray(0, length));
}

/**
 * Parses start line and header rows; `octets` end before the empty line.
 * @throws ProtocolError `ERR_SIP_SYNTAX`; `ERR_SIP_LIMIT`.
 */
export function parseHead(octets: Uint8Array): MessageHead {
  if (octets.length > MAX_HEAD_BYTES) throw new ProtocolError("ERR_SIP_LIMIT", "header section");
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString("latin1");
  const [startLine = "", ...lines] = text.split(CRLF);
  if ([startLine, ...lines].some((line) => /[\r\n]/.test(line)))
    throw new ProtocolError("ERR_SIP_SYNTAX", "CR or LF alone");
  const headers = joinFolded(lines).map(parseRow);
  return { startLine, headers };
}

/**
 * Reads the start line and puts the message together; the body is copied.
 * @throws ProtocolError `ERR_SIP_SYNTAX`; `ERR_SIP_VERSION`; `ERR_SIP_LIMIT`.
 */
export function assembleMessage(head: MessageHead, body: Uint8Array): SipMessage {
  if (body.length > MAX_BODY_BYTES) throw new ProtocolError("ERR_SIP_LIMIT", "body");
  return { ...parseStartLine(head.startLine), headers: head.headers, body: Buffer.from(body) };
}

function joinFolded(lines: readonly string[]): string[] {
  const rows: string[] = [];
  for (const line of lines) {
    if (/^[ \t]/.test(line)) {
      const last = rows.pop();
      if (last === undefined) throw new ProtocolError("ERR_SIP_SYNTAX", "fold before any header");
      rows.push(last + CRLF + line);
    } else if (rows.push(line) > MAX_HEADER_ROWS)
      throw new ProtocolError("ERR_SIP_LIMIT", "header rows");
  }
  return rows;
}

function parseRow(wire: string): HeaderRow {
  const [, name = "", text = ""] = ROW.exec(wire) ?? [];
  if (!isToken(name)) throw new ProtocolError("ERR_SIP_SYNTAX", "not a header row");
  const value = trimLws(text.split(CRLF).map(trimLws).join(" "));
  return wire === `${name}: ${value}` ? { name, value } : { name, value, wire };
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

type StartLine =
  | { kind: "request"; method: string; uri: string }
  | { kind: "response"; status: number; reason: string };

function parseStartLine(line: string): StartLine {
  const status = /^SIP\/(\d+\.\d+) (\d{3})(?: (.*))?$/i.exec(line);
  if (status !== null) {
    checkVersion(status[1]);
    const code = Number(status[2]);
    if (code < 100 || code > 699) throw new ProtocolError("ERR_SIP_SYNTAX", "status code");
    return { kind: "response", status: code, reason: status[3] ?? "" };
  }
  const [, method = "", uri = "", version] = /^(\S+) (\S+) SIP\/(\d+\.\d+)$/i.exec(line) ?? [];
  if (!isToken(method)) throw new ProtocolError("ERR_SIP_SYNTAX", "start line");
  checkVersion(version);
  return { kind: "request", method, uri };
}

function checkVersion(version: string | undefined): void {
  if (version !== "2.0") throw new ProtocolError("ERR_SIP_VERSION", "not SIP/2.0");
}
