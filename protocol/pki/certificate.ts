/**
 * X.509 certificates as we use them (RFC 5280): names in subjectAltName, key usage, dates. Pure.
 * Reading one verifies nothing.
 */
import { type KeyObject, X509Certificate } from "node:crypto";
import * as pkijs from "pkijs";
import { decodeTlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import { toArrayBuffer } from "./engine.ts";

/** Longest certificate, in octets. */
export const CERTIFICATE_MAX_BYTES = 16 * 1024;

export const EXTENSION = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
} as const;

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
  readonly criticalExtensions: readonly string[];
  readonly parsed: pkijs.Certificate;
}

const URI_NAME = 6;
const DNS_NAME = 2;

/**
 * Decodes a DER certificate.
 * @throws ProtocolError `ERR_CERTIFICATE` if it cannot be read or exceeds `CERTIFICATE_MAX_BYTES`.
 */
export function decodeCertificate(octets: Uint8Array): Certificate {
  try {
    if (octets.length > CERTIFICATE_MAX_BYTES) throw new RangeError("certificate too long");
    const encoded = Buffer.from(octets);
    decodeTlv(encoded); // bounds depth and count before the general parser recurses
    const parsed = pkijs.Certificate.fromBER(toArrayBuffer(encoded));
    const constraints = extensionValue(parsed, EXTENSION.basicConstraints, pkijs.BasicConstraints);
    return {
      encoded,
      publicKey: new X509Certificate(encoded).publicKey,
      notBefore: parsed.notBefore.value.getTime(),
      notAfter: parsed.notAfter.value.getTime(),
      uris: alternativeNames(parsed, URI_NAME),
      dnsNames: alternativeNames(parsed, DNS_NAME),
      isAuthority: constraints?.cA ?? false,
      pathLength: readPathLength(constraints),
      keyUsages: readKeyUsages(parsed),
      criticalExtensions: (parsed.extensions ?? [])
        .filter(({ critical }) => critical)
        .map(({ extnID }) => extnID),
      parsed,
    };
  } catch (cause) {
    throw new ProtocolError("ERR_CERTIFICATE", "certificate cannot be read", { cause });
  }
}

/** True if the certificate's key may be used so; without the extension it may (§4.2.1.3). */
export const mayBeUsedFor = (certificate: Certificate, usage: KeyUsage): boolean =>
  certificate.keyUsages?.has(usage) ?? true;

/** The certificate as text (RFC 7468 §5). */
export function encodeCertificatePem(certificate: Uint8Array): string {
  const lines =
    Buffer.from(certificate)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function extensionValue<T>(
  certificate: pkijs.Certificate,
  oid: string,
  type: new (...args: never[]) => T,
): T | undefined {
  const found = certificate.extensions?.filter(({ extnID }) => extnID === oid) ?? [];
  if (found.length > 1) throw new TypeError("an extension stands twice"); // §4.2
  if (found[0] === undefined) return undefined;
  const value: unknown = found[0].parsedValue;
  const isRead = value instanceof type && !(value as { parsingError?: string }).parsingError;
  if (!isRead) throw new TypeError("an extension cannot be read");
  return value;
}

function alternativeNames(certificate: pkijs.Certificate, nameType: number): readonly string[] {
  const names = extensionValue(certificate, EXTENSION.subjectAltName, pkijs.AltName)?.altNames;
  return (names ?? [])
    .filter(({ type }) => type === nameType)
    .map(({ value }) => {
      if (typeof value !== "string" || !/^[!-~]+$/.test(value))
        throw new TypeError("a name cannot be read");
      return value;
    });
}

function readPathLength(constraints: pkijs.BasicConstraints | undefined): number | undefined {
  const length = constraints?.pathLenConstraint;
  if (length === undefined) return undefined;
  if (typeof length !== "number") throw new RangeError("path length out of range");
  return length;
}

function readKeyUsages(certificate: pkijs.Certificate): ReadonlySet<KeyUsage> | undefined {
  const extension = certificate.extensions?.find(({ extnID }) => extnID === EXTENSION.keyUsage);
  if (extension === undefined) return undefined;
  const { content } = decodeTlv(extension.extnValue.valueBlock.valueHexView);
  const octet = content[1] ?? 0; // the first octet counts unused bits
  const usages = Object.keys(KEY_USAGE_BITS) as KeyUsage[];
  return new Set(usages.filter((usage) => (octet & (0x80 >> KEY_USAGE_BITS[usage])) !== 0));
}
