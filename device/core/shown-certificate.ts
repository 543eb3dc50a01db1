/** A certificate as events show it. Pure. */
import type { GrantedCertificate } from "./registration-answer.ts";
import type { ShownCertificate } from "./registration-event.ts";

export const showCertificate = (certificate: GrantedCertificate): ShownCertificate => ({
  serial: certificate.serial,
  notBefore: certificate.notBefore,
  notAfter: certificate.notAfter,
  fingerprint: certificate.fingerprint,
});
