/**
 * The values of WWW-Authenticate, Authorization and their proxy twins (RFC 3261 §20.7, RFC 7235
 * §2.1). Pure.
 */
import { isProtocolError, ProtocolError } from "../errors.ts";
import { isToken, splitOutside, unquote } from "./grammar.ts";
import { headerRows, type SipMessage } from "./message.ts";

export interface AuthValue {
  /** In lower case. */
  readonly scheme: string;
  /** Names in lower case, values without quotes. */
  readonly params: ReadonlyMap<string, string>;
}

/** Those of a field that can be read, in order: of several, one that is no use harms no other. */
export const authValues = (message: SipMessage, field: string): AuthValue[] =>
  headerRows(message, field).flatMap(({ value }) => tryParse(value));

/**
 * Parses one challenge or one set of credentials.
 * @throws ProtocolError `ERR_SIP_SYNTAX`, also for a parameter that comes twice.
 */
export function parseAuthValue(text: string): AuthValue {
  const [, scheme = "", rest = ""] = /^(\S+)[ \t]+(.*)$/s.exec(text.trim()) ?? [];
  if (!isToken(scheme)) throw new ProtocolError("ERR_SIP_SYNTAX", "authentication scheme");
  const params = new Map<string, string>();
  for (const part of splitOutside(rest, ",")) {
    const equals = part.indexOf("=");
    const name = part.slice(0, Math.max(equals, 0)).trim().toLowerCase();
    const value = part.slice(equals + 1).trim();
    if (!isToken(name) || params.has(name) || !(isToken(value) || /^".*"$/s.test(value)))
      throw new ProtocolError("ERR_SIP_SYNTAX", "authentication parameter");
    params.set(name, unquote(value));
  }
  return { scheme: scheme.toLowerCase(), params };
}

function tryParse(value: string): AuthValue[] {
  try {
    return [parseAuthValue(value)];
  } catch (error) {
    if (isProtocolError(error)) return [];
    throw error;
  }
}
