/**
 * Whether a sealed REGISTER that was opened may be certified and bound (RFC 3261 §10.3, §23.4): that
 * its body belongs to it, is new and is its user's, and what it would bind. Pure. It is judged twice,
 * before its certificate is made and after; nothing is bound here.
 */
import type { Millis } from "../../protocol/machine.ts";
import { reasonPhrase } from "../../protocol/sip/create-response.ts";
import { headerValue, type SipRequest } from "../../protocol/sip/message.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import type { AuthorityPolicy } from "./authority-policy.ts";
import type { Binding } from "./bindings.ts";
import type { Claim, RegistrationOutcome } from "./certificate-port.ts";
import { refusedFor, refusedRows, tryLater, UNDECIPHERABLE } from "./certificate-refusals.ts";
import { completeRegister, innerRowsFault } from "./inner-rows.ts";
import { type ClaimFault, claimFault } from "./key-claim.ts";
import { RateLimit } from "./rate-limit.ts";
import type { Registrar, Registration } from "./registrar.ts";
import {
  admitRegister,
  coversClaim,
  isMalleable,
  type RegisterAdmission,
  withInnerCredentials,
} from "./sealed-register.ts";
import { SeenBodies } from "./seen-bodies.ts";
import { type Rejection, rejection } from "./sender.ts";
import type { Site } from "./site.ts";
import type { User } from "./users.ts";

export interface SealedRegistering {
  readonly received: SipRequest;
  readonly key: string;
  /** Of its peer what was believed when it came. */
  readonly arrival: Arrival;
  /** Who he has proved to be; undefined: that stands inside. */
  readonly user: User | undefined;
}

/** What may be certified and then bound. */
export interface Granted {
  readonly sealed: SealedRegistering;
  /** Complete: with what stood inside alone. */
  readonly request: SipRequest;
  readonly registration: Registration;
  readonly claim: Claim;
  /** When its time begins, to the second. */
  readonly at: Millis;
  /** When it ends, where something is bound. */
  readonly until: Millis | undefined;
  /** All that the user would have bound then. */
  readonly bindings: readonly Binding[];
}

export type Judgement =
  | { readonly kind: "granted"; readonly granted: Granted }
  | { readonly kind: "refused"; readonly rejection: Rejection };

type Opened = RegistrationOutcome & { readonly kind: "opened" };

export interface RegistrationJudgeSetting {
  readonly site: () => Site;
  readonly registrar: Registrar;
}

export class RegistrationJudge {
  readonly #setting: RegistrationJudgeSetting;
  readonly #byUser = new RateLimit();
  readonly #seen = new SeenBodies();

  constructor(setting: RegistrationJudgeSetting) {
    this.#setting = setting;
  }

  /** Counts a REGISTER of a user who is known. */
  limit({ aor }: User, authority: AuthorityPolicy, now: Millis): Rejection | undefined {
    const waitS = this.#byUser.take(aor, authority.perMinute.registrations, now);
    return waitS === undefined ? undefined : tryLater("Too many registrations", waitS);
  }

  judge(
    sealed: SealedRegistering,
    opened: Opened,
    authority: AuthorityPolicy,
    now: Millis,
  ): Judgement {
    const { rows, claim } = opened;
    const { received } = sealed;
    const fault = innerRowsFault(received, rows, { now, skewMs: authority.skewMs });
    const completed = fault === undefined ? completeRegister(received, rows) : undefined;
    if (completed === undefined)
      return refuse(isMalleable(received) ? UNDECIPHERABLE : refusedRows(fault ?? "differ", now));
    const proven = this.#authenticate(sealed, opened, authority, now);
    if (proven.kind === "reject") return refuse(proven.rejection);
    // What was sealed is the same however its envelope was rewrapped.
    const meant = JSON.stringify([rows, claim.kind === "none" ? "" : claim.keyId]);
    if (!this.#seen.claim(Buffer.from(meant), now)) return refuse(refusedFor("replayed"));
    const { peer, flow } = sealed.arrival;
    const registration = { by: proven.user.aor, peer, flow, hidden: completed.hidden };
    return this.#grant(sealed, { request: completed.request, registration, claim }, authority, now);
  }

  /** False once the connection that proved its user does so no more: its certificate went out of service. */
  isStillProven({ arrival: { peer } }: SealedRegistering, now: Millis): boolean {
    const { gatekeeper } = this.#setting.site();
    return peer.identities.length === 0 || gatekeeper.believed(peer, now).identities.length > 0;
  }

  /** What forbids a claim now. */
  faultOf(
    { claim, registration: { by: aor } }: Pick<Granted, "claim" | "registration">,
    authority: AuthorityPolicy,
    now: Millis,
  ): ClaimFault | undefined {
    const usersOfKey = (keyId: string) => this.#setting.registrar.usersOfKey(keyId);
    return claimFault(claim, { aor, authority, usersOfKey, now });
  }

  /** By the credentials outside, or else by those within. */
  #authenticate(
    sealed: SealedRegistering,
    { rows, claim, holder }: Opened,
    authority: AuthorityPolicy,
    now: Millis,
  ): RegisterAdmission {
    const { gatekeeper } = this.#setting.site();
    const { received, user } = sealed;
    const { peer } = sealed.arrival;
    const proof = { peer, holder, claim };
    if (user !== undefined) {
      const isCovered = coversClaim(received, proof) && this.isStillProven(sealed, now);
      return isCovered ? { kind: "user", user } : UNCOVERED;
    }
    const credentialed = withInnerCredentials(received, rows, claim);
    const admission = admitRegister(gatekeeper, credentialed, peer, now);
    if (admission.kind === "reject") return admission;
    if (!coversClaim(credentialed, proof)) return UNCOVERED;
    const limited = this.limit(admission.user, authority, now);
    return limited === undefined ? admission : { kind: "reject", rejection: limited };
  }

  #grant(
    sealed: SealedRegistering,
    asked: Pick<Granted, "request" | "registration" | "claim">,
    authority: AuthorityPolicy,
    now: Millis,
  ): Judgement {
    const { request, registration } = asked;
    const at = Math.floor(now / 1000) * 1000;
    const preview = this.#setting.registrar.preview(request, registration, at);
    if (preview.kind === "refused") {
      const { status, reason = reasonPhrase(status), headers } = preview.response;
      return refuse({ status, reason, headers });
    }
    const { bound, bindings } = preview;
    // Whoever takes a location away keeps no certificate for it, whatever he sent along.
    const claim = bound.length === 0 && !isFetch(request) ? NO_CLAIM : asked.claim;
    if (claim.kind !== "none" && bound.length !== 1) return refuse(rejection(400));
    const fault = this.faultOf({ claim, registration }, authority, now);
    if (fault !== undefined) return refuse(refusedFor(fault));
    const ends = bound.map(({ expiresAt }) => expiresAt);
    const until = ends.length === 0 ? undefined : Math.max(...ends);
    const granted = { sealed, request, registration, claim, at, until, bindings };
    return { kind: "granted", granted };
  }
}

/** What came in between is not undone. */
export const CHANGED = tryLater("Registration has changed");

const NO_CLAIM: Claim = { kind: "none" };

const UNCOVERED: RegisterAdmission = {
  kind: "reject",
  rejection: refusedFor("credentials-uncovered"),
};

const refuse = (why: Rejection): Judgement => ({ kind: "refused", rejection: why });

const isFetch = (request: SipRequest): boolean => headerValue(request, "Contact") === undefined;
