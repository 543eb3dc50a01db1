/**
 * What the authority issued, for people and for programs. Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { formatColumns } from "./columns.ts";

/** What is shown of a certificate. */
export interface ShownCertificate {
  readonly serial: string;
  readonly aor: string;
  readonly keyId: string;
  readonly fingerprint: string;
  readonly notAfter: Millis;
  readonly revocation?: { readonly at: Millis; readonly reason: string };
}

/** A JavaScript date made of milliseconds: a core reads no clock. */
type ToDate = (at: Millis) => { toISOString(): string };

export type CertificateState = "valid" | "expired" | "revoked";

export function stateOf(certificate: ShownCertificate, now: Millis): CertificateState {
  if (certificate.revocation !== undefined) return "revoked";
  return now > certificate.notAfter ? "expired" : "valid";
}

/** One line for each certificate, in columns under a head. */
export function formatIssuedTable(
  certificates: readonly ShownCertificate[],
  now: Millis,
  toDate: ToDate,
): string {
  const rows = certificates.map((certificate) => {
    const state = stateOf(certificate, now);
    const { serial, aor, notAfter, revocation } = certificate;
    const detail = revocation === undefined ? state : `${state}: ${revocation.reason}`;
    return [serial, toSeconds(toDate(notAfter)), aor, detail];
  });
  return formatColumns([["serial", "valid until", "user", "state"], ...rows]);
}

/** One JSON object a line. */
export function formatIssuedLines(
  certificates: readonly ShownCertificate[],
  now: Millis,
  toDate: ToDate,
): string {
  return certificates
    .map((certificate) => {
      const { serial, aor, keyId, fingerprint, notAfter, revocation } = certificate;
      const revoked =
        revocation === undefined
          ? {}
          : { revokedAt: toSeconds(toDate(revocation.at)), reason: revocation.reason };
      const state = stateOf(certificate, now);
      const until = toSeconds(toDate(notAfter));
      const shown = { serial, aor, state, notAfter: until, ...revoked, keyId, fingerprint };
      return `${JSON.stringify(shown)}\n`;
    })
    .join("");
}

const toSeconds = (date: { toISOString(): string }): string =>
  date.toISOString().replace(/\.\d+/, "");
