/**
 * Certification paths (RFC 5280 §6.1): from a certificate through authorities sent with it to an
 * anchor of ours. What is critical and unknown to us refuses. Pure.
 */
import { readBitString, readSequence } from "../der/read.ts";
import { decodeTlv } from "../der/tlv.ts";
import { isProtocolError, ProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import { type Certificate, decodeCertificate, mayBeUsedFor } from "./certificate.ts";
import { type Crl, verifyCrl } from "./crl.ts";
import { EXTENSION } from "./extension.ts";
import { ANY_PURPOSE, KEY_PURPOSES, type KeyPurpose } from "./key-purpose.ts";
import { isSameName } from "./name.ts";
import { permitsNames } from "./name-constraints.ts";
import { isSignatureValid } from "./sign-octets.ts";
import { isAcceptedKey } from "./signature-policy.ts";

/** Most authorities between a certificate and its anchor. */
export const CHAIN_MAX_INTERMEDIATES = 4;
/** Most signatures that one search may cost. */
export const CHAIN_MAX_VERIFICATIONS = 16;

export interface ChainRequest {
  readonly certificate: Certificate;
  /** Authorities as the peer sent them: candidates, not trusted. */
  readonly intermediates: readonly Certificate[];
  /** DER certificates that are trusted as they stand. */
  readonly anchors: readonly Uint8Array[];
  readonly now: Millis;
  /** One that every certificate of the path which restricts its purposes must allow. */
  readonly purpose?: KeyPurpose;
  /**
   * Where they are given, the certificate's issuer must have a current list among them
   * (`openssl verify -crl_check`); lists of the authorities above are heeded where they are there.
   */
  readonly crls?: readonly Crl[];
  /** `where-present`: issuers without a list are believed. */
  readonly crlCoverage?: "required" | "where-present";
  /** Asked for every certificate below the anchor. */
  readonly isRevoked?: (certificate: Certificate) => boolean;
}

const UNDERSTOOD = new Set<string>([
  EXTENSION.keyUsage,
  EXTENSION.subjectAltName,
  EXTENSION.basicConstraints,
  EXTENSION.nameConstraints,
  EXTENSION.extendedKeyUsage,
]);

/** From the certificate upwards; never empty. */
type Path = readonly Certificate[];

interface Search {
  readonly request: ChainRequest;
  readonly anchors: readonly Certificate[];
  verifications: number;
  /** Why the last candidate was refused. */
  fault: string;
}

/**
 * Verifies that the certificate leads to an anchor and that every link is valid at `now`.
 * A certificate that is itself an anchor needs no issuer.
 * @throws ProtocolError `ERR_CERTIFICATE`.
 */
export async function verifyChain(request: ChainRequest): Promise<void> {
  const { certificate } = request;
  const anchors = request.anchors.map(decodeCertificate);
  const fault = findFault(certificate, request) ?? findRevocation(certificate, request);
  if (fault !== undefined) throw new ProtocolError("ERR_CERTIFICATE", fault);
  if (anchors.some(({ encoded }) => encoded.equals(certificate.encoded))) return;

  const search = {
    request,
    anchors,
    verifications: CHAIN_MAX_VERIFICATIONS,
    fault: "its issuer is not known",
  };
  if (leadsToAnchor([certificate], search)) return;
  throw new ProtocolError("ERR_CERTIFICATE", `no valid path to an anchor: ${search.fault}`);
}

/** Tries every anchor, then every authority, above the last of the path, and so on above those. */
function leadsToAnchor(path: Path, search: Search): boolean {
  const { request, anchors } = search;
  if (anchors.some((candidate) => isIssuer(candidate, path, search))) return true;
  if (path.length > CHAIN_MAX_INTERMEDIATES) return false;
  return request.intermediates.some((authority) => {
    if (path.includes(authority) || !isIssuer(authority, path, search)) return false;
    const fault = findRevocation(authority, request);
    search.fault = fault ?? search.fault;
    return fault === undefined && leadsToAnchor([...path, authority], search);
  });
}

function isIssuer(candidate: Certificate, path: Path, search: Search): boolean {
  const [subject = candidate] = path.slice(-1);
  if (!isSameName(candidate.subjectName, subject.issuerName)) return false;
  const fault =
    findFault(candidate, search.request) ??
    findAuthorityFault(candidate, path) ??
    findSignatureFault(candidate, subject, search) ??
    findListFault(candidate, subject, search.request);
  search.fault = fault ?? search.fault;
  return fault === undefined;
}

/** What is wrong with a certificate by itself, wherever it stands. */
function findFault(certificate: Certificate, { now, purpose }: ChainRequest): string | undefined {
  if (now < certificate.notBefore) return "certificate is not valid yet";
  if (now > certificate.notAfter) return "certificate is not valid any more";
  if (!isAcceptedKey(certificate.publicKey)) return "key too weak or unknown";
  if (!certificate.criticalExtensions.every((oid) => UNDERSTOOD.has(oid)))
    return "critical extension not understood";
  const purposes = certificate.keyPurposes;
  if (purpose === undefined || purposes === undefined) return undefined;
  return purposes.has(KEY_PURPOSES[purpose]) || purposes.has(ANY_PURPOSE)
    ? undefined
    : "certificate serves other purposes";
}

const findRevocation = (
  certificate: Certificate,
  { isRevoked }: ChainRequest,
): string | undefined => (isRevoked?.(certificate) ? "certificate is revoked" : undefined);

/** What keeps it from being an authority above this path. */
function findAuthorityFault(candidate: Certificate, path: Path): string | undefined {
  if (!candidate.isAuthority || !mayBeUsedFor(candidate, "keyCertSign"))
    return "its issuer is no authority";
  if (candidate.pathLength !== undefined && path.length - 1 > candidate.pathLength)
    return "path longer than an authority allows";
  // §6.1.3 (b): authorities that renewed themselves are not constrained
  const constrained = path.filter(
    ({ subjectName, issuerName }, at) => at === 0 || !isSameName(subjectName, issuerName),
  );
  return permitsNames(candidate, constrained) ? undefined : "an authority does not permit the name";
}

function findSignatureFault(
  candidate: Certificate,
  subject: Certificate,
  search: Search,
): string | undefined {
  search.verifications -= 1;
  if (search.verifications < 0) return "too many signatures";
  const [toBeSigned, algorithm, signature] = readSequence(decodeTlv(subject.encoded));
  const fields = readSequence(toBeSigned);
  const isSame = algorithm !== undefined && fields[2]?.encoded.equals(algorithm.encoded); // §4.1.1.2
  const isValid =
    isSame === true &&
    toBeSigned !== undefined &&
    isSignatureValid(toBeSigned.encoded, algorithm, readBitString(signature), candidate.publicKey);
  return isValid ? undefined : "its signature does not verify";
}

/** What the issuer's revocation lists say of it, or that they say nothing. */
function findListFault(
  issuer: Certificate,
  subject: Certificate,
  { certificate, crls, crlCoverage = "required", now }: ChainRequest,
): string | undefined {
  if (crls === undefined) return undefined;
  const lists = crls.filter(({ issuerName }) => isSameName(issuerName, issuer.subjectName));
  const current = lists.filter((crl) => isCurrent(crl, issuer, now));
  if (current.some(({ revoked }) => revoked.has(subject.serial))) return "certificate is revoked";
  const isRequired = subject === certificate && crlCoverage === "required";
  const isCovered = current.length > 0 || (lists.length === 0 && !isRequired);
  return isCovered ? undefined : "its issuer has no current revocation list";
}

function isCurrent(crl: Crl, issuer: Certificate, now: Millis): boolean {
  try {
    verifyCrl(crl, issuer, now);
    return true;
  } catch (error) {
    if (isProtocolError(error)) return false;
    throw error;
  }
}
