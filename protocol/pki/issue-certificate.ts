/**
 * Issues certificates (RFC 5280): an authority, a host or a user of ours. Pure: serial number and
 * dates are arguments; ECDSA's nonce is OpenSSL's own.
 */
import { createHash, type KeyObject } from "node:crypto";
import * as asn1js from "asn1js";
import * as pkijs from "pkijs";
import { assertNever } from "../errors.ts";
import { EXTENSION, KEY_USAGE_BITS, type KeyUsage } from "./certificate.ts";
import { ENGINE, toArrayBuffer } from "./engine.ts";

export type AlternativeName =
  | { readonly kind: "dns"; readonly name: string }
  | { readonly kind: "uri"; readonly uri: string }
  /** 4 or 16 octets. */
  | { readonly kind: "address"; readonly octets: Uint8Array };

/** A JavaScript date, made by the caller: a core reads no clock. */
export type CalendarTime = pkijs.Time["value"];

export interface CertificateRequest {
  readonly commonName: string;
  readonly publicKey: KeyObject;
  /** `authority` signs certificates; `host` is a TLS server; `user` is a TLS client. */
  readonly profile: "authority" | "host" | "user";
  readonly alternativeNames: readonly AlternativeName[];
  /** 8 to 20 octets; the first is made positive. */
  readonly serialNumber: Uint8Array;
  readonly notBefore: CalendarTime;
  readonly notAfter: CalendarTime;
}

/** Who issues: an existing authority, or, for its own certificate, only its key. */
export interface Issuer {
  readonly certificate?: Uint8Array;
  /** P-256. */
  readonly privateKey: KeyObject;
}

const COMMON_NAME = "2.5.4.3";
const KEY_PURPOSES = {
  authority: [],
  // serverAuth, clientAuth, emailProtection (which S/MIME tools ask for, RFC 8551 §4.4.4)
  host: ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4"],
  user: ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4"],
} as const;
const KEY_USAGES: Readonly<Record<CertificateRequest["profile"], readonly KeyUsage[]>> = {
  authority: ["keyCertSign", "cRLSign"],
  host: ["digitalSignature", "keyAgreement"],
  user: ["digitalSignature", "keyAgreement"],
};
const FIRST_GENERALIZED_YEAR = 2050; // RFC 5280 §4.1.2.5

/**
 * Issues a certificate in DER.
 * @throws RangeError for a serial number of another length.
 */
export async function issueCertificate(
  request: CertificateRequest,
  issuer: Issuer,
): Promise<Buffer> {
  const { serialNumber } = request;
  if (serialNumber.length < 8 || serialNumber.length > 20)
    throw new RangeError("a serial number of 8 to 20 octets expected");
  const serial = Buffer.from(serialNumber);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40; // positive and without leading zeros

  const certificate = new pkijs.Certificate();
  certificate.version = 2;
  certificate.serialNumber = new asn1js.Integer({ valueHex: toArrayBuffer(serial) });
  certificate.subject.typesAndValues.push(commonName(request.commonName));
  const parent =
    issuer.certificate === undefined
      ? certificate
      : pkijs.Certificate.fromBER(toArrayBuffer(issuer.certificate));
  certificate.issuer = parent.subject;
  certificate.notBefore = toTime(request.notBefore);
  certificate.notAfter = toTime(request.notAfter);
  const spki = request.publicKey.export({ format: "der", type: "spki" });
  certificate.subjectPublicKeyInfo = pkijs.PublicKeyInfo.fromBER(toArrayBuffer(spki));
  certificate.extensions = [
    ...makeExtensions(request, keyIdentifierOf(certificate), keyIdentifierOf(parent)),
  ];

  const key = issuer.privateKey.toCryptoKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
    "sign",
  ]);
  await certificate.sign(key as CryptoKey, "SHA-256", ENGINE);
  return Buffer.from(certificate.toSchema(true).toBER());
}

function makeExtensions(
  request: CertificateRequest,
  subjectKey: Buffer,
  issuerKey: Buffer,
): readonly pkijs.Extension[] {
  const isAuthority = request.profile === "authority";
  const constraints = new pkijs.BasicConstraints(
    isAuthority ? { cA: true, pathLenConstraint: 0 } : { cA: false },
  );
  const authorityKey = new pkijs.AuthorityKeyIdentifier({ keyIdentifier: octetString(issuerKey) });
  const extensions = [
    extension(EXTENSION.basicConstraints, true, constraints.toSchema()),
    extension(EXTENSION.keyUsage, true, keyUsageBits(KEY_USAGES[request.profile])),
    extension(EXTENSION.subjectKeyIdentifier, false, octetString(subjectKey)),
    extension(EXTENSION.authorityKeyIdentifier, false, authorityKey.toSchema()),
  ];
  const keyPurposes = [...KEY_PURPOSES[request.profile]];
  if (keyPurposes.length > 0) {
    const purposes = new pkijs.ExtKeyUsage({ keyPurposes });
    extensions.push(extension(EXTENSION.extendedKeyUsage, false, purposes.toSchema()));
  }
  if (request.alternativeNames.length > 0) {
    const altNames = request.alternativeNames.map(toGeneralName);
    const names = new pkijs.AltName({ altNames });
    extensions.push(extension(EXTENSION.subjectAltName, false, names.toSchema()));
  }
  return extensions;
}

const extension = (extnID: string, critical: boolean, value: asn1js.BaseBlock): pkijs.Extension =>
  new pkijs.Extension({ extnID, critical, extnValue: value.toBER() });

function keyUsageBits(usages: readonly KeyUsage[]): asn1js.BitString {
  const bits = usages.map((usage) => KEY_USAGE_BITS[usage]);
  const octet = bits.reduce((sum, bit) => sum | (0x80 >> bit), 0);
  return new asn1js.BitString({
    valueHex: Uint8Array.of(octet).buffer,
    unusedBits: 7 - Math.max(...bits),
  });
}

function toGeneralName(name: AlternativeName): pkijs.GeneralName {
  switch (name.kind) {
    case "dns":
      return new pkijs.GeneralName({ type: 2, value: name.name });
    case "uri":
      return new pkijs.GeneralName({ type: 6, value: name.uri });
    case "address":
      return new pkijs.GeneralName({ type: 7, value: octetString(name.octets) });
    default:
      return assertNever(name);
  }
}

/** Method 1 of RFC 5280 §4.2.1.2: a name for the key, so SHA-1 does no harm. */
const keyIdentifierOf = (certificate: pkijs.Certificate): Buffer =>
  createHash("sha1")
    .update(certificate.subjectPublicKeyInfo.subjectPublicKey.valueBlock.valueHexView)
    .digest();

const commonName = (value: string): pkijs.AttributeTypeAndValue =>
  new pkijs.AttributeTypeAndValue({ type: COMMON_NAME, value: new asn1js.Utf8String({ value }) });

const toTime = (value: CalendarTime): pkijs.Time =>
  new pkijs.Time({ type: value.getUTCFullYear() < FIRST_GENERALIZED_YEAR ? 0 : 1, value });

const octetString = (octets: Uint8Array): asn1js.OctetString =>
  new asn1js.OctetString({ valueHex: toArrayBuffer(octets) });
