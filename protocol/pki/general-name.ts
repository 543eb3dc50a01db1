/**
 * Names in certificates (RFC 5280 §4.1.2.4, §4.2.1.6): one common name, and the alternative names
 * that count. Pure.
 */
import { encodeOid, encodeSequence, encodeTlv } from "../der/encode.ts";
import { primitiveContextTag, TAG } from "../der/tag.ts";
import type { Tlv } from "../der/tlv.ts";
import { assertNever, ProtocolError } from "../errors.ts";

export type AlternativeName =
  | { readonly kind: "dns"; readonly name: string }
  | { readonly kind: "uri"; readonly uri: string }
  /** 4 or 16 octets. */
  | { readonly kind: "address"; readonly octets: Uint8Array };

/** Tags of GeneralName. */
export const NAME_TAG = {
  dns: primitiveContextTag(2),
  uri: primitiveContextTag(6),
  address: primitiveContextTag(7),
} as const;

/** Longest common name (RFC 5280 appendix A, ub-common-name). */
const COMMON_NAME_MAX_LENGTH = 64;
const COMMON_NAME = encodeOid("2.5.4.3");

/** A Name of one common name, cut where it is too long: what counts stands in subjectAltName. */
export function encodeCommonName(value: string): Buffer {
  const text = encodeTlv(TAG.utf8String, Buffer.from(value.slice(0, COMMON_NAME_MAX_LENGTH)));
  return encodeSequence(encodeTlv(TAG.set, encodeSequence(COMMON_NAME, text)));
}

export const encodeGeneralNames = (names: readonly AlternativeName[]): Buffer =>
  encodeSequence(...names.map(encodeGeneralName));

/**
 * The text of a name that must be printable ASCII without blanks.
 * @throws ProtocolError `ERR_DER_SYNTAX`.
 */
export function readNameText({ content }: Tlv): string {
  const text = content.toString("latin1");
  if (!/^[!-~]+$/.test(text)) throw new ProtocolError("ERR_DER_SYNTAX", "name not printable");
  return text;
}

function encodeGeneralName(name: AlternativeName): Buffer {
  switch (name.kind) {
    case "dns":
      return encodeTlv(NAME_TAG.dns, Buffer.from(name.name));
    case "uri":
      return encodeTlv(NAME_TAG.uri, Buffer.from(name.uri));
    case "address":
      return encodeTlv(NAME_TAG.address, name.octets);
    default:
      return assertNever(name);
  }
}
