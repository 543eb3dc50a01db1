/**
 * Issues certificate revocation lists (RFC 5280 §5): version 2, complete, numbered. Pure: number
 * and dates are arguments; ECDSA's nonce is OpenSSL's own.
 */
import type { KeyObject } from "node:crypto";
import { encodeSequence, encodeSmallInteger, encodeTlv } from "../der/encode.ts";
import { contextTag, primitiveContextTag, TAG } from "../der/tag.ts";
import { decodeCertificate } from "./certificate.ts";
import { CRL_MAX_ENTRIES } from "./crl.ts";
import { EXTENSION, encodeExtension } from "./extension.ts";
import { subjectKeyIdentifierOf } from "./public-key.ts";
import { REVOCATION_REASONS, type RevocationReason } from "./revocation-reason.ts";
import { encodeSigned, signatureAlgorithmOf } from "./sign-octets.ts";
import { type CalendarTime, encodeTime } from "./time.ts";

export interface CrlRequest {
  /** Greater than that of every list before, from 1 on. */
  readonly number: number;
  readonly thisUpdate: CalendarTime;
  /** When the next list comes at the latest. */
  readonly nextUpdate: CalendarTime;
  /** At most `CRL_MAX_ENTRIES`. */
  readonly revoked: readonly RevokedCertificate[];
}

export interface RevokedCertificate {
  /** Hexadecimal, as `Certificate.serial`. */
  readonly serial: string;
  readonly at: CalendarTime;
  readonly reason: RevocationReason;
}

export interface CrlIssuer {
  /** DER. */
  readonly certificate: Uint8Array;
  /** P-256 or RSA. */
  readonly privateKey: KeyObject;
}

const VERSION_2 = encodeSmallInteger(1);

/**
 * Issues a list in DER.
 * @throws RangeError for a number, a serial or dates that are none, or too many entries. TypeError
 *   for a key of another kind. ProtocolError `ERR_CERTIFICATE` for the issuer's certificate.
 */
export async function issueCrl(request: CrlRequest, issuer: CrlIssuer): Promise<Buffer> {
  const { number, thisUpdate, nextUpdate, revoked } = request;
  if (!Number.isSafeInteger(number) || number < 1) throw new RangeError("CRL number");
  if (revoked.length > CRL_MAX_ENTRIES) throw new RangeError("too many revoked certificates");
  if (thisUpdate.getTime() >= nextUpdate.getTime()) throw new RangeError("dates in wrong order");
  const { subjectName, publicKey, subjectKeyIdentifier } = decodeCertificate(issuer.certificate);
  const keyIdentifier = subjectKeyIdentifier ?? subjectKeyIdentifierOf(publicKey);
  const authorityKey = encodeSequence(encodeTlv(primitiveContextTag(0), keyIdentifier));
  const extensions = encodeSequence(
    encodeExtension(EXTENSION.authorityKeyIdentifier, false, authorityKey),
    encodeExtension(EXTENSION.crlNumber, false, encodePositive(hexOf(number))),
  );
  const list = encodeSequence(
    VERSION_2,
    signatureAlgorithmOf(issuer.privateKey),
    subjectName,
    encodeTime(thisUpdate),
    encodeTime(nextUpdate),
    ...(revoked.length === 0 ? [] : [encodeSequence(...revoked.map(encodeEntry))]), // §5.1.2.6
    encodeTlv(contextTag(0), extensions),
  );
  return encodeSigned(list, issuer.privateKey);
}

function encodeEntry({ serial, at, reason }: RevokedCertificate): Buffer {
  const code = encodeTlv(TAG.enumerated, Buffer.of(REVOCATION_REASONS[reason]));
  return encodeSequence(
    encodePositive(serial),
    encodeTime(at),
    ...(reason === "unspecified" // §5.3.1: the code is left out
      ? []
      : [encodeSequence(encodeExtension(EXTENSION.reasonCode, false, code))]),
  );
}

/** An INTEGER from hexadecimal digits, with an octet for the sign where it needs one. */
function encodePositive(hex: string): Buffer {
  if (!/^(?:[\da-f]{2}){1,20}$/.test(hex)) throw new RangeError("serial number in hexadecimal");
  const octets = Buffer.from(hex, "hex");
  const needsSign = (octets[0] ?? 0) >= 0x80;
  return encodeTlv(TAG.integer, ...(needsSign ? [Buffer.of(0)] : []), octets);
}

function hexOf(value: number): string {
  const hex = value.toString(16);
  return hex.length % 2 === 0 ? hex : `0${hex}`;
}
