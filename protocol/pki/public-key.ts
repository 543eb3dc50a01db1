/**
 * Subject public keys (RFC 5280 §4.1.2.7): which ones we certify, and their names. Pure.
 */
import { createPublicKey, hash, type KeyObject } from "node:crypto";
import {
  encodeAlgorithm,
  encodeBitString,
  encodeNull,
  encodeSequence,
  encodeTlv,
} from "../der/encode.ts";
import { readBitString, readSequence } from "../der/read.ts";
import { TAG } from "../der/tag.ts";
import { decodeTlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";

/** A kind of key that we certify. */
export type KeyType = "p256" | "rsa2048" | "rsa3072" | "rsa4096";

/** The only encoding that a key of this kind can have: one key, one name. */
interface CanonicalForm {
  readonly type: KeyType;
  readonly before: Buffer;
  /** Octets of the point without its form, or of the modulus, whose highest bit is set. */
  readonly keyBytes: number;
  readonly after: Buffer;
}

/** ecPublicKey, prime256v1, an uncompressed point (RFC 5480 §2). */
const P256: CanonicalForm = {
  type: "p256",
  before: Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex"),
  keyBytes: 64,
  after: Buffer.alloc(0),
};
const FORMS = [P256, rsaForm("rsa2048", 256), rsaForm("rsa3072", 384), rsaForm("rsa4096", 512)];

/** rsaEncryption, whose exponent is 65537 (RFC 3279 §2.3.1). */
function rsaForm(type: KeyType, keyBytes: number): CanonicalForm {
  const modulus = encodeTlv(TAG.integer, Buffer.alloc(keyBytes + 1)); // an octet for the sign
  const exponent = encodeTlv(TAG.integer, Buffer.of(1, 0, 1));
  const algorithm = encodeAlgorithm("1.2.840.113549.1.1.1", encodeNull());
  const spki = encodeSequence(algorithm, encodeBitString(encodeSequence(modulus, exponent)));
  const before = spki.subarray(0, -keyBytes - exponent.length);
  return { type, before, keyBytes, after: exponent };
}

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
export const keyIdOf = (publicKey: KeyObject): string => hash("sha256", spkiOf(publicKey), "hex");

/** The key's kind, or undefined if it is none that we certify. */
export const keyTypeOf = (publicKey: KeyObject): KeyType | undefined => typeOf(spkiOf(publicKey));

/** Method 1 of RFC 5280 §4.2.1.2: a name for the key, so SHA-1 does no harm. */
export function subjectKeyIdentifierOf(publicKey: KeyObject): Buffer {
  const spki = spkiOf(publicKey);
  const bits =
    typeOf(spki) === "p256"
      ? spki.subarray(-P256.keyBytes - 1)
      : readBitString(readSequence(decodeTlv(spki))[1]);
  return hash("sha1", bits, "buffer");
}

/**
 * Reads a key that is to be certified; its encoding must be the only one that it can have.
 * @throws ProtocolError `ERR_CERTIFICATE_REQUEST` for any other.
 */
export function readSubjectKey(encoded: Uint8Array): {
  readonly key: KeyObject;
  readonly type: KeyType;
} {
  const spki = Buffer.from(encoded);
  const type = typeOf(spki);
  if (type === undefined)
    throw new ProtocolError("ERR_CERTIFICATE_REQUEST", "key of another kind, length or encoding");
  try {
    const key = createPublicKey({ key: spki, format: "der", type: "spki" });
    SPKI_OF.set(key, spki);
    return { key, type };
  } catch (cause) {
    throw new ProtocolError("ERR_CERTIFICATE_REQUEST", "not a key", { cause }); // off the curve
  }
}

function typeOf(spki: Buffer): KeyType | undefined {
  const form = FORMS.find(
    ({ before, keyBytes, after }) => spki.length === before.length + keyBytes + after.length,
  );
  if (form === undefined) return undefined;
  const { type, before, keyBytes, after } = form;
  const end = before.length + keyBytes;
  if (!spki.subarray(0, before.length).equals(before) || !spki.subarray(end).equals(after))
    return undefined;
  const isFullLength = type === "p256" || (spki[before.length] ?? 0) >= 0x80;
  return isFullLength ? type : undefined;
}
