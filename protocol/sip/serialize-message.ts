/**
 * From SIP messages to octets (RFC 3261 §7). Pure.
 * Rows as received go out as received; Content-Length always states the body's octets.
 */
import { isToken } from "./grammar.ts";
import { isName, isNamed } from "./header-name.ts";
import type { HeaderRow, SipMessage } from "./message.ts";

const FOLD = /\r\n(?=[ \t])/g;
const BEYOND_OCTETS = /[\u0100-\uffff]/;

/**
 * Writes a message.
 * @throws TypeError when text would break out of its line or is not one octet a character.
 */
export function serializeMessage(message: SipMessage): Buffer {
  const { body } = message;
  let head = startLine(message);
  for (const row of statedLength(message)) head += `\r\n${serializeRow(row)}`;
  head += "\r\n\r\n";
  if (BEYOND_OCTETS.test(head)) throw new TypeError("header text beyond one octet a character");
  const octets = Buffer.allocUnsafe(head.length + body.length);
  octets.write(head, 0, "latin1");
  octets.set(body, head.length);
  return octets;
}

function startLine(message: SipMessage): string {
  if (message.kind === "response") {
    const { status, reason } = message;
    if (!Number.isInteger(status) || status < 100 || status > 699) throw new TypeError("status");
    return `SIP/2.0 ${status} ${checkedLine(reason)}`;
  }
  const { method, uri } = message;
  if (!isToken(method) || !/^\S+$/.test(uri)) throw new TypeError("method or Request-URI");
  return `${method} ${uri} SIP/2.0`;
}

/** Keeps a right Content-Length row, corrects a wrong one, adds a missing one. */
function statedLength({ headers, body }: SipMessage): readonly HeaderRow[] {
  const length = String(body.length);
  let stated = 0;
  let right = 0;
  for (const { name, value } of headers)
    if (isNamed(name, "content-length")) {
      stated += 1;
      if (value === length || (/^\d+$/.test(value) && Number(value) === body.length)) right += 1;
    }
  if (stated === 1 && right === 1) return headers;
  const row = { name: "Content-Length", value: length };
  return [...headers.filter(({ name }) => !isNamed(name, "content-length")), row];
}

function serializeRow({ name, value, wire }: HeaderRow): string {
  if (wire !== undefined) {
    checkedLine(wire.includes("\r\n") ? wire.replace(FOLD, "") : wire);
    return wire;
  }
  if (!isName(name)) throw new TypeError("header name");
  return `${name}: ${checkedLine(value)}`;
}

function checkedLine(text: string): string {
  if (text.includes("\r") || text.includes("\n")) throw new TypeError("CR or LF in header text");
  return text;
}
