/**
 * Detached SignedData (RFC 5652 §5) by one signer, with signed attributes, over exact octets.
 * Pure, but ECDSA's nonce is OpenSSL's own.
 */
import { hash, type KeyObject } from "node:crypto";
import { SHA256_OID } from "../cms/algorithms.ts";
import {
  decodeCertificateIdentity,
  isIdentifiedBy,
  ownIdentityOf,
} from "../cms/certificate-identity.ts";
import {
  encodeAlgorithm,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSetOf,
  encodeSmallInteger,
  encodeTlv,
} from "../der/encode.ts";
import { expectTag, readOid, readSequence, readSet, readSmallInteger } from "../der/read.ts";
import { contextTag } from "../der/tag.ts";
import { decodeTlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import { type Certificate, decodeCertificate, mayBeUsedFor } from "./certificate.ts";
import { signatureAlgorithmOf, signOctets } from "./sign-octets.ts";
import {
  CONTENT_TYPE,
  isSignedBy,
  MESSAGE_DIGEST,
  readSignerInfo,
  type SignerInfo,
} from "./signer-info.ts";

/** Longest SignedData, in octets. */
export const SIGNED_DATA_MAX_BYTES = 64 * 1024;
/** Most certificates in one SignedData. */
export const SIGNED_DATA_MAX_CERTIFICATES = 8;

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

const ID_DATA = "1.2.840.113549.1.7.1";
const ID_SIGNED_DATA = "1.2.840.113549.1.7.2";
const SHA256_ALGORITHM = encodeAlgorithm(SHA256_OID); // RFC 5754 §2: no parameters
const VERSION = encodeSmallInteger(1);
const VERSIONS = [1, 3, 4, 5]; // §5.1

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
  const { issuer, serialNumber } = ownIdentityOf(signer.certificate);
  const above = chain.filter((certificate) => !signer.certificate.equals(certificate));
  const certificates = [signer.certificate, ...above];
  if (certificates.length > SIGNED_DATA_MAX_CERTIFICATES)
    throw new RangeError(`at most ${SIGNED_DATA_MAX_CERTIFICATES} certificates expected`);
  const digest = hash("sha256", content, "buffer");
  const attributes = [
    encodeAttribute(CONTENT_TYPE, encodeOid(ID_DATA)),
    encodeAttribute(MESSAGE_DIGEST, encodeOctetString(digest)),
  ];
  const signature = await signOctets(encodeSetOf(attributes), signer.privateKey); // §5.4
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
  return encodeSequence(encodeOid(ID_SIGNED_DATA), encodeTlv(contextTag(0), signedData));
}

const encodeAttribute = (type: string, value: Buffer): Buffer =>
  encodeSequence(encodeOid(type), encodeSetOf([value]));

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
    const { signerInfo, certificates } = decodeSignedData(signature);
    const signer = certificates.find(({ encoded }) =>
      isIdentifiedBy(decodeCertificateIdentity(encoded), signerInfo.id),
    );
    if (signer === undefined || !mayBeUsedFor(signer, "digitalSignature"))
      throw new TypeError("signer may not sign");
    if (!isSignedBy(signerInfo, content, signer.publicKey)) throw new TypeError("not signed so");
    return { signer, others: certificates.filter((one) => one !== signer) };
  } catch (cause) {
    throw new ProtocolError("ERR_SIGNATURE", "signature does not verify", { cause });
  }
}

interface DecodedSignedData {
  readonly signerInfo: SignerInfo;
  readonly certificates: readonly Certificate[];
}

/** SignedData that is detached, over plain data and by one signer (§5.1). */
function decodeSignedData(octets: Uint8Array): DecodedSignedData {
  if (octets.length > SIGNED_DATA_MAX_BYTES) throw new RangeError("too long");
  const [type, wrapped] = readSequence(decodeTlv(octets));
  if (readOid(type) !== ID_SIGNED_DATA) throw new TypeError("not SignedData");
  const fields = readSequence(expectTag(wrapped, contextTag(0)).children[0]);
  const [version, digests, encapsulated, ...rest] = fields;
  if (!VERSIONS.includes(readSmallInteger(version))) throw new TypeError("version");
  readSet(digests);
  const [contentType, content] = readSequence(encapsulated);
  if (readOid(contentType) !== ID_DATA) throw new TypeError("not plain data");
  if (content !== undefined) throw new TypeError("not detached");

  const certificates = rest.find(({ tag }) => tag === contextTag(0))?.children ?? [];
  if (certificates.length > SIGNED_DATA_MAX_CERTIFICATES) throw new RangeError("certificates");
  const [info, ...more] = readSet(rest.at(-1));
  if (info === undefined || more.length > 0) throw new TypeError("one signer expected");
  const signerInfo = readSignerInfo(info);
  if (signerInfo.contentType !== ID_DATA) throw new TypeError("not plain data");
  return {
    signerInfo,
    certificates: certificates.map(({ encoded }) => decodeCertificate(encoded)),
  };
}
