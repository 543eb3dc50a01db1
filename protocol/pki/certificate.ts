/**
 * X.509 certificates as we use them (RFC 5280): names in subjectAltName, key usage, dates. Pure.
 * Reading one verifies nothing.
 */
import { createPublicKey, hash, type KeyObject } from "node:crypto";
import {
  expectTag,
  readBitString,
  readOctetString,
  readOid,
  readSequence,
  readSmallInteger,
} from "../der/read.ts";
import { contextTag, TAG } from "../der/tag.ts";
import { decodeTlv, type Tlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import {
  EXTENSION,
  type Extension,
  extensionValue,
  readBoolean,
  readExtensions,
} from "./extension.ts";
import { NAME_TAG, readNameText } from "./general-name.ts";
import { readTime } from "./time.ts";

/** Longest certificate, in octets. */
export const CERTIFICATE_MAX_BYTES = 16 * 1024;

export type KeyUsage =
  | "digitalSignature"
  | "keyEncipherment"
  | "keyAgreement"
  | "keyCertSign"
  | "cRLSign";

/** Bit of the KeyUsage BIT STRING, counted from the most significant (RFC 5280 §4.2.1.3). */
export const KEY_USAGE_BITS: Readonly<Record<KeyUsage, number>> = {
  digitalSignature: 0,
  keyEncipherment: 2,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
};

export interface Certificate {
  /** The DER encoding as received. */
  readonly encoded: Buffer;
  /** Hexadecimal, lower case, without the octet that only holds the sign. */
  readonly serial: string;
  /** The encoded Names. */
  readonly issuerName: Buffer;
  readonly subjectName: Buffer;
  readonly publicKey: KeyObject;
  readonly notBefore: Millis;
  readonly notAfter: Millis;
  /** URIs of subjectAltName: for a user, the address of record. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly isAuthority: boolean;
  /** How many authorities may follow below this one; undefined if any number. */
  readonly pathLength: number | undefined;
  /** Undefined if the certificate restricts nothing. */
  readonly keyUsages: ReadonlySet<KeyUsage> | undefined;
  /** Object identifiers of extended key usages; undefined if it restricts nothing. */
  readonly keyPurposes: ReadonlySet<string> | undefined;
  readonly subjectKeyIdentifier: Buffer | undefined;
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly criticalExtensions: readonly string[];
}

const NO_EXTENSIONS: ReadonlyMap<string, Extension> = new Map();

/**
 * Decodes a DER certificate.
 * @throws ProtocolError `ERR_CERTIFICATE` if it cannot be read or exceeds `CERTIFICATE_MAX_BYTES`.
 */
export function decodeCertificate(octets: Uint8Array): Certificate {
  try {
    if (octets.length > CERTIFICATE_MAX_BYTES) throw new RangeError("certificate too long");
    const encoded = Buffer.from(octets);
    const [toBeSigned, , signature, ...rest] = readSequence(decodeTlv(encoded));
    readBitString(signature);
    if (rest.length > 0) throw new TypeError("something follows the signature");
    return readCertificate(encoded, readSequence(toBeSigned));
  } catch (cause) {
    throw new ProtocolError("ERR_CERTIFICATE", "certificate cannot be read", { cause });
  }
}

/** True if the certificate's key may be used so; without the extension it may (§4.2.1.3). */
export const mayBeUsedFor = (certificate: Certificate, usage: KeyUsage): boolean =>
  certificate.keyUsages?.has(usage) ?? true;

/** Names a certificate: SHA-256 of its DER, in lower-case hexadecimal. */
export const fingerprintOf = (certificate: Uint8Array): string =>
  hash("sha256", certificate, "hex");

/** The certificate as text (RFC 7468 §5). */
export const encodeCertificatePem = (certificate: Uint8Array): string =>
  encodePem("CERTIFICATE", certificate);

/** Octets as text between lines that say what they are (RFC 7468 §3). */
export function encodePem(label: string, octets: Uint8Array): string {
  const lines =
    Buffer.from(octets)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function readCertificate(encoded: Buffer, fields: readonly Tlv[]): Certificate {
  if (fields[0]?.tag !== contextTag(0)) throw new TypeError("not version 2 or 3"); // §4.1.2.1
  const [version, serialNumber, , issuer, validity, subject, spki, ...optional] = fields;
  if (spki === undefined || (version?.content[2] ?? 0) > 2) throw new TypeError("fields missing");
  const [notBefore, notAfter] = readSequence(validity);
  const wrapped = optional.find(({ tag }) => tag === contextTag(3));
  const extensions = wrapped === undefined ? NO_EXTENSIONS : readExtensions(wrapped.children[0]);
  return {
    encoded,
    serial: readSerialNumber(serialNumber),
    issuerName: expectTag(issuer, TAG.sequence).encoded,
    subjectName: expectTag(subject, TAG.sequence).encoded,
    publicKey: createPublicKey({ key: spki.encoded, format: "der", type: "spki" }),
    notBefore: readTime(notBefore),
    notAfter: readTime(notAfter),
    ...readAlternativeNames(extensionValue(extensions, EXTENSION.subjectAltName)),
    ...readBasicConstraints(extensionValue(extensions, EXTENSION.basicConstraints)),
    keyUsages: readKeyUsages(extensionValue(extensions, EXTENSION.keyUsage)),
    keyPurposes: readKeyPurposes(extensionValue(extensions, EXTENSION.extendedKeyUsage)),
    subjectKeyIdentifier: readKeyIdentifier(
      extensionValue(extensions, EXTENSION.subjectKeyIdentifier),
    ),
    extensions,
    criticalExtensions: [...extensions.values()]
      .filter(({ critical }) => critical)
      .map(({ oid }) => oid),
  };
}

/** A serial number in hexadecimal, as `Certificate.serial`. @throws ProtocolError `ERR_DER_SYNTAX`. */
export const readSerialNumber = (value: Tlv | undefined): string =>
  expectTag(value, TAG.integer)
    .content.toString("hex")
    .replace(/^00(?=.)/, "");

function readAlternativeNames(value: Tlv | undefined): Pick<Certificate, "uris" | "dnsNames"> {
  const names = value === undefined ? [] : readSequence(value);
  const namesOf = (wanted: number): readonly string[] =>
    names.filter(({ tag }) => tag === wanted).map(readNameText);
  return { uris: namesOf(NAME_TAG.uri), dnsNames: namesOf(NAME_TAG.dns) };
}

function readBasicConstraints(
  value: Tlv | undefined,
): Pick<Certificate, "isAuthority" | "pathLength"> {
  const [first, second] = value === undefined ? [] : readSequence(value);
  const hasFlag = first?.tag === TAG.boolean;
  const length = hasFlag ? second : first;
  return {
    isAuthority: hasFlag && readBoolean(first),
    pathLength: length === undefined ? undefined : readSmallInteger(length),
  };
}

function readKeyUsages(value: Tlv | undefined): ReadonlySet<KeyUsage> | undefined {
  if (value === undefined) return undefined;
  const octet = expectTag(value, TAG.bitString).content[1] ?? 0; // the first counts unused bits
  const usages = Object.keys(KEY_USAGE_BITS) as KeyUsage[];
  return new Set(usages.filter((usage) => (octet & (0x80 >> KEY_USAGE_BITS[usage])) !== 0));
}

const readKeyPurposes = (value: Tlv | undefined): ReadonlySet<string> | undefined =>
  value === undefined ? undefined : new Set(readSequence(value).map(readOid));

const readKeyIdentifier = (value: Tlv | undefined): Buffer | undefined =>
  value === undefined ? undefined : readOctetString(value);
