/**
 * What a phone tells its user about its registration, and about others' certificates: one JSON
 * object a line, or a plain sentence. Pure. No event holds a key or a password.
 */
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";

/** A certificate as it is shown. */
export interface ShownCertificate {
  /** Hexadecimal, as OpenSSL writes it. */
  readonly serial: string;
  readonly notBefore: Millis;
  readonly notAfter: Millis;
  /** SHA-256 of the DER, in hexadecimal. */
  readonly fingerprint: string;
}

export type RegistrationEvent =
  | { readonly event: "registering"; readonly aor: string; readonly callId: string }
  | {
      readonly event: "registered";
      readonly aor: string;
      readonly contact: string;
      readonly expiresAt: Millis;
      readonly refreshAt: Millis;
      /** Absent where only the location was registered. */
      readonly certificate?: ShownCertificate;
    }
  | { readonly event: "flow-lost" }
  | { readonly event: "registration-expired" }
  | {
      readonly event: "registration-failed";
      readonly reason: string;
      readonly status?: number;
      /** The registrar's Warning row. */
      readonly warning?: string;
      /** Absent if it is not tried again. */
      readonly retryAt?: Millis;
    }
  | { readonly event: "unregistered"; readonly aor: string };

export type CertificateEvent =
  | ({
      readonly event: "certificate";
      readonly aor: string;
      /** When it goes out of service, unless it is registered again. */
      readonly expiresAt: Millis;
    } & ShownCertificate)
  | {
      readonly event: "no-certificate";
      readonly aor: string;
      readonly reason: string;
      readonly status?: number;
      readonly warning?: string;
    };

/** Writes a moment for a person. */
export type TellTime = (at: Millis) => string;

/** The event as a sentence for a person at a terminal. */
export function describeRegistration(
  event: RegistrationEvent | CertificateEvent,
  time: TellTime,
): string {
  switch (event.event) {
    case "registering":
      return `Registering ${event.aor}.`;
    case "registered": {
      const { expiresAt, certificate, refreshAt } = event;
      const serial = certificate === undefined ? "" : `, certificate serial ${certificate.serial}`;
      return `Registered until ${time(expiresAt)}${serial}, refreshes at ${time(refreshAt)}.`;
    }
    case "flow-lost":
      return "The connection to the registrar is gone.";
    case "registration-expired":
      return "The registration has ended: nobody reaches this phone.";
    case "registration-failed": {
      const again = event.retryAt === undefined ? "" : ` Trying again at ${time(event.retryAt)}.`;
      return `Not registered${why(event)}.${again}`;
    }
    case "unregistered":
      return `${event.aor} is registered here no longer.`;
    case "certificate":
      return (
        `${event.aor} has certificate serial ${event.serial}, ` +
        `in service until ${time(event.expiresAt)}, SHA-256 ${event.fingerprint}.`
      );
    case "no-certificate":
      return `No certificate of ${event.aor}${why(event)}.`;
    default:
      return assertNever(event);
  }
}

interface Failure {
  readonly reason: string;
  readonly status?: number;
  readonly warning?: string;
}

function why({ reason, status, warning }: Failure): string {
  const code = status === undefined ? "" : ` (${status})`;
  return `${code}: ${reason}${warning === undefined ? "" : ` (${warning})`}`;
}
