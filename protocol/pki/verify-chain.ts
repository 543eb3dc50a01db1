/**
 * Certification paths (RFC 5280 §6.1): from a certificate through authorities sent with it to an
 * anchor of ours. What is critical and unknown to us refuses; names are not constrained. Pure.
 */
import { ProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";
import { type Certificate, decodeCertificate, mayBeUsedFor } from "./certificate.ts";
import { ENGINE } from "./engine.ts";
import { EXTENSION } from "./extension.ts";
import { isAcceptedKey, isAcceptedSignature } from "./signature-policy.ts";

/** Most authorities between a certificate and its anchor. */
export const CHAIN_MAX_INTERMEDIATES = 4;
/** Most signatures that one path may cost. */
export const CHAIN_MAX_VERIFICATIONS = 16;

export interface ChainRequest {
  readonly certificate: Certificate;
  /** Authorities as the peer sent them: candidates, not trusted. */
  readonly intermediates: readonly Certificate[];
  /** DER certificates that are trusted as they stand. */
  readonly anchors: readonly Uint8Array[];
  readonly now: Millis;
}

const UNDERSTOOD = new Set<string>([
  EXTENSION.keyUsage,
  EXTENSION.subjectAltName,
  EXTENSION.basicConstraints,
  EXTENSION.extendedKeyUsage,
]);

/**
 * Verifies that the certificate leads to an anchor and that every link is valid at `now`.
 * A certificate that is itself an anchor needs no issuer.
 * @throws ProtocolError `ERR_CERTIFICATE`.
 */
export async function verifyChain(request: ChainRequest): Promise<void> {
  const { certificate, intermediates, now } = request;
  const anchors = request.anchors.map(decodeCertificate);
  requireUsable(certificate, now);
  if (anchors.some(({ encoded }) => encoded.equals(certificate.encoded))) return;

  const budget = { verifications: CHAIN_MAX_VERIFICATIONS };
  let subject = certificate;
  for (let below = 0; below <= CHAIN_MAX_INTERMEDIATES; below += 1) {
    const isIssuer = (candidate: Certificate): boolean => canIssue(candidate, subject, below, now);
    if ((await findSigner(anchors.filter(isIssuer), subject, budget)) !== undefined) return;
    const issuer = await findSigner(intermediates.filter(isIssuer), subject, budget);
    if (issuer === undefined) break;
    subject = issuer;
  }
  throw new ProtocolError("ERR_CERTIFICATE", "no valid path to an anchor");
}

function requireUsable(certificate: Certificate, now: Millis): void {
  if (now < certificate.notBefore || now > certificate.notAfter)
    throw new ProtocolError("ERR_CERTIFICATE", "certificate is not valid now");
  if (!isAcceptedKey(certificate.publicKey))
    throw new ProtocolError("ERR_CERTIFICATE", "key too weak or unknown");
  if (!certificate.criticalExtensions.every((oid) => UNDERSTOOD.has(oid)))
    throw new ProtocolError("ERR_CERTIFICATE", "critical extension not understood");
}

/** @param below how many authorities stand between the candidate and the end certificate */
function canIssue(
  candidate: Certificate,
  subject: Certificate,
  below: number,
  now: Millis,
): boolean {
  if (!candidate.parsed.subject.isEqual(subject.parsed.issuer)) return false;
  if (!candidate.isAuthority || !mayBeUsedFor(candidate, "keyCertSign")) return false;
  if (candidate.pathLength !== undefined && below > candidate.pathLength) return false;
  try {
    requireUsable(candidate, now);
    return true;
  } catch {
    return false;
  }
}

async function findSigner(
  candidates: readonly Certificate[],
  subject: Certificate,
  budget: { verifications: number },
): Promise<Certificate | undefined> {
  const { signature, signatureAlgorithm } = subject.parsed;
  if (!isAcceptedSignature(signatureAlgorithm)) return undefined;
  if (!signature.isEqual(signatureAlgorithm)) return undefined; // §4.1.1.2
  for (const candidate of candidates) {
    budget.verifications -= 1;
    if (budget.verifications < 0) return undefined;
    try {
      if (await subject.parsed.verify(candidate.parsed, ENGINE)) return candidate;
    } catch {
      // A key that does not fit the signature: another candidate may.
    }
  }
  return undefined;
}
