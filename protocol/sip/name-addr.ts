/**
 * `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route, Record-Route
 * (RFC 3261 §20.10, §25.1). Pure.
 */
import { ProtocolError } from "../errors.ts";
import {
  findParam,
  isQuoted,
  isToken,
  type Param,
  parseParams,
  quote,
  serializeParams,
  trimLws,
  unquote,
} from "./grammar.ts";
import { headerValue, type SipMessage } from "./message.ts";
import { remembering } from "./remember.ts";
import { isSipScheme, parseSipUri, uriScheme } from "./uri.ts";

const [QUOTE, BACKSLASH] = [0x22, 0x5c];

export interface NameAddr {
  /** Without quotes. */
  readonly displayName?: string;
  readonly uri: string;
  readonly params: readonly Param[];
}

/**
 * Parses one value. Without angle brackets, parameters belong to the header field, and the URI may
 * hold neither `?` nor `,` (§20.10).
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export const parseNameAddr: (value: string) => NameAddr = remembering(readNameAddr);

function readNameAddr(value: string): NameAddr {
  const text = trimLws(value);
  const less = endOfDisplayName(text);
  const greater = text.indexOf(">", less);
  if (less < 0 || greater < 0) return parseAddrSpec(text);
  const uri = text.slice(less + 1, greater);
  checkUri(uri);
  const displayName = parseDisplayName(trimLws(text.slice(0, less)));
  const params = parseParams(trimLws(text.slice(greater + 1)));
  return displayName === undefined ? { uri, params } : { displayName, uri, params };
}

/** Where `<` stands behind an optional display name; below 0 when none does. */
function endOfDisplayName(text: string): number {
  const less = text.indexOf("<");
  const quoted = text.indexOf('"');
  if (quoted < 0 || less < quoted) return less;
  return quoted === 0 ? text.indexOf("<", endOfQuoted(text)) : -1;
}

/** Behind the quoted string that the text begins with; behind everything if it does not end. */
function endOfQuoted(text: string): number {
  for (let at = 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at += 1;
    else if (code === QUOTE) return at + 1;
  }
  return text.length;
}

function parseAddrSpec(text: string): NameAddr {
  const semicolon = text.indexOf(";");
  const uri = trimLws(semicolon < 0 ? text : text.slice(0, semicolon));
  if (/[?,"]/.test(uri)) throw new ProtocolError("ERR_SIP_SYNTAX", "URI needs angle brackets");
  checkUri(uri);
  return { uri, params: semicolon < 0 ? [] : parseParams(text.slice(semicolon)) };
}

function parseDisplayName(text: string): string | undefined {
  if (text === "") return undefined;
  if (isQuoted(text)) return unquote(text);
  if (!isToken(text) && !text.split(/[ \t]+/).every(isToken))
    throw new ProtocolError("ERR_SIP_SYNTAX", "display name needs quotes");
  return text;
}

function checkUri(uri: string): void {
  if (isSipScheme(uri)) parseSipUri(uri);
  else uriScheme(uri);
}

/** Writes a value, always with angle brackets, the display name always in quotes. */
export function serializeNameAddr({ displayName, uri, params }: NameAddr): string {
  const display = displayName === undefined ? "" : `${quote(displayName)} `;
  return `${display}<${uri}>${serializeParams(params)}`;
}

/**
 * The tag of From or To, if it has one (§19.3).
 * @throws ProtocolError `ERR_SIP_SYNTAX` when the field is absent or unreadable.
 */
export function messageTag(message: SipMessage, field: "From" | "To"): string | undefined {
  return findParam(messageAddress(message, field).params, "tag")?.value;
}

/**
 * From or To, parsed.
 * @throws ProtocolError `ERR_SIP_SYNTAX` when the field is absent or unreadable.
 */
export function messageAddress(message: SipMessage, field: "From" | "To"): NameAddr {
  const value = headerValue(message, field);
  if (value === undefined) throw new ProtocolError("ERR_SIP_SYNTAX", `${field} is missing`);
  return parseNameAddr(value);
}
