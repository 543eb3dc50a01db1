/**
 * Sealed REGISTERs: opened by the desk, judged here, certified by the desk, and only then bound,
 * location and certificate in one (RFC 3261 §10.3, RFC 5280 §4.1.2.5). Pure. Whatever is refused on
 * the way changes nothing.
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
import { createResponse } from "../../protocol/sip/create-response.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import type { FlowId } from "../../protocol/sip/flow.ts";
import { headerValue } from "../../protocol/sip/message.ts";
import { earliest } from "../../protocol/sip/transaction.ts";
import type { AuthorityPolicy } from "./authority-policy.ts";
import type { BindingCertificate } from "./bindings.ts";
import type {
  CertifiedKey,
  CertifyOutcome,
  RegistrationOutcome,
  Reply,
} from "./certificate-port.ts";
import { refusedBody, refusedFor, tryLater, UNDECIPHERABLE } from "./certificate-refusals.ts";
import { contactValue } from "./contact-binding.ts";
import type { ControllerEffect } from "./controller-port.ts";
import { MAX_ADDRESS_GUESSES, MAX_GUESSES } from "./guess-limit.ts";
import { Pending } from "./pending.ts";
import { RateLimit } from "./rate-limit.ts";
import { parseRegister } from "./register-request.ts";
import type { Registrar } from "./registrar.ts";
import {
  CHANGED,
  type Granted,
  type Judgement,
  RegistrationJudge,
  type SealedRegistering,
} from "./registration-judge.ts";
import { isMalleable, labelOf } from "./sealed-register.ts";
import { type Rejection, rejection, respond, type Sender } from "./sender.ts";
import type { Site } from "./site.ts";
import { stored } from "./stored.ts";
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

export class CertifiedRegistrations {
  readonly #setting: CertifiedRegistrationsSetting;
  readonly #judge: RegistrationJudge;
  readonly #opening = new Pending<SealedRegistering>("registration ", MAX_PENDING, DESK_TIMEOUT_MS);
  readonly #unknown = new Pending<SealedRegistering>(
    "stranger ",
    MAX_PENDING_STRANGERS,
    DESK_TIMEOUT_MS,
  );
  readonly #certifying = new Pending<Granted>("certifying ", MAX_PENDING, DESK_TIMEOUT_MS);
  readonly #bySource = new RateLimit();
  readonly #passwords = new RateLimit();

  constructor(setting: CertifiedRegistrationsSetting) {
    this.#setting = setting;
    this.#judge = new RegistrationJudge(setting);
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
    const limited = this.#limit(sealed, site.authority, now);
    if (limited !== undefined) return turnAway(limited);
    if (user === undefined && isMalleable(received)) return turnAway(UNDECIPHERABLE);
    const peer = site.gatekeeper.believed(arrival.peer, now);
    const waiting = { ...sealed, arrival: { ...arrival, peer } };
    const ref = (user === undefined ? this.#unknown : this.#opening).add(waiting, now);
    if (ref === undefined) return turnAway(CROWDED);
    const source = arrival.peer.address;
    const labelled = label === "ours" && (user !== undefined || this.#mayGuess(source, aor, now));
    return [{ kind: "open-registration", ref, request: received, aor, labelled, source }];
  }

  /** The desk has opened a body, or could not. */
  opened(ref: string, outcome: RegistrationOutcome, now: Millis): readonly ControllerEffect[] {
    const sealed = this.#opening.take(ref) ?? this.#unknown.take(ref);
    if (outcome.kind === "failed")
      return sealed === undefined ? [] : this.#refuse(sealed, refusedBody(outcome.code));
    const { reply } = outcome;
    const { authority } = this.#setting.site();
    if (sealed === undefined || authority === undefined) {
      reply.wipe();
      return sealed === undefined ? [] : this.#refuse(sealed, refusedFor("no-authority"));
    }
    return this.#certify(sealed, this.#judge.judge(sealed, outcome, authority, now), reply, now);
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
        return this.#refuse(granted.sealed, UNCERTIFIED);
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
    const opening = earliest(this.#opening.deadline(), this.#unknown.deadline());
    return earliest(opening, this.#certifying.deadline());
  }

  #limit(
    { user, arrival }: SealedRegistering,
    authority: AuthorityPolicy,
    now: Millis,
  ): Rejection | undefined {
    if (user !== undefined) return this.#judge.limit(user, authority, now);
    const perMinute = authority.perMinute.registrations * SOURCE_SHARE;
    const waitS = this.#bySource.take(arrival.peer.address, perMinute, now);
    return waitS === undefined ? undefined : tryLater("Too many registrations", waitS);
  }

  /** A body that opens by a password tells that it was right: no more of them than of other guesses. */
  #mayGuess(source: string, aor: string, now: Millis): boolean {
    return (
      this.#passwords.take(source, MAX_ADDRESS_GUESSES, now) === undefined &&
      this.#passwords.take(`${source} ${aor}`, MAX_GUESSES, now) === undefined
    );
  }

  #certify(
    sealed: SealedRegistering,
    judged: Judgement,
    reply: Reply,
    now: Millis,
  ): readonly ControllerEffect[] {
    const ref = judged.kind === "granted" ? this.#certifying.add(judged.granted, now) : undefined;
    if (judged.kind === "refused" || ref === undefined) {
      reply.wipe();
      return this.#refuse(sealed, judged.kind === "refused" ? judged.rejection : CROWDED);
    }
    const { claim, at, until = at, registration } = judged.granted;
    const span = { notBefore: at - BACKDATED_MS, notAfter: until };
    const rows = answerRows(judged.granted);
    return [{ kind: "certify", ref, aor: registration.by, claim, ...span, rows, reply }];
  }

  /** Binds what was judged, if it still may be; what came in between is not undone. */
  #commit(
    granted: Granted,
    { certificate, body, contentType }: CertifyOutcome & { readonly kind: "done" },
    now: Millis,
  ): readonly ControllerEffect[] {
    const { sealed, request, registration, at, until = Number.POSITIVE_INFINITY } = granted;
    const { authority } = this.#setting.site();
    if (authority === undefined || now >= until || !isAsAsked(certificate, granted))
      return this.#refuse(sealed, UNCERTIFIED);
    if (!this.#judge.isStillProven(sealed, now)) return this.#refuse(sealed, CHANGED);
    const fault = this.#judge.faultOf(granted, authority, now);
    if (fault !== undefined) return this.#refuse(sealed, refusedFor(fault));
    const { sender, registrar } = this.#setting;
    const known = certificate === undefined ? {} : { certificate: keptOf(certificate) };
    const { response, changes } = registrar.handle(request, { ...registration, ...known }, now, at);
    if (response.status !== 200) return [...stored(changes), ...this.#refuse(sealed, CHANGED)];
    const headers = [...response.headers, ["Content-Type", contentType] as const];
    const parts = { headers, body, toTag: sender.newTag() };
    return [...stored(changes), respond(sealed.key, createResponse(sealed.received, 200, parts))];
  }

  /** Remembered by its transaction: asking again the same way does not open it again. */
  #refuse({ received, key }: SealedRegistering, why: Rejection): readonly ControllerEffect[] {
    return this.#setting.sender.turnAway(received, key, why, false);
  }
}

const CROWDED = tryLater("Too many registrations at a time");
const UNCERTIFIED = tryLater("No certificate could be made now");

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
