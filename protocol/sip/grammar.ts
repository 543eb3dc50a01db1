/**
 * The lexical ground of RFC 3261 §25.1: tokens, quoted strings, hosts, lists and `;name=value`
 * parameters. Pure. Every expression is linear in its input.
 */
import { ProtocolError } from "../errors.ts";

/** One parameter; `value` is absent for a flag and keeps the quotes it came with. */
export interface Param {
  readonly name: string;
  readonly value?: string;
}

const TOKEN = /^[\w\-.!%*+`'~]+$/;
const QUOTED = /^"(?:[^"\\\r\n]|\\[^\r\n])*"$/;
const PARAM_VALUE = /^[^\s;,"<>=\\]+$/;
const HOST = /^(?:\[[\da-f:.]{2,45}\]|[a-z\d](?:[a-z\d.-]*[a-z\d.])?)$/i;
const [TAB, SPACE, QUOTE, LESS, GREATER, BACKSLASH] = [0x09, 0x20, 0x22, 0x3c, 0x3e, 0x5c];
const SEMICOLON = 0x3b;
const NO_PARAMS: readonly Param[] = [];
const MAX_HOST_CHARACTERS = 255; // RFC 1035 §2.3.4

export const isToken = (text: string): boolean => TOKEN.test(text);

export const isQuoted = (text: string): boolean => QUOTED.test(text);

/** A host name, an IPv4 address or an IPv6 reference in brackets (RFC 3261 §25.1 `host`). */
export const isHost = (text: string): boolean =>
  text.length <= MAX_HOST_CHARACTERS && HOST.test(text) && !text.includes("..");

/**
 * A decimal port.
 * @throws ProtocolError `ERR_SIP_SYNTAX` unless 1 to 65535.
 */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw new ProtocolError("ERR_SIP_SYNTAX", "not a port");
  return port;
}

/** Puts text between quotes, escaping what RFC 3261 §25.1 `quoted-string` cannot hold bare. */
export const quote = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`;

/** The text of a quoted string; text without quotes is returned as it is. */
export const unquote = (text: string): string =>
  QUOTED.test(text) ? text.slice(1, -1).replace(/\\(.)/gs, "$1") : text;

/** Without spaces and tabs at either end; unlike a regular expression, linear also for long runs. */
export function trimLws(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isLws(text.charCodeAt(start))) start += 1;
  while (end > start && isLws(text.charCodeAt(end - 1))) end -= 1;
  return start === 0 && end === text.length ? text : text.slice(start, end);
}

/** Whether a character code is a space's or a tab's. */
export const isLws = (code: number): boolean => code === SPACE || code === TAB;

/** Splits at a separator, but never inside quotes or angle brackets; parts are trimmed. */
export function splitOutside(text: string, separator: "," | ";"): string[] {
  if (!text.includes(separator)) return [trimLws(text)];
  const wanted = separator.charCodeAt(0);
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  let bracketed = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (quoted) {
      if (code === BACKSLASH) at += 1;
      else if (code === QUOTE) quoted = false;
    } else if (code === QUOTE) quoted = true;
    else if (code === LESS) bracketed = true;
    else if (code === GREATER) bracketed = false;
    else if (code === wanted && !bracketed) {
      parts.push(trimLws(text.slice(start, at)));
      start = at + 1;
    }
  }
  parts.push(trimLws(text.slice(start)));
  return parts;
}

/**
 * Parses `;name[=value]` parameters; empty text gives none.
 * @throws ProtocolError `ERR_SIP_SYNTAX` for an empty parameter or a bad name or value.
 */
export function parseParams(text: string): readonly Param[] {
  if (text === "") return NO_PARAMS;
  if (text.charCodeAt(0) !== SEMICOLON)
    throw new ProtocolError("ERR_SIP_SYNTAX", "parameters begin with ;");
  return splitOutside(text.slice(1), ";").map(parseParam);
}

function parseParam(text: string): Param {
  const equals = text.indexOf("=");
  if (equals < 0) {
    if (!isToken(text)) throw new ProtocolError("ERR_SIP_SYNTAX", "not a parameter");
    return { name: text };
  }
  const name = trimLws(text.slice(0, equals));
  const value = trimLws(text.slice(equals + 1));
  if (!isToken(name) || !(PARAM_VALUE.test(value) || QUOTED.test(value)))
    throw new ProtocolError("ERR_SIP_SYNTAX", "not a parameter or its value");
  return { name, value };
}

/** Writes parameters as they stand; values needing quotes must carry them. */
export const serializeParams = (params: readonly Param[]): string =>
  params
    .map(({ name, value }) => (value === undefined ? `;${name}` : `;${name}=${value}`))
    .join("");

/** The first parameter of that name, compared without case. */
export function findParam(params: readonly Param[], name: string): Param | undefined {
  const wanted = name.toLowerCase();
  for (const param of params)
    if (param.name === wanted || isSameText(param.name, wanted)) return param;
  return undefined;
}

const isSameText = (text: string, lower: string): boolean =>
  text.length === lower.length && text.toLowerCase() === lower;

/** Sets or adds one parameter, keeping the place of an existing one. */
export function withParam(params: readonly Param[], name: string, value?: string): Param[] {
  const param: Param = value === undefined ? { name } : { name, value };
  const old = findParam(params, name);
  return old === undefined
    ? [...params, param]
    : params.map((each) => (each === old ? param : each));
}
