/**
 * What CMS needs of a certificate: how a recipient entry names it, and its public key
 * (RFC 5652 §6.2.1, RFC 5280 §4.1). Pure.
 */
import { readBitString, readOctetString, readOid, readSequence } from "../der/read.ts";
import { contextTag, TAG } from "../der/tag.ts";
import { decodeTlv, type Tlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import { OID } from "./algorithms.ts";
import type { RecipientIdentifier } from "./recipient-info.ts";

export type CertificateKey =
  /** P-256; the point is uncompressed, 65 octets. */
  | { readonly kind: "p256"; readonly point: Buffer }
  | { readonly kind: "rsa"; readonly spki: Buffer }
  | { readonly kind: "other" };

export interface CertificateIdentity {
  /** The encoded Name and INTEGER, as they stand in the certificate. */
  readonly issuer: Buffer;
  readonly serialNumber: Buffer;
  readonly subjectKeyIdentifier: Buffer | undefined;
  readonly key: CertificateKey;
}

const POINT_BYTES = 65;
const UNCOMPRESSED = 0x04;

/** Those who open and sign do so with one certificate again and again. */
const KNOWN = new WeakMap<Uint8Array, CertificateIdentity>();

/**
 * Reads the identity out of a DER certificate; nothing in it is verified.
 * @throws ProtocolError `ERR_CERTIFICATE`.
 */
export function decodeCertificateIdentity(certificate: Uint8Array): CertificateIdentity {
  try {
    const [tbs] = readSequence(decodeTlv(certificate));
    const fields = readSequence(tbs);
    const hasVersion = fields[0]?.tag === contextTag(0);
    const [serialNumber, , issuer, , , spki, ...rest] = hasVersion ? fields.slice(1) : fields;
    if (serialNumber?.tag !== TAG.integer || issuer?.tag !== TAG.sequence)
      throw new ProtocolError("ERR_DER_SYNTAX", "not a certificate");
    return {
      issuer: issuer.encoded,
      serialNumber: serialNumber.encoded,
      subjectKeyIdentifier: findSubjectKeyIdentifier(rest),
      key: readKey(spki),
    };
  } catch (cause) {
    throw new ProtocolError("ERR_CERTIFICATE", "certificate cannot be read", { cause });
  }
}

/**
 * As `decodeCertificateIdentity`, of a holder's own certificate: it is read once, and its octets
 * must not change afterwards.
 * @throws ProtocolError `ERR_CERTIFICATE`.
 */
export function ownIdentityOf(certificate: Uint8Array): CertificateIdentity {
  const known = KNOWN.get(certificate);
  if (known !== undefined) return known;
  const identity = decodeCertificateIdentity(certificate);
  KNOWN.set(certificate, identity);
  return identity;
}

/** True if a recipient entry with this identifier is meant for that certificate. */
export function isIdentifiedBy(identity: CertificateIdentity, id: RecipientIdentifier): boolean {
  if (id.kind === "issuer-serial")
    return identity.issuer.equals(id.issuer) && identity.serialNumber.equals(id.serialNumber);
  return identity.subjectKeyIdentifier?.equals(id.octets) ?? false;
}

function findSubjectKeyIdentifier(optionalFields: readonly Tlv[]): Buffer | undefined {
  const extensions = optionalFields.find((field) => field.tag === contextTag(3))?.children[0];
  if (extensions === undefined) return undefined;
  for (const extension of readSequence(extensions)) {
    const parts = readSequence(extension);
    if (readOid(parts[0]) !== OID.subjectKeyIdentifier) continue;
    return readOctetString(decodeTlv(readOctetString(parts.at(-1))));
  }
  return undefined;
}

function readKey(spki: Tlv | undefined): CertificateKey {
  const [algorithm, bits] = readSequence(spki);
  const [oid, parameters] = readSequence(algorithm);
  const name = readOid(oid);
  if (name === OID.rsaEncryption && spki !== undefined) return { kind: "rsa", spki: spki.encoded };
  if (name !== OID.ecPublicKey || parameters?.tag !== TAG.oid) return { kind: "other" };
  const point = readBitString(bits);
  const isP256 = readOid(parameters) === OID.prime256v1;
  return isP256 && point.length === POINT_BYTES && point[0] === UNCOMPRESSED
    ? { kind: "p256", point }
    : { kind: "other" };
}
