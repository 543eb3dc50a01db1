/**
 * SignerInfo (RFC 5652 §5.3) with signed attributes, and what it takes to verify it. Pure.
 */
import { createHash, type KeyObject, verify } from "node:crypto";
import { SHA256_OID } from "../cms/algorithms.ts";
import { type RecipientIdentifier, readIdentifier } from "../cms/recipient-info.ts";
import { encodeSetOf } from "../der/encode.ts";
import {
  expectTag,
  readAlgorithm,
  readOctetString,
  readOid,
  readSequence,
  readSet,
  readSmallInteger,
} from "../der/read.ts";
import { contextTag } from "../der/tag.ts";
import type { Tlv } from "../der/tlv.ts";
import {
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
  type SignatureDigest,
} from "./sign-octets.ts";

/** Most signed attributes. */
export const SIGNED_DATA_MAX_ATTRIBUTES = 16;

export const CONTENT_TYPE = "1.2.840.113549.1.9.3";
export const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";

const DIGESTS: ReadonlyMap<string, SignatureDigest> = new Map([
  [SHA256_OID, "sha256"],
  ["2.16.840.1.101.3.4.2.2", "sha384"],
  ["2.16.840.1.101.3.4.2.3", "sha512"],
]);

type SignatureScheme = Pick<SignatureAlgorithm, "keyType"> & Partial<SignatureAlgorithm>;

/** What certificates are signed by, and bare RSA, which leaves the digest to `digestAlgorithm` (RFC 3370 §3.2). */
const SIGNATURES: ReadonlyMap<string, SignatureScheme> = new Map<string, SignatureScheme>([
  ...SIGNATURE_ALGORITHMS,
  ["1.2.840.113549.1.1.1", { keyType: "rsa" }],
]);

export interface SignerInfo {
  /** Which certificate is the signer's. */
  readonly id: RecipientIdentifier;
  readonly digest: SignatureDigest;
  readonly keyType: SignatureAlgorithm["keyType"];
  /** What the attribute says of the content. */
  readonly contentType: string;
  readonly messageDigest: Buffer;
  /** DER of the signed attributes as a SET OF: what is signed (§5.4). */
  readonly signedAttributes: Buffer;
  readonly signature: Buffer;
}

/**
 * Reads one SignerInfo. Signed attributes must be there, content-type and message-digest once each
 * (§11); both digests must be the same one of SHA-2.
 * @throws Error whatever is wrong.
 */
export function readSignerInfo(value: Tlv): SignerInfo {
  const [version, identifier, digestAlgorithm, attributes, algorithm, signature] =
    readSequence(value);
  const id = readIdentifier(identifier);
  if (readSmallInteger(version) !== (id.kind === "key-id" ? 3 : 1)) throw new TypeError("version");
  const digest = DIGESTS.get(readAlgorithm(digestAlgorithm).oid);
  const scheme = SIGNATURES.get(readAlgorithm(algorithm).oid);
  if (digest === undefined || scheme === undefined) throw new TypeError("algorithm");
  if ((scheme.digest ?? digest) !== digest) throw new TypeError("digests differ");
  const signed = expectTag(attributes, contextTag(0)).children;
  if (signed.length > SIGNED_DATA_MAX_ATTRIBUTES) throw new RangeError("attributes");
  return {
    id,
    digest,
    keyType: scheme.keyType,
    contentType: readOid(singleValue(signed, CONTENT_TYPE)),
    messageDigest: readOctetString(singleValue(signed, MESSAGE_DIGEST)),
    signedAttributes: encodeSetOf(signed.map(({ encoded }) => encoded)),
    signature: readOctetString(signature),
  };
}

/** True if this is the content that was digested and this the key that signed its digest. */
export function isSignedBy(info: SignerInfo, content: Uint8Array, publicKey: KeyObject): boolean {
  if (publicKey.asymmetricKeyType !== info.keyType) return false;
  if (!createHash(info.digest).update(content).digest().equals(info.messageDigest)) return false;
  return verify(info.digest, info.signedAttributes, publicKey, info.signature);
}

function singleValue(attributes: readonly Tlv[], type: string): Tlv | undefined {
  const [attribute, ...more] = attributes
    .map((one) => readSequence(one))
    .filter(([name]) => readOid(name) === type);
  const values = readSet(attribute?.[1]);
  if (more.length > 0 || values.length !== 1) throw new TypeError("an attribute is ambiguous");
  return values[0];
}
