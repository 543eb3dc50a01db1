/**
 * What the core asks of the certificate desk, which has the keys, and what it hears from it. Pure.
 * The desk opens, verifies and signs; what is allowed is decided in the core.
 *
 * ```text
 *   sealed REGISTER ──open-registration──▶ desk ──registration-opened──▶ judged, nothing changed
 *                   ──certify────────────▶ desk ──certified────────────▶ committed, stored, 200
 *   signed OPTIONS  ──verify-asker───────▶ desk ──asker-verified───────▶ judged
 *                   ──sign-answer────────▶ desk ──answer-signed────────▶ 200
 * ```
 */
import type { KeyObject } from "node:crypto";
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import type { ProtocolErrorCode } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";

/** What a REGISTER wants its user to be known by. */
export type Claim =
  /** Nothing: only the location is sealed. */
  | { readonly kind: "none" }
  /** A key proven by the request's own signature. */
  | {
      readonly kind: "request";
      /** Of the PKCS#10. */
      readonly der: Buffer;
      /** SHA-256 of the SPKI, hex. */
      readonly keyId: string;
      readonly publicKey: KeyObject;
      /** Names asked for; a request with names of other kinds does not come this far. */
      readonly uris: readonly string[];
    }
  /** A certificate of a known authority, its chain and dates checked, its key proven. */
  | {
      readonly kind: "certificate";
      readonly der: Buffer;
      readonly keyId: string;
      readonly publicKey: KeyObject;
      /** SHA-256 of the DER, hex. */
      readonly fingerprint: string;
      readonly uris: readonly string[];
      readonly notAfter: Millis;
    };

/** What an answer is sealed with. Who gives up on it wipes it; `certify` hands it over. */
export interface Reply {
  wipe(): void;
}

/** By what a body was opened: only a user's own secret says anything of who sealed it. */
export type HolderKind = "certificate" | "kek" | "password";

/** A certificate as it goes into service. */
export interface CertifiedKey {
  readonly der: Buffer;
  readonly keyId: string;
  readonly notAfter: Millis;
  /** By our own authority, for this registration. */
  readonly issued: boolean;
}

/** No code: the fault is ours, and may pass. */
export interface Failed {
  readonly kind: "failed";
  readonly code?: ProtocolErrorCode;
}

export type RegistrationOutcome =
  | {
      readonly kind: "opened";
      readonly rows: SipfragRows;
      readonly claim: Claim;
      readonly holder: HolderKind;
      readonly reply: Reply;
    }
  | Failed;

export type CertifyOutcome =
  | {
      readonly kind: "done";
      /** Absent exactly where the claim was none. */
      readonly certificate?: CertifiedKey;
      readonly body: Buffer;
      readonly contentType: string;
    }
  /** By who had the key first, or had it revoked, while this was on its way. */
  | { readonly kind: "refused"; readonly reason: "key-of-another" | "key-revoked" }
  | Failed;

export type AskerOutcome =
  | {
      readonly kind: "asker";
      /** SAN URIs of the signer, whose chain leads to an authority that may speak for them. */
      readonly uris: readonly string[];
      readonly startLine: string;
      readonly rows: SipfragRows;
    }
  | Failed;

export type SignedOutcome =
  | { readonly kind: "done"; readonly body: Buffer; readonly contentType: string }
  | Failed;

export type CertificateInput =
  | {
      readonly kind: "registration-opened";
      readonly ref: string;
      readonly outcome: RegistrationOutcome;
    }
  | { readonly kind: "certified"; readonly ref: string; readonly outcome: CertifyOutcome }
  | { readonly kind: "asker-verified"; readonly ref: string; readonly outcome: AskerOutcome }
  | { readonly kind: "answer-signed"; readonly ref: string; readonly outcome: SignedOutcome }
  /** What the directory says has changed: what is revoked goes out of service now. */
  | { readonly kind: "certificates-revoked" };

/** What the desk is asked of one kind. */
export type Asked<Kind extends CertificateEffect["kind"]> = Extract<
  CertificateEffect,
  { kind: Kind }
>;

export type CertificateEffect =
  | {
      readonly kind: "open-registration";
      readonly ref: string;
      readonly request: SipRequest;
      /** Whose secrets may have sealed it. */
      readonly aor: string;
      /** Passwords may be tried: a label names us, and not too many were guessed before. */
      readonly labelled: boolean;
      /** Address that it came from, so that none keeps the desk to itself. */
      readonly source: string;
    }
  | {
      readonly kind: "certify";
      readonly ref: string;
      readonly aor: string;
      /** A request is to be certified for `aor`, and recorded before it is answered. */
      readonly claim: Claim;
      readonly notBefore: Millis;
      /** To the second. */
      readonly notAfter: Millis;
      /** Rows of the sealed answer. */
      readonly rows: SipfragRows;
      readonly reply: Reply;
    }
  | {
      readonly kind: "verify-asker";
      readonly ref: string;
      readonly request: SipRequest;
      readonly source: string;
    }
  | {
      readonly kind: "sign-answer";
      readonly ref: string;
      readonly rows: SipfragRows;
      readonly certificates: readonly Buffer[];
    };
