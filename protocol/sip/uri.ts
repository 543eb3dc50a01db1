/**
 * SIP and SIPS URIs (RFC 3261 §19.1, §25.1). Pure.
 * Escapes stay as they came; comparison and lookups see through them.
 */
import { isProtocolError, ProtocolError } from "../errors.ts";
import { isHost, type Param, parsePort, serializeParams } from "./grammar.ts";
import { remembering } from "./remember.ts";

export interface SipUri {
  readonly scheme: "sip" | "sips";
  /** Still escaped. */
  readonly user?: string;
  readonly password?: string;
  /** As received; IPv6 without its brackets. */
  readonly host: string;
  readonly port?: number;
  readonly params: readonly Param[];
  /** What follows `?`, raw. */
  readonly headers?: string;
}

const USER = /^(?:[\w\-.!~*'()&=+$,;?/]|%[\da-f]{2})+$/i;
const PASSWORD = /^(?:[\w\-.!~*'()&=+$,]|%[\da-f]{2})*$/i;
const PARAM = /^(?:[\w\-.!~*'()[\]/:&+$]|%[\da-f]{2})+$/i;
const HEADERS = /^(?:[\w\-.!~*'()[\]/?:+$=&]|%[\da-f]{2})+$/i;
const ABSOLUTE = /^([a-z][a-z\d+.-]*):[!#-;=?-_a-z~[\]]+$/i;

const [COLON, SEMICOLON, QUESTION, BRACKET] = [0x3a, 0x3b, 0x3f, 0x5b];
/** Makes a letter's code its lower case one's. */
const LOWER = 0x20;
const NO_PARAMS: readonly Param[] = [];

/**
 * The scheme of any absolute URI, in lower case.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export function uriScheme(text: string): string {
  const scheme = ABSOLUTE.exec(text)?.[1];
  if (scheme === undefined) throw new ProtocolError("ERR_SIP_SYNTAX", "not a URI");
  return scheme.toLowerCase();
}

/** Whether a URI begins with `sip:` or `sips:`, in any case. */
export const isSipScheme = (uri: string): boolean => schemeEnd(uri) > 0;

/** Where what follows `sip:` or `sips:` begins; 0 for other schemes. */
function schemeEnd(text: string): number {
  const isSip =
    (text.charCodeAt(0) | LOWER) === 0x73 &&
    (text.charCodeAt(1) | LOWER) === 0x69 &&
    (text.charCodeAt(2) | LOWER) === 0x70;
  if (!isSip) return 0;
  if (text.charCodeAt(3) === COLON) return 4;
  return (text.charCodeAt(3) | LOWER) === 0x73 && text.charCodeAt(4) === COLON ? 5 : 0;
}

/**
 * Parses a `sip:` or `sips:` URI.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export const parseSipUri: (text: string) => SipUri = remembering(readSipUri);

function readSipUri(text: string): SipUri {
  const start = schemeEnd(text);
  if (start === 0) throw new ProtocolError("ERR_SIP_SYNTAX", "not a SIP URI");
  const at = text.indexOf("@", start);
  const hostStart = at < 0 ? start : at + 1;
  const hostEnd = endOfHost(text, hostStart);
  const host = text.slice(hostStart, hostEnd);
  if (!isHost(host)) throw new ProtocolError("ERR_SIP_SYNTAX", "host of a SIP URI");
  const query = text.indexOf("?", hostEnd);
  const end = query < 0 ? text.length : query;
  const semicolon = text.indexOf(";", hostEnd);
  const paramsStart = semicolon < 0 || semicolon > end ? end : semicolon;
  const headers = query < 0 ? undefined : text.slice(query + 1);
  if (headers !== undefined && !HEADERS.test(headers))
    throw new ProtocolError("ERR_SIP_SYNTAX", "headers of a SIP URI");
  const uri: Unfinished<SipUri> = {
    scheme: start === 5 ? "sips" : "sip",
    host: host.charCodeAt(0) === BRACKET ? host.slice(1, -1) : host,
    params:
      paramsStart === end
        ? NO_PARAMS
        : text
            .slice(paramsStart + 1, end)
            .split(";")
            .map(parseUriParam),
  };
  if (at >= 0) readUserinfo(text.slice(start, at), uri);
  if (hostEnd < paramsStart) uri.port = readPort(text.slice(hostEnd, paramsStart));
  if (headers !== undefined) uri.headers = headers;
  return uri;
}

/** What is filled in as it is read. */
type Unfinished<T> = { -readonly [Key in keyof T]: T[Key] };

function endOfHost(text: string, from: number): number {
  if (text.charCodeAt(from) === BRACKET) return text.indexOf("]", from) + 1;
  let end = from;
  for (; end < text.length; end += 1) {
    const code = text.charCodeAt(end);
    if (code === COLON || code === SEMICOLON || code === QUESTION) break;
  }
  return end;
}

function readPort(text: string): number {
  if (text.charCodeAt(0) !== COLON) throw new ProtocolError("ERR_SIP_SYNTAX", "host of a SIP URI");
  return parsePort(text.slice(1));
}

function readUserinfo(text: string, uri: Unfinished<SipUri>): void {
  const colon = text.indexOf(":");
  const user = colon < 0 ? text : text.slice(0, colon);
  const password = colon < 0 ? undefined : text.slice(colon + 1);
  if (!USER.test(user) || (password !== undefined && !PASSWORD.test(password)))
    throw new ProtocolError("ERR_SIP_SYNTAX", "user of a SIP URI");
  uri.user = user;
  if (password !== undefined) uri.password = password;
}

function parseUriParam(text: string): Param {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  const value = equals < 0 ? undefined : text.slice(equals + 1);
  if (!PARAM.test(name) || (value !== undefined && !PARAM.test(value)))
    throw new ProtocolError("ERR_SIP_SYNTAX", "parameter of a SIP URI");
  return value === undefined ? { name } : { name, value };
}

/** Writes a SIP URI; IPv6 hosts get their brackets back. */
export function serializeSipUri(uri: SipUri): string {
  const password = uri.password === undefined ? "" : `:${uri.password}`;
  const user = uri.user === undefined ? "" : `${uri.user}${password}@`;
  const headers = uri.headers === undefined ? "" : `?${uri.headers}`;
  const hostPort = serializeHostPort(uri.host, uri.port);
  return `${uri.scheme}:${user}${hostPort}${serializeParams(uri.params)}${headers}`;
}

/** `host`, `host:port` or `[2001:db8::1]:port`. */
export function serializeHostPort(host: string, port?: number): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === undefined ? name : `${name}:${port}`;
}

/** Undoes `%hh`; octets come one a character. */
export const unescapeUri = (text: string): string =>
  text.includes("%")
    ? text.replace(/%([\da-f]{2})/gi, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      )
    : text;

/** A URI parameter by name, escapes and case aside; a flag gives "". */
export function uriParam(uri: SipUri, name: string): string | undefined {
  const wanted = name.toLowerCase();
  const param = uri.params.find((each) => unescapeUri(each.name).toLowerCase() === wanted);
  return param === undefined ? undefined : unescapeUri(param.value ?? "");
}

/**
 * The address of record in one spelling, for comparing and for maps: in the user only what must be
 * escaped is, host in lower case, no port, password, parameters or headers (RFC 3261 §10.3 step 5,
 * §19.1.4). It reads as itself.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export function addressOfRecord(text: string): string {
  const { scheme, user, host } = parseSipUri(text);
  const name = host.toLowerCase().replace(/\.$/, "");
  const who = user === undefined ? "" : `${canonicalUser(user)}@`;
  return `${scheme}:${who}${serializeHostPort(name)}`;
}

/** Unescaped, but for what would then mean something else: `%3a` becomes `%3A`, `%61` becomes `a`. */
export const canonicalUser = (user: string): string =>
  user.replace(/%[\da-f]{2}/gi, (escaped) => {
    const character = unescapeUri(escaped);
    return USER.test(character) ? character : escaped.toUpperCase();
  });

/** A user name as it stands in a URI: what may not stand there is escaped; octets come one a character. */
export const escapeUser = (name: string): string =>
  USER.test(name) && !name.includes("%")
    ? name
    : name.replace(
        /[^\w\-.!~*'()&=+$,;?/]/g,
        (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
      );

/** Host of a SIP or SIPS URI, lower case and without a closing dot; undefined if it is none that can be read. */
export function hostOfUri(text: string): string | undefined {
  try {
    return parseSipUri(text).host.toLowerCase().replace(/\.$/, "");
  } catch (error) {
    if (isProtocolError(error)) return undefined;
    throw error;
  }
}
