/**
 * What goes into a registration and what comes out of it (RFC 3261 §10.2). Pure.
 * Sealing, opening and storing take time, so the machine asks for them by effects, each with a
 * number, and gets the results as inputs with the same number; a late one of an attempt that was
 * given up is ignored.
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { DigestClient } from "../../protocol/sip/digest-client.ts";
import type { FlowId, SipTransport, Target } from "../../protocol/sip/flow.ts";
import type { SipResponse } from "../../protocol/sip/message.ts";
import type { TransactionInput } from "../../protocol/sip/transaction-events.ts";
import type { OpenedAnswer } from "./registration-answer.ts";
import type { RegistrationEvent } from "./registration-event.ts";

/** `private`: location and credentials stand inside the sealed body only. */
export type RegistrationProfile = "open" | "private";

/** Where we are reached: the Contact that is registered. */
export interface OwnContact {
  readonly uri: string;
  /** Our side of the connection, for the Via. */
  readonly host: string;
  readonly port: number;
  /** Reached by the connection that registers, and by no other way (RFC 5626). */
  readonly isFlow: boolean;
}

export interface RegistrationSetting {
  readonly aor: string;
  /** Of this phone for all its life: `urn:uuid:…` (RFC 5626 §4.1). */
  readonly instance: string;
  readonly nextHop: Target;
  readonly transport: SipTransport;
  readonly profile: RegistrationProfile;
  /** What is asked for; the registrar grants what it likes. */
  readonly expiresS: number;
  /** The DNS name of the controller that is to open the body. */
  readonly controllerHost: string;
  /** Absent: nobody is told a password. */
  readonly digest?: DigestClient | undefined;
  /** Ends after the first success or failure. */
  readonly once: boolean;
  readonly random: (size: number) => Buffer;
}

/** What a REGISTER claims beside its location. */
export interface ClaimSummary {
  /** DER of the certification request or certificate; empty if only the location is registered. */
  readonly der: Buffer;
  /** What the answer must hold a certificate for: hexadecimal SHA-256 of the key's SPKI. */
  readonly keyId?: string;
  /** Of a key that was certified before: if it is no longer accepted, another can be made. */
  readonly isReplaceable: boolean;
}

/** What the registrar has granted and the phone keeps. */
export interface GrantedRegistration {
  readonly contact: OwnContact;
  /** By the registrar's clock, to the second. */
  readonly expiresAt: Millis;
  readonly answer: OpenedAnswer;
}

export type RegistrationResult =
  | { readonly kind: "contact"; readonly ref: number; readonly contact: OwnContact }
  | { readonly kind: "claimed"; readonly ref: number; readonly claim: ClaimSummary }
  | {
      readonly kind: "sealed";
      readonly ref: number;
      readonly body: Buffer;
      readonly contentType: string;
      readonly firstKey: FirstKey;
    }
  | { readonly kind: "opened"; readonly ref: number; readonly answer: OpenedAnswer }
  | { readonly kind: "stored"; readonly ref: number }
  /** One of those above could not be done. */
  | { readonly kind: "not-done"; readonly ref: number; readonly reason: string };

export type RegistrationInput =
  | RegistrationResult
  | { readonly kind: "register" }
  /** Takes `contact`, or what stands, out of service; then it is over. */
  | { readonly kind: "remove"; readonly contact?: OwnContact }
  | {
      readonly kind: "response";
      readonly key: string;
      readonly response: SipResponse;
      readonly flow: FlowId;
    }
  | { readonly kind: "transaction-failed"; readonly key: string }
  | { readonly kind: "flow-closed"; readonly flow: FlowId }
  | { readonly kind: "tick" };

export type RegistrationEffect =
  | { readonly kind: "transaction"; readonly input: TransactionInput }
  | { readonly kind: "find-contact"; readonly ref: number }
  /** `fresh`: the key used so far was refused, another is to be made. */
  | { readonly kind: "claim"; readonly ref: number; readonly fresh: boolean }
  | {
      readonly kind: "seal";
      readonly ref: number;
      readonly rows: SipfragRows;
      /** Without: only the location is sealed. */
      readonly withClaim: boolean;
    }
  | {
      readonly kind: "open";
      readonly ref: number;
      readonly body: Buffer;
      readonly contentType: string;
      readonly firstKey: FirstKey;
    }
  /** Absent: forget location and certificate, they are out of service. */
  | { readonly kind: "store"; readonly ref: number; readonly granted?: GrantedRegistration }
  | { readonly kind: "event"; readonly event: RegistrationEvent }
  | { readonly kind: "over"; readonly outcome: "well" | "failed" };
