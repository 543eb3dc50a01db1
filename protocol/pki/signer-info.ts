/**
 * SignerInfo (RFC 5652 §5.3) with signed attributes, and what it takes to verify it. Pure.
 */
import { createHash, type KeyObject, verify } from "node:crypto";
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

/** Most signed attributes. */
export const SIGNED_DATA_MAX_ATTRIBUTES = 16;

export const CONTENT_TYPE = "1.2.840.113549.1.9.3";
export const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";

type Digest = "sha256" | "sha384" | "sha512";

const DIGESTS: ReadonlyMap<string, Digest> = new Map([
  ["2.16.840.1.101.3.4.2.1", "sha256"],
  ["2.16.840.1.101.3.4.2.2", "sha384"],
  ["2.16.840.1.101.3.4.2.3", "sha512"],
]);

/** ecdsa-with-SHA2 (RFC 5758 §3.2), SHA-2 with RSA (RFC 4055 §5), bare RSA (RFC 3370 §3.2). */
const SIGNATURES: ReadonlyMap<string, { keyType: "ec" | "rsa"; digest?: Digest }> = new Map([
  ["1.2.840.10045.4.3.2", { keyType: "ec", digest: "sha256" }],
  ["1.2.840.10045.4.3.3", { keyType: "ec", digest: "sha384" }],
  ["1.2.840.10045.4.3.4", { keyType: "ec", digest: "sha512" }],
  ["1.2.840.113549.1.1.11", { keyType: "rsa", digest: "sha256" }],
  ["1.2.840.113549.1.1.12", { keyType: "rsa", digest: "sha384" }],
  ["1.2.840.113549.1.1.13", { keyType: "rsa", digest: "sha512" }],
  ["1.2.840.113549.1.1.1", { keyType: "rsa" }],
]);

export interface SignerInfo {
  /** Which certificate is the signer's. */
  readonly id: RecipientIdentifier;
  readonly digest: Digest;
  readonly keyType: "ec" | "rsa";
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
