/**
 * Detached SignedData (RFC 5652 §5) by one signer, with signed attributes, over exact octets.
 * Pure, but ECDSA's nonce is OpenSSL's own.
 */
import { createHash, type KeyObject, sign } from "node:crypto";
import * as asn1js from "asn1js";
import * as pkijs from "pkijs";
import { decodeCertificateIdentity } from "../cms/certificate-identity.ts";
import {
  encodeAlgorithm,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSetOf,
  encodeSmallInteger,
  encodeTlv,
} from "../der/encode.ts";
import { contextTag } from "../der/tag.ts";
import { decodeTlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import { type Certificate, decodeCertificate, mayBeUsedFor } from "./certificate.ts";
import { ENGINE, toArrayBuffer } from "./engine.ts";
import { isAcceptedDigest, isAcceptedSignerSignature, SHA256 } from "./signature-policy.ts";

/** Longest SignedData, in octets. */
export const SIGNED_DATA_MAX_BYTES = 64 * 1024;
/** Most certificates in one SignedData. */
export const SIGNED_DATA_MAX_CERTIFICATES = 8;
/** Most signed attributes. */
export const SIGNED_DATA_MAX_ATTRIBUTES = 16;

/** One certificate serves signing and key agreement. */
export interface Identity {
  /** DER. */
  readonly certificate: Buffer;
  readonly privateKey: KeyObject;
}

export interface VerifiedSignature {
  readonly signer: Certificate;
  /** The other certificates that came along: candidates for the path, not trusted. */
  readonly others: readonly Certificate[];
}

const CONTENT_TYPE = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const ID_DATA = pkijs.SignedData.ID_DATA;
const CMS_SIGNED_DATA = pkijs.ContentInfo.SIGNED_DATA;
const ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
const SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
const SHA256_ALGORITHM = encodeAlgorithm(SHA256); // RFC 5754 §2: no parameters
const VERSION = encodeSmallInteger(1);

/**
 * Signs content by ECDSA P-256 or RSA PKCS#1, with SHA-256; the signer's certificate goes along.
 * @param chain DER certificates that go along too, towards an anchor of the reader
 * @throws TypeError for any other key; RangeError beyond `SIGNED_DATA_MAX_CERTIFICATES`.
 *   ProtocolError `ERR_CERTIFICATE`.
 */
export async function signDetached(
  content: Uint8Array,
  signer: Identity,
  chain: readonly Uint8Array[] = [],
): Promise<Buffer> {
  const algorithm = signatureAlgorithmOf(signer.privateKey);
  const { issuer, serialNumber } = decodeCertificateIdentity(signer.certificate);
  const above = chain.filter((certificate) => !signer.certificate.equals(certificate));
  const certificates = [signer.certificate, ...above];
  if (certificates.length > SIGNED_DATA_MAX_CERTIFICATES)
    throw new RangeError(`at most ${SIGNED_DATA_MAX_CERTIFICATES} certificates expected`);
  const digest = createHash("sha256").update(content).digest();
  const attributes = [
    encodeAttribute(CONTENT_TYPE, encodeOid(ID_DATA)),
    encodeAttribute(MESSAGE_DIGEST, encodeOctetString(digest)),
  ];
  const signature = sign("sha256", encodeSetOf(attributes), signer.privateKey); // §5.4: a SET OF
  const signerInfo = encodeSequence(
    VERSION,
    encodeSequence(issuer, serialNumber),
    SHA256_ALGORITHM,
    encodeSetOf(attributes, contextTag(0)),
    algorithm,
    encodeOctetString(signature),
  );
  const signedData = encodeSequence(
    VERSION,
    encodeSetOf([SHA256_ALGORITHM]),
    encodeSequence(encodeOid(ID_DATA)),
    encodeSetOf(certificates, contextTag(0)),
    encodeSetOf([signerInfo]),
  );
  return encodeSequence(encodeOid(CMS_SIGNED_DATA), encodeTlv(contextTag(0), signedData));
}

const encodeAttribute = (type: string, value: Buffer): Buffer =>
  encodeSequence(encodeOid(type), encodeSetOf([value]));

function signatureAlgorithmOf(key: KeyObject): Buffer {
  if (key.asymmetricKeyType === "rsa") return encodeAlgorithm(SHA256_WITH_RSA, encodeNull());
  if (key.asymmetricKeyDetails?.namedCurve === "prime256v1")
    return encodeAlgorithm(ECDSA_WITH_SHA256);
  throw new TypeError("a P-256 or RSA key expected");
}

/**
 * Verifies a detached signature over content and finds its signer; the path of the signer's
 * certificate is another matter (`verifyChain`).
 * @throws ProtocolError `ERR_SIGNATURE`, whatever is wrong.
 */
export async function verifyDetached(
  content: Uint8Array,
  signature: Uint8Array,
): Promise<VerifiedSignature> {
  try {
    const { signedData, certificates } = decodeSignedData(signature);
    const result = await signedData.verify(
      { signer: 0, data: toArrayBuffer(content), checkChain: false, extendedMode: true },
      ENGINE,
    );
    if (result.signatureVerified !== true) throw new TypeError("signature is wrong");
    const signer = certificates.find(({ parsed }) => parsed === result.signerCertificate);
    if (signer === undefined || !mayBeUsedFor(signer, "digitalSignature"))
      throw new TypeError("signer may not sign");
    return { signer, others: certificates.filter((one) => one !== signer) };
  } catch (cause) {
    throw new ProtocolError("ERR_SIGNATURE", "signature does not verify", { cause });
  }
}

interface DecodedSignedData {
  readonly signedData: pkijs.SignedData;
  /** Those that `signedData` holds. */
  readonly certificates: readonly Certificate[];
}

/** Checks by itself everything that the verification would take on trust. */
function decodeSignedData(octets: Uint8Array): DecodedSignedData {
  if (octets.length > SIGNED_DATA_MAX_BYTES) throw new RangeError("too long");
  decodeTlv(octets); // bounds depth and count before the general parser recurses
  const info = pkijs.ContentInfo.fromBER(toArrayBuffer(octets));
  if (info.contentType !== CMS_SIGNED_DATA) throw new TypeError("not SignedData");
  const signedData = new pkijs.SignedData({ schema: info.content });
  const { encapContentInfo, signerInfos, certificates = [] } = signedData;
  if (encapContentInfo.eContentType !== ID_DATA) throw new TypeError("not plain data");
  if (encapContentInfo.eContent !== undefined) throw new TypeError("not detached");
  if (certificates.length > SIGNED_DATA_MAX_CERTIFICATES) throw new RangeError("certificates");
  const [signerInfo, ...more] = signerInfos;
  if (signerInfo === undefined || more.length > 0) throw new TypeError("one signer expected");
  if (!isAcceptedDigest(signerInfo.digestAlgorithm)) throw new TypeError("digest");
  if (!isAcceptedSignerSignature(signerInfo.signatureAlgorithm)) throw new TypeError("algorithm");
  requireSignedAttributes(signerInfo.signedAttrs?.attributes ?? []);
  const decoded = certificates.map((one) => {
    if (!(one instanceof pkijs.Certificate)) throw new TypeError("not a certificate");
    return decodeCertificate(Buffer.from(one.toSchema().toBER()));
  });
  signedData.certificates = decoded.map(({ parsed }) => parsed);
  return { signedData, certificates: decoded };
}

/** Signed attributes must be there, and name content-type id-data and one digest (§5.3, §11). */
function requireSignedAttributes(attributes: readonly pkijs.Attribute[]): void {
  if (attributes.length > SIGNED_DATA_MAX_ATTRIBUTES) throw new RangeError("attributes");
  const singleValueOf = (type: string): unknown => {
    const [attribute, ...more] = attributes.filter((one) => one.type === type);
    if (attribute === undefined || more.length > 0 || attribute.values.length !== 1)
      throw new TypeError("an attribute is missing or ambiguous");
    return attribute.values[0];
  };
  const contentType = singleValueOf(CONTENT_TYPE);
  if (!(contentType instanceof asn1js.ObjectIdentifier) || contentType.getValue() !== ID_DATA)
    throw new TypeError("content-type");
  if (!(singleValueOf(MESSAGE_DIGEST) instanceof asn1js.OctetString)) throw new TypeError("digest");
}
