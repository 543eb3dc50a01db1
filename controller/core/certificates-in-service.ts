/**
 * The certificates that a user can be reached by now: each belongs to a binding, is neither over
 * nor revoked, and there is one for each key (RFC 8591 §4.4.1). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { fingerprintOf } from "../../protocol/pki/certificate.ts";
import type { AuthorityDirectory } from "./authority-policy.ts";
import type { Binding, BindingCertificate } from "./bindings.ts";

export interface ServedCertificate {
  readonly der: Buffer;
  readonly keyId: string;
  /** Its own end, or that of the registration if that comes first. */
  readonly until: Millis;
  readonly binding: Binding;
}

/** @param bindings the user's, the best first: so are the certificates */
export function certificatesInService(
  bindings: readonly Binding[],
  directory: AuthorityDirectory,
  now: Millis,
): readonly ServedCertificate[] {
  const served = new Map<string, ServedCertificate>();
  for (const binding of bindings) {
    const { certificate, expiresAt } = binding;
    if (certificate === undefined || isRevoked(certificate, directory)) continue;
    const { keyId, notAfter } = certificate;
    const until = Math.min(notAfter, expiresAt);
    if (until <= now || (served.get(keyId)?.until ?? 0) >= until) continue;
    served.set(keyId, { der: Buffer.from(certificate.der, "base64"), keyId, until, binding });
  }
  return [...served.values()];
}

export const isRevoked = (
  { der, keyId }: BindingCertificate,
  directory: AuthorityDirectory,
): boolean =>
  directory.isRevoked({ keyId, der, fingerprint: fingerprintOf(Buffer.from(der, "base64")) });
