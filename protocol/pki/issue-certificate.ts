/**
 * Issues certificates (RFC 5280): an authority, a host or a user of ours. Pure: serial number and
 * dates are arguments; ECDSA's nonce is OpenSSL's own. Written over `protocol/der`, since every
 * registration waits for it.
 */
import type { KeyObject } from "node:crypto";
import {
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../der/encode.ts";
import { contextTag, primitiveContextTag, TAG } from "../der/tag.ts";
import { decodeCertificate, KEY_USAGE_BITS, type KeyUsage } from "./certificate.ts";
import { EXTENSION, encodeExtension } from "./extension.ts";
import { type AlternativeName, encodeCommonName, encodeGeneralNames } from "./general-name.ts";
import { KEY_PURPOSES, type KeyPurpose } from "./key-purpose.ts";
import { spkiOf, subjectKeyIdentifierOf } from "./public-key.ts";
import { encodeSigned, signatureAlgorithmOf } from "./sign-octets.ts";
import { type CalendarTime, encodeTime } from "./time.ts";

export interface CertificateRequest {
  readonly commonName: string;
  /** P-256 or RSA. */
  readonly publicKey: KeyObject;
  /** `authority` signs certificates; `host` serves TLS and speaks for a domain; `user` is a TLS client. */
  readonly profile: "authority" | "host" | "user";
  readonly alternativeNames: readonly AlternativeName[];
  /** 8 to 20 octets; as `serialNumberOf` makes it. */
  readonly serialNumber: Uint8Array;
  /** Milliseconds are cut off. */
  readonly notBefore: CalendarTime;
  readonly notAfter: CalendarTime;
  /** How many authorities may follow below an authority; 0 unless told. */
  readonly pathLength?: number;
}

/** Who issues: an existing authority, or, for its own certificate, only its key. */
export interface Issuer {
  /** DER; its octets must not change afterwards. */
  readonly certificate?: Uint8Array;
  /** P-256 or RSA. */
  readonly privateKey: KeyObject;
}

const VERSION_3 = encodeTlv(contextTag(0), encodeSmallInteger(2));
const NO_AUTHORITY = encodeExtension(EXTENSION.basicConstraints, true, encodeSequence());
const KEY_USAGES = {
  authority: encodeKeyUsages("keyCertSign", "cRLSign"),
  ec: encodeKeyUsages("digitalSignature", "keyAgreement"),
  rsa: encodeKeyUsages("digitalSignature", "keyEncipherment"),
} as const;
const EXTENDED_KEY_USAGES = {
  host: encodeKeyPurposes("tls-server", "tls-client", "email", "sip-domain"),
  user: encodeKeyPurposes("tls-client", "email"),
} as const;

interface IssuerNames {
  /** The encoded Name. */
  readonly subject: Buffer;
  readonly keyIdentifier: Buffer;
}

/** One authority issues many. */
const NAMES_OF = new WeakMap<Uint8Array, IssuerNames>();

/**
 * Issues a certificate in DER.
 * @throws RangeError for a serial number of another length, dates that are none or in the wrong
 *   order. TypeError for keys of other kinds. ProtocolError `ERR_CERTIFICATE` for the issuer's own.
 */
export async function issueCertificate(
  request: CertificateRequest,
  issuer: Issuer,
): Promise<Buffer> {
  const subject = encodeCommonName(request.commonName);
  const keyIdentifier = subjectKeyIdentifierOf(request.publicKey);
  const parent =
    issuer.certificate === undefined ? { subject, keyIdentifier } : namesOf(issuer.certificate);
  const extensions = [
    ...usageExtensions(request),
    encodeExtension(EXTENSION.subjectKeyIdentifier, false, encodeOctetString(keyIdentifier)),
    encodeExtension(
      EXTENSION.authorityKeyIdentifier,
      false,
      encodeSequence(encodeTlv(primitiveContextTag(0), parent.keyIdentifier)),
    ),
    ...nameExtensions(request.alternativeNames),
  ];
  const toBeSigned = encodeSequence(
    VERSION_3,
    encodeTlv(TAG.integer, serialNumberOf(request.serialNumber)),
    signatureAlgorithmOf(issuer.privateKey),
    parent.subject,
    encodeValidity(request),
    subject,
    spkiOf(request.publicKey),
    encodeTlv(contextTag(3), encodeSequence(...extensions)),
  );
  return encodeSigned(toBeSigned, issuer.privateKey);
}

/**
 * Octets as the serial number that `issueCertificate` makes of them: positive, without leading zeros.
 * @throws RangeError for other than 8 to 20 octets.
 */
export function serialNumberOf(octets: Uint8Array): Buffer {
  if (octets.length < 8 || octets.length > 20)
    throw new RangeError("a serial number of 8 to 20 octets expected");
  const serial = Buffer.from(octets);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

function encodeValidity({ notBefore, notAfter }: CertificateRequest): Buffer {
  if (notBefore.getTime() > notAfter.getTime())
    throw new RangeError("a certificate that ends before it begins");
  return encodeSequence(encodeTime(notBefore), encodeTime(notAfter));
}

function usageExtensions({ profile, publicKey, pathLength = 0 }: CertificateRequest): Buffer[] {
  if (profile !== "authority") {
    const keyUsages = publicKey.asymmetricKeyType === "rsa" ? KEY_USAGES.rsa : KEY_USAGES.ec;
    return [NO_AUTHORITY, keyUsages, EXTENDED_KEY_USAGES[profile]];
  }
  const constraints = encodeSequence(
    encodeTlv(TAG.boolean, Buffer.of(0xff)),
    encodeSmallInteger(pathLength),
  );
  return [encodeExtension(EXTENSION.basicConstraints, true, constraints), KEY_USAGES.authority];
}

function encodeKeyUsages(...usages: readonly KeyUsage[]): Buffer {
  const bits = usages.map((usage) => KEY_USAGE_BITS[usage]);
  const octet = bits.reduce((sum, bit) => sum | (0x80 >> bit), 0);
  const value = encodeTlv(TAG.bitString, Buffer.of(7 - Math.max(...bits), octet));
  return encodeExtension(EXTENSION.keyUsage, true, value);
}

function encodeKeyPurposes(...purposes: readonly KeyPurpose[]): Buffer {
  const oids = purposes.map((purpose) => encodeOid(KEY_PURPOSES[purpose]));
  return encodeExtension(EXTENSION.extendedKeyUsage, false, encodeSequence(...oids));
}

const nameExtensions = (names: readonly AlternativeName[]): Buffer[] =>
  names.length === 0
    ? []
    : [encodeExtension(EXTENSION.subjectAltName, false, encodeGeneralNames(names))];

function namesOf(certificate: Uint8Array): IssuerNames {
  const known = NAMES_OF.get(certificate);
  if (known !== undefined) return known;
  const { subjectName, publicKey, subjectKeyIdentifier } = decodeCertificate(certificate);
  const keyIdentifier = subjectKeyIdentifier ?? subjectKeyIdentifierOf(publicKey);
  const names = { subject: subjectName, keyIdentifier };
  NAMES_OF.set(certificate, names);
  return names;
}
