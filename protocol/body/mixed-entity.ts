/**
 * multipart/mixed of typed parts (RFC 2046 §5.1.3), as our sealed and signed contents have it:
 * who reads it knows every part that its sender requires. Pure: random octets are an argument.
 */
import { isProtocolError, ProtocolError } from "../errors.ts";
import { dispositionOf } from "../mime/content-disposition.ts";
import { type MimeEntity, partsOf, serializeEntity } from "../mime/entity.ts";
import { serializeMultipart } from "../mime/multipart.ts";

export const MIXED = "multipart/mixed";

/** A multipart/mixed entity around these parts. */
export function serializeMixed(parts: readonly Buffer[], random: (size: number) => Buffer): Buffer {
  const { body, boundary } = serializeMultipart(parts, random);
  return serializeEntity([["Content-Type", `${MIXED};boundary=${boundary}`]], body);
}

/** @throws ProtocolError `ERR_BODY` if the entity is no multipart/mixed; `ERR_MIME_SYNTAX`. */
export function mixedPartsOf(entity: MimeEntity): readonly MimeEntity[] {
  if (entity.contentType.type !== MIXED) throw new ProtocolError("ERR_BODY", "not multipart/mixed");
  return partsOf(entity);
}

/**
 * The one part of this type: with two, two readers might believe two things.
 * @throws ProtocolError `ERR_BODY`.
 */
export function singlePart(parts: readonly MimeEntity[], type: string): MimeEntity {
  const part = optionalPart(parts, type);
  if (part === undefined) throw new ProtocolError("ERR_BODY", `a part of ${type} expected`);
  return part;
}

/** The part of this type, if there is one. @throws ProtocolError `ERR_BODY` if there are two. */
export function optionalPart(parts: readonly MimeEntity[], type: string): MimeEntity | undefined {
  const [part, ...more] = parts.filter(({ contentType }) => contentType.type === type);
  if (more.length > 0) throw new ProtocolError("ERR_BODY", `two parts of ${type}`);
  return part;
}

/**
 * Refuses a part of any other type, unless its sender says that it may be passed over.
 * @throws ProtocolError `ERR_BODY`.
 */
export function requireKnownParts(parts: readonly MimeEntity[], known: readonly string[]): void {
  const isStrange = (part: MimeEntity): boolean =>
    !known.includes(part.contentType.type) && dispositionOf(part).isRequired;
  if (parts.some(isStrange)) throw new ProtocolError("ERR_BODY", "a part is not understood");
}

/** Runs a reader of MIME, whose faults here are faults of the body. @throws ProtocolError `ERR_BODY`. */
export function asBody<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (isProtocolError(cause, "ERR_MIME_SYNTAX") || isProtocolError(cause, "ERR_MIME_LIMIT"))
      throw new ProtocolError("ERR_BODY", "content cannot be read", { cause });
    throw cause;
  }
}
