/**
 * Comparing the Names of subjects and issuers (RFC 5280 §7.1): letters in either case, blanks
 * folded, whichever string type holds them. Pure.
 */
import { readOid, readSequence, readSet } from "../der/read.ts";
import { TAG } from "../der/tag.ts";
import { decodeTlv, type Tlv } from "../der/tlv.ts";
import { isProtocolError } from "../errors.ts";

const TEXTS: ReadonlySet<number> = new Set([TAG.utf8String, TAG.printableString, TAG.ia5String]);
/** Between the parts of what is compared; stands in no name. */
const SEPARATOR = "\0";

/** True if two encoded Names name the same. What cannot be read equals nothing but itself. */
export function isSameName(one: Uint8Array, other: Uint8Array): boolean {
  if (Buffer.compare(one, other) === 0) return true;
  try {
    return canonicalForm(one) === canonicalForm(other);
  } catch (error) {
    if (isProtocolError(error)) return false;
    throw error;
  }
}

const canonicalForm = (name: Uint8Array): string =>
  readSequence(decodeTlv(name))
    .map((part) => readSet(part).map(canonicalAttribute).sort().join(SEPARATOR))
    .join(SEPARATOR + SEPARATOR);

function canonicalAttribute(attribute: Tlv): string {
  const [type, value] = readSequence(attribute);
  return `${readOid(type)}=${value === undefined ? "" : canonicalValue(value)}`;
}

function canonicalValue({ tag, content, encoded }: Tlv): string {
  if (!TEXTS.has(tag)) return `#${encoded.toString("hex")}`;
  const text = content.toString("utf8").normalize("NFKC").toLowerCase();
  return text.trim().replaceAll(/[\s\0]+/g, " ");
}
