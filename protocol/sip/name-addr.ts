/**
 * `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route, Record-Route
 * (RFC 3261 §20.10, §25.1). Pure.
 */
import { ProtocolError } from "../errors.ts";
import {
  findParam,
  isToken,
  type Param,
  parseParams,
  quote,
  serializeParams,
  trimLws,
  unquote,
} from "./grammar.ts";
import { headerValue, type SipMessage } from "./message.ts";
import { parseSipUri, uriScheme } from "./uri.ts";

export interface NameAddr {
  /** Without quotes. */
  readonly displayName?: string;
  readonly uri: string;
  readonly params: readonly Param[];
}

const BRACKETED = /^("(?:[^"\\]|\\.)*"[ \t]*|[^"<]*)<([^<>]*)>(.*)$/s;

/**
 * Parses one value. Without angle brackets, parameters belong to the header field, and the URI may
 * hold neither `?` nor `,` (§20.10).
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export function parseNameAddr(text: string): NameAddr {
  const bracketed = BRACKETED.exec(trimLws(text));
  if (bracketed === null) return parseAddrSpec(trimLws(text));
  const [, display = "", uri = "", params = ""] = bracketed;
  checkUri(uri);
  const displayName = parseDisplayName(trimLws(display));
  return {
    ...(displayName === undefined ? {} : { displayName }),
    uri,
    params: parseParams(trimLws(params)),
  };
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
  if (text.startsWith('"')) return unquote(text);
  if (!text.split(/[ \t]+/).every(isToken))
    throw new ProtocolError("ERR_SIP_SYNTAX", "display name needs quotes");
  return text;
}

function checkUri(uri: string): void {
  const scheme = uriScheme(uri);
  if (scheme === "sip" || scheme === "sips") parseSipUri(uri);
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
