/**
 * PKCS#10: a request for a certificate, signed by the key that is to be certified (RFC 2986). Pure,
 * but ECDSA's nonce is OpenSSL's own.
 */
import type { KeyObject } from "node:crypto";
import { encodeOid, encodeSequence, encodeSmallInteger, encodeTlv } from "../der/encode.ts";
import { readBitString, readOid, readSequence, readSet, readSmallInteger } from "../der/read.ts";
import { contextTag, TAG } from "../der/tag.ts";
import { decodeTlv, type Tlv } from "../der/tlv.ts";
import { isProtocolError, ProtocolError } from "../errors.ts";
import { EXTENSION, encodeExtension, extensionValue, readExtensions } from "./extension.ts";
import { encodeCommonName, encodeGeneralNames, NAME_TAG, readNameText } from "./general-name.ts";
import { type KeyType, keyIdOf, readSubjectKey, spkiOf } from "./public-key.ts";
import { encodeSigned, isSignatureValid } from "./sign-octets.ts";

/** Longest request, in octets; one for RSA-4096 has about 1200. */
export const CERTIFICATION_REQUEST_MAX_BYTES = 4 * 1024;
/** Most alternative names in one request. */
export const CERTIFICATION_REQUEST_MAX_NAMES = 8;

export interface RequestSubject {
  /** Address of record: the only alternative name. */
  readonly aor: string;
  /** P-256 or RSA. */
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** What a request asks for, once its signature has proven that the asker holds the key. */
export interface CertificationRequest {
  readonly publicKey: KeyObject;
  readonly keyType: KeyType;
  /** SHA-256 of the SubjectPublicKeyInfo, lower-case hexadecimal. */
  readonly keyId: string;
  /** URIs of the requested subjectAltName. */
  readonly uris: readonly string[];
  /** Whether names of other kinds are asked for too. */
  readonly otherNames: boolean;
}

/** pkcs-9-at-extensionRequest (RFC 2985 §5.4.2). */
const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";

/** Makes a request in DER. @throws TypeError if the key is neither P-256 nor RSA. */
export function createCertificationRequest(subject: RequestSubject): Promise<Buffer> {
  const { aor, privateKey, publicKey } = subject;
  const names = encodeGeneralNames([{ kind: "uri", uri: aor }]);
  const extensions = encodeSequence(encodeExtension(EXTENSION.subjectAltName, false, names));
  const attribute = encodeSequence(encodeOid(EXTENSION_REQUEST), encodeTlv(TAG.set, extensions));
  const info = encodeSequence(
    encodeSmallInteger(0),
    encodeCommonName(aor),
    spkiOf(publicKey),
    encodeTlv(contextTag(0), attribute),
  );
  return encodeSigned(info, privateKey);
}

/**
 * Reads a request in DER and verifies its signature. The key must be one that we certify, in its
 * only encoding; everything asked for but alternative names is ignored, the subject too.
 * @throws ProtocolError `ERR_CERTIFICATE_REQUEST`.
 */
export async function decodeCertificationRequest(
  octets: Uint8Array,
): Promise<CertificationRequest> {
  try {
    if (octets.length > CERTIFICATION_REQUEST_MAX_BYTES) throw refused("too long");
    const [info, algorithm, signature, ...rest] = readSequence(decodeTlv(octets));
    const [version, name, spki, attributes, ...more] = readSequence(info);
    if (info === undefined || spki === undefined || rest.length + more.length > 0)
      throw refused("not a request");
    if (readSmallInteger(version) !== 0) throw refused("version");
    readSequence(name);
    const { key, type } = readSubjectKey(spki.encoded);
    if (!isSignatureValid(info.encoded, algorithm, readBitString(signature), key))
      throw refused("possession of the key is not proven");
    return {
      publicKey: key,
      keyType: type,
      keyId: keyIdOf(key),
      ...readNames(attributes),
    };
  } catch (cause) {
    if (isProtocolError(cause, "ERR_CERTIFICATE_REQUEST")) throw cause;
    throw refused("cannot be read", { cause });
  }
}

function readNames(attributes: Tlv | undefined): Pick<CertificationRequest, "uris" | "otherNames"> {
  if (attributes?.tag !== contextTag(0)) throw refused("no attributes");
  const requests = attributes.children.filter(
    (attribute) => readOid(readSequence(attribute)[0]) === EXTENSION_REQUEST,
  );
  const [request, ...more] = requests;
  if (more.length > 0) throw refused("two lists of extensions");
  if (request === undefined) return { uris: [], otherNames: false };
  const [extensions, ...others] = readSet(readSequence(request)[1]);
  if (others.length > 0) throw refused("two lists of extensions");
  const value = extensionValue(readExtensions(extensions), EXTENSION.subjectAltName);
  const names = value === undefined ? [] : readSequence(value);
  if (names.length > CERTIFICATION_REQUEST_MAX_NAMES) throw refused("too many names");
  const uris = names.filter(({ tag }) => tag === NAME_TAG.uri);
  return { uris: uris.map(readNameText), otherNames: uris.length < names.length };
}

const refused = (what: string, options?: ErrorOptions): ProtocolError =>
  new ProtocolError("ERR_CERTIFICATE_REQUEST", `certification request: ${what}`, options);
