/**
 * Content-Type and its parameters (RFC 2045 §5.1). Pure.
 */
import { ProtocolError } from "../errors.ts";

export interface ContentType {
  /** `type/subtype` in lower case. */
  readonly type: string;
  /** By name in lower case; values as they stand, without quotes. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Longest field value that is read, in characters. */
export const CONTENT_TYPE_MAX_LENGTH = 1024;
/** Most parameters. */
export const CONTENT_TYPE_MAX_PARAMETERS = 16;

const TOKEN = "[!#$%&'*+\\-.^_`{|}~\\w]+";
/** What follows `=` unquoted; some senders leave the quotes off where RFC 2045 wants them. */
const LOOSE_TOKEN = "[!#$%&'*+\\-.^_`{|}~\\w/:=?@]+";
const MEDIA_TYPE = new RegExp(`^\\s*(${TOKEN}/${TOKEN})\\s*`);
const QUOTED = '"((?:[^"\\\\\\r\\n]|\\\\[^\\r\\n])*)"';
const PARAMETER = new RegExp(`^;\\s*(${TOKEN})\\s*=\\s*(?:(${LOOSE_TOKEN})|${QUOTED})\\s*`);

/**
 * Parses the value of a Content-Type field.
 * @throws ProtocolError `ERR_MIME_SYNTAX` (a parameter given twice included), `ERR_MIME_LIMIT`.
 */
export function parseContentType(value: string): ContentType {
  if (value.length > CONTENT_TYPE_MAX_LENGTH)
    throw new ProtocolError("ERR_MIME_LIMIT", "Content-Type too long");
  const [matched, type] = MEDIA_TYPE.exec(value) ?? [];
  if (matched === undefined || type === undefined) throw syntax();
  return { type: type.toLowerCase(), parameters: parseParameters(value.slice(matched.length)) };
}

/**
 * Parses parameters as they follow a type or a disposition, each from its semicolon on.
 * @throws ProtocolError `ERR_MIME_SYNTAX`; `ERR_MIME_LIMIT` beyond `CONTENT_TYPE_MAX_PARAMETERS`.
 */
export function parseParameters(text: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (let rest = text; rest !== ""; ) {
    const [part, name, token, quoted] = PARAMETER.exec(rest) ?? [];
    if (part === undefined || name === undefined || parameters.has(name.toLowerCase()))
      throw syntax();
    parameters.set(name.toLowerCase(), token ?? quoted?.replace(/\\(.)/g, "$1") ?? "");
    if (parameters.size > CONTENT_TYPE_MAX_PARAMETERS)
      throw new ProtocolError("ERR_MIME_LIMIT", "too many parameters");
    rest = rest.slice(part.length);
  }
  return parameters;
}

const syntax = (): ProtocolError => new ProtocolError("ERR_MIME_SYNTAX", "not a header value");
