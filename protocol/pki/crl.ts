/**
 * Certificate revocation lists (RFC 5280 §5): complete ones of one issuer. A list with a critical
 * extension, such as a delta or an indirect one, is none that we understand. Pure.
 */
import { readBitString, readSequence, readSmallInteger } from "../der/read.ts";
import { contextTag, TAG } from "../der/tag.ts";
import { type DerLimits, decodeTlv, type Tlv } from "../der/tlv.ts";
import { isProtocolError, ProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import { type Certificate, mayBeUsedFor, readSerialNumber } from "./certificate.ts";
import { EXTENSION, type Extension, extensionValue, readExtensions } from "./extension.ts";
import { isSameName } from "./name.ts";
import { isSignatureValid } from "./sign-octets.ts";
import { isAcceptedKey } from "./signature-policy.ts";
import { readTime } from "./time.ts";

/** Most certificates that one list may name. */
export const CRL_MAX_ENTRIES = 20_000;
/** Longest list, in octets. */
export const CRL_MAX_BYTES = 2 * 1024 * 1024;

export interface Crl {
  /** The encoded Name. */
  readonly issuerName: Buffer;
  readonly thisUpdate: Millis;
  readonly nextUpdate: Millis;
  /** Hexadecimal; undefined if the issuer does not number them. */
  readonly number: string | undefined;
  /** By serial number, as `Certificate.serial`. */
  readonly revoked: ReadonlyMap<string, CrlEntry>;
  readonly signed: SignedOctets;
}

export interface CrlEntry {
  readonly at: Millis;
  /** CRLReason (§5.3.1); 0 if none is given. */
  readonly reason: number;
}

interface SignedOctets {
  readonly octets: Buffer;
  readonly algorithm: Tlv;
  readonly signature: Buffer;
}

const REMOVE_FROM_CRL = 8; // only in deltas
const VALUES_PER_ENTRY = 16;
const LIMITS: DerLimits = {
  maxBytes: CRL_MAX_BYTES,
  maxValues: CRL_MAX_ENTRIES * VALUES_PER_ENTRY,
};
const NO_EXTENSIONS: ReadonlyMap<string, Extension> = new Map();

/** Which key a list was found to be signed by: it need not be asked again. */
const SIGNER_OF = new WeakMap<Crl, Buffer>();

/**
 * Decodes a DER list; `verifyCrl` says whether to believe it.
 * @throws ProtocolError `ERR_CRL`.
 */
export function decodeCrl(octets: Uint8Array): Crl {
  try {
    const [list, algorithm, signature, ...rest] = readSequence(
      decodeTlv(Buffer.from(octets), LIMITS),
    );
    if (list === undefined || algorithm === undefined || rest.length > 0) throw refused("syntax");
    const fields = readSequence(list);
    const [version, inner, issuer, thisUpdate, nextUpdate, ...optional] = fields;
    if (readSmallInteger(version) !== 1) throw refused("not version 2");
    if (inner === undefined || !inner.encoded.equals(algorithm.encoded)) throw refused("algorithm");
    readSequence(issuer);
    const [wrapped] = optional.filter(({ tag }) => tag === contextTag(0));
    const [entries] = optional.filter(({ tag }) => tag === TAG.sequence);
    return {
      issuerName: issuer?.encoded ?? Buffer.alloc(0),
      thisUpdate: readTime(thisUpdate),
      nextUpdate: readTime(nextUpdate), // §5.1.2.5: it must be there
      number: readNumber(understood(wrapped?.children[0])),
      revoked: readEntries(entries?.children ?? []),
      signed: { octets: list.encoded, algorithm, signature: readBitString(signature) },
    };
  } catch (cause) {
    if (isProtocolError(cause, "ERR_CRL")) throw cause;
    throw refused("cannot be read", { cause });
  }
}

/**
 * Verifies that this authority signed the list and may, and that the list is current at `now`.
 * @throws ProtocolError `ERR_CRL`.
 */
export function verifyCrl(crl: Crl, issuer: Certificate, now: Millis): void {
  if (!isSameName(crl.issuerName, issuer.subjectName)) throw refused("of another issuer");
  if (!issuer.isAuthority || !mayBeUsedFor(issuer, "cRLSign")) throw refused("its issuer may not");
  if (now < crl.thisUpdate || now > crl.nextUpdate) throw refused("not current");
  if (SIGNER_OF.get(crl)?.equals(issuer.encoded)) return;
  if (!isAcceptedKey(issuer.publicKey)) throw refused("key too weak or unknown");
  const { octets, algorithm, signature } = crl.signed;
  if (!isSignatureValid(octets, algorithm, signature, issuer.publicKey))
    throw refused("its signature does not verify");
  SIGNER_OF.set(crl, issuer.encoded);
}

function readNumber(extensions: ReadonlyMap<string, Extension>): string | undefined {
  const value = extensionValue(extensions, EXTENSION.crlNumber);
  return value === undefined ? undefined : readSerialNumber(value);
}

function readEntries(values: readonly Tlv[]): ReadonlyMap<string, CrlEntry> {
  if (values.length > CRL_MAX_ENTRIES) throw refused("too many entries");
  return new Map(
    values.map((value) => {
      const [serial, at, extensions] = readSequence(value);
      const reason = readReason(understood(extensions));
      return [readSerialNumber(serial), { at: readTime(at), reason }];
    }),
  );
}

function readReason(extensions: ReadonlyMap<string, Extension>): number {
  const value = extensionValue(extensions, EXTENSION.reasonCode);
  if (value === undefined) return 0;
  const [reason] = value.content;
  if (value.tag !== TAG.enumerated || reason === undefined || reason === REMOVE_FROM_CRL)
    throw refused("reason");
  return reason;
}

/** The extensions, none of which may be critical: those that are change what a list means. */
function understood(value: Tlv | undefined): ReadonlyMap<string, Extension> {
  if (value === undefined) return NO_EXTENSIONS;
  const extensions = readExtensions(value);
  if ([...extensions.values()].some(({ critical }) => critical))
    throw refused("critical extension not understood");
  return extensions;
}

const refused = (what: string, options?: ErrorOptions): ProtocolError =>
  new ProtocolError("ERR_CRL", `revocation list: ${what}`, options);
