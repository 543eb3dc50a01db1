/**
 * Subject public keys (RFC 5280 §4.1.2.7): which ones we certify, and their names. Pure.
 */
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import {
  encodeAlgorithm,
  encodeBitString,
  encodeNull,
  encodeSequence,
  encodeTlv,
} from "../der/encode.ts";
import { expectTag, readBitString, readSequence } from "../der/read.ts";
import { TAG } from "../der/tag.ts";
import { decodeTlv, type Tlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";

/** A kind of key that we certify. */
export type KeyType = "p256" | "rsa2048" | "rsa3072" | "rsa4096";

const RSA_TYPES: ReadonlyMap<number, KeyType> = new Map([
  [2048, "rsa2048"],
  [3072, "rsa3072"],
  [4096, "rsa4096"],
]);
const RSA_PUBLIC_EXPONENT = 65537n;

/** What stands before the 64 octets of a P-256 point in its only encoding with named curve (RFC 5480). */
const P256_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");
const P256_SPKI_BYTES = P256_PREFIX.length + 64;
const RSA_ALGORITHM = encodeAlgorithm("1.2.840.113549.1.1.1", encodeNull());

/** Exporting a key costs more than signing with it: each is exported once. */
const SPKI_OF = new WeakMap<KeyObject, Buffer>();

/** The DER SubjectPublicKeyInfo of a public key. */
export function spkiOf(publicKey: KeyObject): Buffer {
  const known = SPKI_OF.get(publicKey);
  if (known !== undefined) return known;
  const spki = publicKey.export({ format: "der", type: "spki" });
  SPKI_OF.set(publicKey, spki);
  return spki;
}

/** Names a key: SHA-256 of its SubjectPublicKeyInfo, in lower-case hexadecimal. */
export const keyIdOf = (publicKey: KeyObject): string =>
  createHash("sha256").update(spkiOf(publicKey)).digest("hex");

/** The key's kind, or undefined if it is none that we certify. */
export function keyTypeOf(publicKey: KeyObject): KeyType | undefined {
  const { namedCurve, modulusLength = 0, publicExponent } = publicKey.asymmetricKeyDetails ?? {};
  if (publicKey.asymmetricKeyType === "ec") return namedCurve === "prime256v1" ? "p256" : undefined;
  if (publicKey.asymmetricKeyType !== "rsa" || publicExponent !== RSA_PUBLIC_EXPONENT)
    return undefined;
  return RSA_TYPES.get(modulusLength);
}

/** Method 1 of RFC 5280 §4.2.1.2: a name for the key, so SHA-1 does no harm. */
export function subjectKeyIdentifierOf(publicKey: KeyObject): Buffer {
  const spki = spkiOf(publicKey);
  const bits = spki.subarray(0, P256_PREFIX.length).equals(P256_PREFIX)
    ? spki.subarray(P256_PREFIX.length - 1)
    : readBitString(readSequence(decodeTlv(spki))[1]);
  return createHash("sha1").update(bits).digest();
}

/**
 * Reads a key that is to be certified. Its encoding must be the only one that the key can have:
 * one key, one name.
 * @throws ProtocolError `ERR_CERTIFICATE_REQUEST` for any other key; `ERR_DER_SYNTAX`.
 */
export function readSubjectKey(value: Tlv): { readonly key: KeyObject; readonly type: KeyType } {
  const spki = value.encoded;
  const isP256 = spki.length === P256_SPKI_BYTES && spki.indexOf(P256_PREFIX) === 0;
  if (!isP256 && !isCanonicalRsa(value)) throw refused("key of another kind or encoding");
  try {
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    const type = keyTypeOf(key);
    if (type === undefined) throw refused("key of another length");
    SPKI_OF.set(key, Buffer.from(spki));
    return { key, type };
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause;
    throw refused("not a key", { cause });
  }
}

function isCanonicalRsa(value: Tlv): boolean {
  const [, bits] = readSequence(value);
  const integers = readSequence(decodeTlv(readBitString(bits)));
  const minimal = integers.map((integer) => encodeInteger(expectTag(integer, TAG.integer).content));
  const rebuilt = encodeSequence(RSA_ALGORITHM, encodeBitString(encodeSequence(...minimal)));
  return integers.length === 2 && rebuilt.equals(value.encoded);
}

/** A positive INTEGER without needless zeros (X.690 §8.3.2). */
function encodeInteger(octets: Buffer): Buffer {
  const first = octets.findIndex((octet) => octet !== 0);
  const magnitude = first < 0 ? Buffer.of(0) : octets.subarray(first);
  const isNegative = (magnitude[0] ?? 0) >= 0x80;
  return encodeTlv(TAG.integer, ...(isNegative ? [Buffer.of(0)] : []), magnitude);
}

const refused = (what: string, options?: ErrorOptions): ProtocolError =>
  new ProtocolError("ERR_CERTIFICATE_REQUEST", what, options);
