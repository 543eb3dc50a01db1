/**
 * RecipientInfo: who can unwrap the content key, and how (RFC 5652 §6.2). Pure.
 * A KeyAgreeRecipientInfo for several recipients becomes one entry for each.
 */
import {
  type AlgorithmIdentifier,
  readAlgorithm,
  readBitString,
  readOctetString,
  readOid,
  readSequence,
  readSmallInteger,
} from "../der/read.ts";
import { contextTag, primitiveContextTag, TAG } from "../der/tag.ts";
import type { Tlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import { OID } from "./algorithms.ts";

/** Most recipient entries in one message. */
export const CMS_MAX_RECIPIENTS = 16;

export type RecipientIdentifier =
  | { readonly kind: "issuer-serial"; readonly issuer: Buffer; readonly serialNumber: Buffer }
  | { readonly kind: "key-id"; readonly octets: Buffer };

interface WrappedKey {
  readonly algorithm: AlgorithmIdentifier;
  readonly encryptedKey: Buffer;
}

export interface KeyTransportEntry extends WrappedKey {
  readonly kind: "key-transport";
  readonly id: RecipientIdentifier;
}

export interface KeyAgreeEntry extends WrappedKey {
  readonly kind: "key-agree";
  readonly id: RecipientIdentifier;
  /** The originator's ephemeral point; undefined if a certificate is named in its stead. */
  readonly originatorPoint: Buffer | undefined;
  readonly ukm: Buffer | undefined;
}

export interface KekEntry extends WrappedKey {
  readonly kind: "kek";
  readonly keyIdentifier: Buffer;
}

export interface PasswordEntry extends WrappedKey {
  readonly kind: "password";
  /** How the password becomes a key; undefined if the peers agreed on that elsewhere. */
  readonly derivation: AlgorithmIdentifier | undefined;
}

/** `other`: a kind of recipient that we do not know. */
export type RecipientEntry =
  | KeyTransportEntry
  | KeyAgreeEntry
  | KekEntry
  | PasswordEntry
  | { readonly kind: "other" };

/**
 * Reads every recipient of a message, in the order received.
 * @throws ProtocolError `ERR_DER_SYNTAX`; `ERR_CMS_SYNTAX` (none); `ERR_CMS_LIMIT` beyond
 *   `CMS_MAX_RECIPIENTS`.
 */
export function readRecipientEntries(infos: readonly Tlv[]): readonly RecipientEntry[] {
  if (infos.length === 0) throw new ProtocolError("ERR_CMS_SYNTAX", "message for nobody");
  const entries: RecipientEntry[] = [];
  for (const info of infos) {
    entries.push(...readRecipientInfo(info));
    if (entries.length > CMS_MAX_RECIPIENTS)
      throw new ProtocolError("ERR_CMS_LIMIT", "too many recipients");
  }
  return entries;
}

function readRecipientInfo(info: Tlv): readonly RecipientEntry[] {
  switch (info.tag) {
    case TAG.sequence:
      return [readKeyTransport(info.children)];
    case contextTag(1):
      return readKeyAgree(info.children);
    case contextTag(2):
      return [readKek(info.children)];
    case contextTag(3):
      return [readPassword(info.children)];
    default:
      return [{ kind: "other" }];
  }
}

function readKeyTransport(fields: readonly Tlv[]): KeyTransportEntry {
  const [version, idField, algorithm, encryptedKey] = fields;
  const id = readIdentifier(idField);
  expectVersion(version, id.kind === "key-id" ? 2 : 0);
  return {
    kind: "key-transport",
    id,
    algorithm: readAlgorithm(algorithm),
    encryptedKey: readOctetString(encryptedKey),
  };
}

function readKeyAgree(fields: readonly Tlv[]): readonly KeyAgreeEntry[] {
  const [version, originator, ...rest] = fields;
  expectVersion(version, 3);
  const hasUkm = rest[0]?.tag === contextTag(1);
  const ukm = hasUkm ? readOctetString(rest[0]?.children[0]) : undefined;
  const [algorithm, keys] = hasUkm ? rest.slice(1) : rest;
  const shared = {
    kind: "key-agree" as const,
    originatorPoint: readOriginatorPoint(originator),
    ukm,
    algorithm: readAlgorithm(algorithm),
  };
  return readSequence(keys).map((key) => {
    const [id, encryptedKey] = readSequence(key);
    return { ...shared, id: readIdentifier(id), encryptedKey: readOctetString(encryptedKey) };
  });
}

/** OriginatorIdentifierOrKey, of which only originatorKey can be ephemeral (RFC 5753 §3.1.1). */
function readOriginatorPoint(originator: Tlv | undefined): Buffer | undefined {
  const choice = originator?.tag === contextTag(0) ? originator.children[0] : undefined;
  if (choice === undefined) throw new ProtocolError("ERR_DER_SYNTAX", "no originator");
  if (choice.tag !== contextTag(1)) return undefined;
  const [algorithm, point] = choice.children;
  return readAlgorithm(algorithm).oid === OID.ecPublicKey ? readBitString(point) : undefined;
}

function readKek(fields: readonly Tlv[]): KekEntry {
  const [version, kekId, algorithm, encryptedKey] = fields;
  expectVersion(version, 4);
  return {
    kind: "kek",
    keyIdentifier: readOctetString(readSequence(kekId)[0]),
    algorithm: readAlgorithm(algorithm),
    encryptedKey: readOctetString(encryptedKey),
  };
}

function readPassword(fields: readonly Tlv[]): PasswordEntry {
  const [version, ...rest] = fields;
  expectVersion(version, 0);
  const derivation = rest[0]?.tag === contextTag(0) ? rest[0].children : undefined;
  const [algorithm, encryptedKey] = derivation === undefined ? rest : rest.slice(1);
  return {
    kind: "password",
    derivation: derivation && readAlgorithmFields(derivation),
    algorithm: readAlgorithm(algorithm),
    encryptedKey: readOctetString(encryptedKey),
  };
}

/** AlgorithmIdentifier under an implicit tag. */
function readAlgorithmFields([oid, parameters]: readonly Tlv[]): AlgorithmIdentifier {
  return { oid: readOid(oid), parameters };
}

function expectVersion(version: Tlv | undefined, expected: number): void {
  if (readSmallInteger(version) !== expected)
    throw new ProtocolError("ERR_CMS_SYNTAX", "recipient of another version");
}

/** IssuerAndSerialNumber, or a key identifier under [0]. @throws ProtocolError `ERR_DER_SYNTAX`. */
export function readIdentifier(id: Tlv | undefined): RecipientIdentifier {
  if (id?.tag === primitiveContextTag(0)) return { kind: "key-id", octets: id.content };
  if (id?.tag === contextTag(0)) return { kind: "key-id", octets: readOctetString(id.children[0]) };
  const [issuer, serialNumber] = readSequence(id);
  if (issuer === undefined || serialNumber === undefined)
    throw new ProtocolError("ERR_DER_SYNTAX", "recipient without a name");
  return {
    kind: "issuer-serial",
    issuer: issuer.encoded,
    serialNumber: serialNumber.encoded,
  };
}
