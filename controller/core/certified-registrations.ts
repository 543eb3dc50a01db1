/**
 * Sealed REGISTERs: opened by the desk, judged here, certified by the desk, and only then bound,
 * location and certificate in one (RFC 3261 §10.3, RFC 5280). Pure. Whatever is refused on the way
 * changes nothing.
 *
 * ```text
 *   received ──open-registration──▶ opening ──registration-opened──▶ judged ──certify──▶ certifying
 *      │                              │                                │                    │
 *      └──── 401, 403, 493, 500 ◀─────┴───────────── refused ◀─────────┴────── 200 ◀────────┘ certified
 * ```
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import { assertNever } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { createResponse, reasonPhrase } from "../../protocol/sip/create-response.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import { headerValue, type SipRequest } from "../../protocol/sip/message.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import type { AuthorityPolicy } from "./authority-policy.ts";
import type { Binding, BindingCertificate } from "./bindings.ts";
import type {
  CertifiedKey,
  CertifyOutcome,
  Claim,
  RegistrationOutcome,
} from "./certificate-port.ts";
import { refusedBody, refusedFor, refusedRows, tryLater } from "./certificate-refusals.ts";
import { contactValue } from "./contact-binding.ts";
import type { ControllerEffect } from "./controller-port.ts";
import { completeRegister, innerRowsFault } from "./inner-rows.ts";
import { claimFault } from "./key-claim.ts";
import { Pending } from "./pending.ts";
import { RateLimit } from "./rate-limit.ts";
import { parseRegister } from "./register-request.ts";
import type { Registrar, Registration } from "./registrar.ts";
import { admitRegister, coversClaim, labelOf, withInnerCredentials } from "./sealed-register.ts";
import { SeenBodies } from "./seen-bodies.ts";
import { type Rejection, rejection, respond, type Sender } from "./sender.ts";
import type { Site } from "./site.ts";
import { stored } from "./stored.ts";
import type { User } from "./users.ts";
import { parsed } from "./verdict.ts";

/** Sealed REGISTERs that wait for the desk at one time: of users, and of who is not known yet. */
export const MAX_PENDING = 400;
export const MAX_PENDING_STRANGERS = 100;
/** How long each word of the desk may take: both together less than Timer F. */
export const DESK_TIMEOUT_MS = 8_000;
/** REGISTERs opened unchallenged for one address, which many users may share: so often as one's own. */
export const SOURCE_SHARE = 10;
/** How far a certificate's validity reaches back, for clocks that are behind. */
export const BACKDATED_MS = 300_000;

export interface CertifiedRegistrationsSetting {
  readonly site: () => Site;
  readonly sender: Sender;
  readonly registrar: Registrar;
}

export interface SealedRegistering {
  readonly received: SipRequest;
  readonly key: string;
  readonly arrival: Arrival;
  /** Who he has proved to be; undefined: that stands inside. */
  readonly user: User | undefined;
}

/** Judged, with nothing changed yet. */
interface Granted {
  readonly sealed: SealedRegistering;
  /** Complete: with what stood inside alone. */
  readonly request: SipRequest;
  readonly registration: Registration;
  readonly claim: Claim;
  /** When its time begins, to the second. */
  readonly at: Millis;
  /** When it ends, where something is bound. */
  readonly until: Millis | undefined;
  readonly bindings: readonly Binding[];
}

type Judgement =
  | { readonly kind: "granted"; readonly granted: Granted }
  | { readonly kind: "refused"; readonly rejection: Rejection };

type Opened = RegistrationOutcome & { readonly kind: "opened" };

export class CertifiedRegistrations {
  readonly #setting: CertifiedRegistrationsSetting;
  readonly #opening = new Pending<SealedRegistering>("registration ", MAX_PENDING, DESK_TIMEOUT_MS);
  readonly #unknown = new Pending<SealedRegistering>(
    "stranger ",
    MAX_PENDING_STRANGERS,
    DESK_TIMEOUT_MS,
  );
  readonly #certifying = new Pending<Granted>("certifying ", MAX_PENDING, DESK_TIMEOUT_MS);
  readonly #byUser = new RateLimit();
  readonly #bySource = new RateLimit();
  readonly #seen = new SeenBodies();

  constructor(setting: CertifiedRegistrationsSetting) {
    this.#setting = setting;
  }

  /** A sealed REGISTER for us. */
  begin(sealed: SealedRegistering, now: Millis): readonly ControllerEffect[] {
    const { received, key, arrival, user } = sealed;
    const site = this.#setting.site();
    const turnAway = (why: Rejection) => this.#setting.sender.turnAway(received, key, why);
    if (site.authority === undefined) return turnAway(refusedFor("no-authority"));
    const read = parsed(() => parseRegister(received));
    if (!read.ok) return turnAway(rejection(400));
    const { aor } = read.value;
    if (user !== undefined && user.aor !== aor) return turnAway(rejection(403));
    const label = labelOf(received, site);
    if (typeof label !== "string") return turnAway(label);
    const source = arrival.peer.address;
    const limited = this.#limit(user, source, site.authority, now);
    if (limited !== undefined) return turnAway(limited);
    const ref = (user === undefined ? this.#unknown : this.#opening).add(sealed, now);
    if (ref === undefined) return turnAway(tryLater("Too many registrations at a time"));
    const labelled = label === "ours";
    return [{ kind: "open-registration", ref, request: received, aor, labelled, source }];
  }

  /** The desk has opened a body, or could not. */
  opened(ref: string, outcome: RegistrationOutcome, now: Millis): readonly ControllerEffect[] {
    const sealed = this.#opening.take(ref) ?? this.#unknown.take(ref);
    const judged = sealed === undefined ? undefined : this.#judge(sealed, outcome, now);
    if (outcome.kind === "opened" && judged?.kind !== "granted") outcome.reply.wipe();
    if (sealed === undefined || judged === undefined) return [];
    if (judged.kind === "refused") return this.#refuse(sealed, judged.rejection);
    if (outcome.kind !== "opened") throw new TypeError("granted without a body");
    const { granted } = judged;
    const next = this.#certifying.add(granted, now);
    if (next === undefined) {
      outcome.reply.wipe();
      return this.#refuse(sealed, tryLater("Too many registrations at a time"));
    }
    const { claim, at, until = at, registration } = granted;
    const rows = answerRows(granted);
    const span = { notBefore: at - BACKDATED_MS, notAfter: until };
    const { reply } = outcome;
    return [{ kind: "certify", ref: next, aor: registration.by, claim, ...span, rows, reply }];
  }

  /** The desk has certified and sealed the answer, or could not. */
  certified(ref: string, outcome: CertifyOutcome, now: Millis): readonly ControllerEffect[] {
    const granted = this.#certifying.take(ref);
    if (granted === undefined) return [];
    switch (outcome.kind) {
      case "done":
        return this.#commit(granted, outcome, now);
      case "refused": {
        const fault = outcome.reason === "key-revoked" ? "claim-revoked" : "claim-owner";
        return this.#refuse(granted.sealed, refusedFor(fault));
      }
      case "failed":
        return this.#refuse(granted.sealed, tryLater("No certificate could be made now"));
      default:
        return assertNever(outcome);
    }
  }

  /** What the desk let wait too long. */
  expire(now: Millis): readonly ControllerEffect[] {
    const late = [
      ...this.#opening.takeDue(now),
      ...this.#unknown.takeDue(now),
      ...this.#certifying.takeDue(now).map(({ sealed }) => sealed),
    ];
    return late.flatMap((sealed) => this.#refuse(sealed, tryLater("Not done in time")));
  }

  /** Who asked by that connection can be neither answered nor bound to it. */
  dropFlow(flow: FlowId): void {
    const isGone = ({ arrival }: SealedRegistering) => arrival.flow === flow;
    this.#opening.takeWhere(isGone);
    this.#unknown.takeWhere(isGone);
    this.#certifying.takeWhere(({ sealed }) => isGone(sealed));
  }

  deadline(): Millis | undefined {
    const ends = [this.#opening, this.#unknown, this.#certifying].map((each) => each.deadline());
    const known = ends.filter((end) => end !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  #limit(
    user: User | undefined,
    source: string,
    { perMinute: { registrations } }: AuthorityPolicy,
    now: Millis,
  ): Rejection | undefined {
    const waitS =
      user === undefined
        ? this.#bySource.take(source, registrations * SOURCE_SHARE, now)
        : this.#byUser.take(user.aor, registrations, now);
    return waitS === undefined ? undefined : tryLater("Too many registrations", waitS);
  }

  #judge(sealed: SealedRegistering, outcome: RegistrationOutcome, now: Millis): Judgement {
    const { authority } = this.#setting.site();
    if (authority === undefined) return refuse(refusedFor("no-authority"));
    if (outcome.kind === "failed") return refuse(refusedBody(outcome.code));
    const { rows } = outcome;
    const fault = innerRowsFault(sealed.received, rows, { now, skewMs: authority.skewMs });
    if (fault !== undefined) return refuse(refusedRows(fault, now));
    const completed = completeRegister(sealed.received, rows);
    if (completed === undefined) return refuse(refusedRows("differ", now));
    const proven = this.#authenticate(sealed, outcome, authority, now);
    if (proven.kind === "reject") return refuse(proven.rejection);
    // What was sealed is the same however its envelope was rewrapped.
    const { claim } = outcome;
    const meant = JSON.stringify([rows, claim.kind === "none" ? "" : claim.keyId]);
    if (!this.#seen.claim(Buffer.from(meant), now)) return refuse(refusedFor("replayed"));
    const { peer, flow } = sealed.arrival;
    const registration = { by: proven.user.aor, peer, flow, hidden: completed.hidden };
    return this.#grant(sealed, { request: completed.request, registration, claim }, authority, now);
  }

  /** By the credentials outside, or else by those within. */
  #authenticate(
    { received, arrival, user }: SealedRegistering,
    { rows, claim, holder }: Opened,
    authority: AuthorityPolicy,
    now: Millis,
  ): ReturnType<typeof admitRegister> {
    const credentialed =
      user === undefined ? withInnerCredentials(received, rows, claim) : received;
    const { gatekeeper } = this.#setting.site();
    const peer = gatekeeper.believed(arrival.peer, now);
    const admission =
      user === undefined
        ? admitRegister(gatekeeper, credentialed, peer, now)
        : ({ kind: "user", user } as const);
    if (admission.kind === "reject") return admission;
    if (!coversClaim(credentialed, { peer, holder, claim }))
      return { kind: "reject", rejection: refusedFor("credentials-uncovered") };
    const limited =
      user === undefined ? this.#limit(admission.user, peer.address, authority, now) : undefined;
    return limited === undefined ? admission : { kind: "reject", rejection: limited };
  }

  #grant(
    sealed: SealedRegistering,
    asked: Pick<Granted, "request" | "registration" | "claim">,
    authority: AuthorityPolicy,
    now: Millis,
  ): Judgement {
    const { request, registration } = asked;
    const { registrar } = this.#setting;
    const at = Math.floor(now / 1000) * 1000;
    const preview = registrar.preview(request, registration, at);
    if (preview.kind === "refused") {
      const { status, reason = reasonPhrase(status), headers } = preview.response;
      return refuse({ status, reason, headers });
    }
    const { bound, bindings } = preview;
    // Whoever takes a location away keeps no certificate for it, whatever he sent along.
    const claim = bound.length === 0 && !isFetch(request) ? NO_CLAIM : asked.claim;
    if (claim.kind !== "none" && bound.length !== 1) return refuse(rejection(400));
    const fault = claimFault(claim, this.#claimContext(registration.by, authority, now));
    if (fault !== undefined) return refuse(refusedFor(fault));
    const until =
      bound.length === 0 ? undefined : Math.max(...bound.map(({ expiresAt }) => expiresAt));
    return {
      kind: "granted",
      granted: { sealed, request, registration, claim, at, until, bindings },
    };
  }

  #claimContext(aor: string, authority: AuthorityPolicy, now: Millis) {
    const usersOfKey = (keyId: string) => this.#setting.registrar.usersOfKey(keyId);
    return { aor, authority, usersOfKey, now };
  }

  /** Binds what was judged, if it still may be; what came in between is not undone. */
  #commit(
    granted: Granted,
    { certificate, body, contentType }: CertifyOutcome & { readonly kind: "done" },
    now: Millis,
  ): readonly ControllerEffect[] {
    const { sealed, request, registration, claim, at, until = Number.POSITIVE_INFINITY } = granted;
    const { authority } = this.#setting.site();
    if (authority === undefined || now >= until || !isAsAsked(certificate, granted))
      return this.#refuse(sealed, tryLater("No certificate could be made now"));
    const fault = claimFault(claim, this.#claimContext(registration.by, authority, now));
    if (fault !== undefined) return this.#refuse(sealed, refusedFor(fault));
    const { sender, registrar } = this.#setting;
    const known = certificate === undefined ? {} : { certificate: keptOf(certificate) };
    const { response, changes } = registrar.handle(request, { ...registration, ...known }, now, at);
    if (response.status !== 200)
      return [...stored(changes), ...this.#refuse(sealed, tryLater("Registration has changed"))];
    const headers = [...response.headers, ["Content-Type", contentType] as const];
    const parts = { headers, body, toTag: sender.newTag() };
    return [...stored(changes), respond(sealed.key, createResponse(sealed.received, 200, parts))];
  }

  /** Remembered by its transaction: asking again the same way does not open it again. */
  #refuse({ received, key }: SealedRegistering, why: Rejection): readonly ControllerEffect[] {
    return this.#setting.sender.turnAway(received, key, why, false);
  }
}

const NO_CLAIM: Claim = { kind: "none" };

const refuse = (why: Rejection): Judgement => ({ kind: "refused", rejection: why });

const isFetch = (request: SipRequest): boolean => headerValue(request, "Contact") === undefined;

/** A certificate where one was asked for, ours to end with the registration. */
function isAsAsked(certificate: CertifiedKey | undefined, { claim, until }: Granted): boolean {
  if (certificate === undefined || claim.kind === "none")
    return certificate === undefined && claim.kind === "none";
  const { keyId, notAfter, issued } = certificate;
  return keyId === claim.keyId && (!issued || notAfter === until);
}

const keptOf = ({ der, keyId, notAfter, issued }: CertifiedKey): BindingCertificate => ({
  ...{ keyId, notAfter, issued },
  der: der.toString("base64"),
});

/** What the sealed answer says: all that is bound, for how long, and to which REGISTER. */
function answerRows({ sealed, bindings, at, until = at }: Granted): SipfragRows {
  const row = (name: string) => [name, headerValue(sealed.received, name) ?? ""] as const;
  return [
    row("Call-ID"),
    row("CSeq"),
    ["Date", serializeSipDate(at)],
    ...bindings.map((binding) => ["Contact", contactValue(binding, at)] as const),
    ["Expires", String((until - at) / 1000)],
  ];
}
