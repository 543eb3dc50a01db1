/**
 * Content-Disposition and its parameters (RFC 2183, RFC 3261 §20.11). Pure.
 */
import { ProtocolError } from "../errors.ts";
import { CONTENT_TYPE_MAX_LENGTH, parseParameters } from "./content-type.ts";
import type { MimeEntity } from "./entity.ts";

export interface ContentDisposition {
  /** In lower case; empty if the entity has no such row. */
  readonly disposition: string;
  /** By name in lower case; values as they stand, without quotes. */
  readonly parameters: ReadonlyMap<string, string>;
  /** True unless `handling=optional`: who does not know the part must refuse the whole. */
  readonly isRequired: boolean;
}

const ROW_NAME = "content-disposition";
const DISPOSITION = /^\s*([!#$%&'*+\-.^_`{|}~\w]+)\s*/;
const NONE: ContentDisposition = { disposition: "", parameters: new Map(), isRequired: true };

/**
 * The disposition of a part.
 * @throws ProtocolError `ERR_MIME_SYNTAX`, `ERR_MIME_LIMIT`.
 */
export function dispositionOf(entity: MimeEntity): ContentDisposition {
  const [row, ...more] = entity.headers.filter(({ name }) => name.toLowerCase() === ROW_NAME);
  if (more.length > 0) throw new ProtocolError("ERR_MIME_SYNTAX", "a header stands twice");
  return row === undefined ? NONE : parseContentDisposition(row.value);
}

/**
 * Parses the value of a Content-Disposition field.
 * @throws ProtocolError `ERR_MIME_SYNTAX` (a parameter given twice included), `ERR_MIME_LIMIT`.
 */
export function parseContentDisposition(value: string): ContentDisposition {
  if (value.length > CONTENT_TYPE_MAX_LENGTH)
    throw new ProtocolError("ERR_MIME_LIMIT", "Content-Disposition too long");
  const [matched, disposition] = DISPOSITION.exec(value) ?? [];
  if (matched === undefined || disposition === undefined)
    throw new ProtocolError("ERR_MIME_SYNTAX", "not a Content-Disposition");
  const parameters = parseParameters(value.slice(matched.length));
  const isRequired = parameters.get("handling")?.toLowerCase() !== "optional";
  return { disposition: disposition.toLowerCase(), parameters, isRequired };
}
