/**
 * From SIP messages to octets (RFC 3261 §7). Pure.
 * Rows as received go out as received; Content-Length always states the body's octets.
 */
import { isToken } from "./grammar.ts";
import { canonicalName, type HeaderRow, type SipMessage } from "./message.ts";

const FOLD = /\r\n(?=[ \t])/g;
const BEYOND_OCTETS = /[\u0100-\uffff]/;

/**
 * Writes a message.
 * @throws TypeError when text would break out of its line or is not one octet a character.
 */
export function serializeMessage(message: SipMessage): Buffer {
  const rows = statedLength(message).map(serializeRow);
  const head = `${[startLine(message), ...rows].join("\r\n")}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), message.body]);
}

function startLine(message: SipMessage): string {
  if (message.kind === "response") {
    const { status, reason } = message;
    if (!Number.isInteger(status) || status < 100 || status > 699) throw new TypeError("status");
    return `SIP/2.0 ${status} ${checkedLine(reason)}`;
  }
  const { method, uri } = message;
  if (!isToken(method) || !/^\S+$/.test(uri)) throw new TypeError("method or Request-URI");
  return checkedLine(`${method} ${uri} SIP/2.0`);
}

/** Keeps a right Content-Length row, corrects a wrong one, adds a missing one. */
function statedLength({ headers, body }: SipMessage): readonly HeaderRow[] {
  const right = (row: HeaderRow): boolean =>
    /^\d+$/.test(row.value) && Number(row.value) === body.length;
  const isLength = (row: HeaderRow): boolean => canonicalName(row.name) === "content-length";
  const stated = headers.filter(isLength);
  if (stated.length === 1 && stated.every(right)) return headers;
  const row = { name: "Content-Length", value: String(body.length) };
  return [...headers.filter((each) => !isLength(each)), row];
}

function serializeRow({ name, value, wire }: HeaderRow): string {
  if (wire !== undefined) {
    checkedLine(wire.replace(FOLD, ""));
    return wire;
  }
  if (!isToken(name)) throw new TypeError("header name");
  return checkedLine(`${name}: ${value}`);
}

function checkedLine(text: string): string {
  if (/[\r\n]/.test(text)) throw new TypeError("CR or LF in header text");
  if (BEYOND_OCTETS.test(text)) throw new TypeError("header text beyond one octet a character");
  return text;
}
