/**
 * The registrar and what it stores: REGISTER of our users, plain and sealed, and where they are
 * (RFC 3261 §10). Pure.
 */
import type { Millis } from "../../protocol/machine.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import type { FlowId, PeerCertificate } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import { earliest } from "../../protocol/sip/transaction.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import type { Binding } from "./bindings.ts";
import type { CertifyOutcome, RegistrationOutcome } from "./certificate-port.ts";
import { isRevoked } from "./certificates-in-service.ts";
import { CertifiedRegistrations } from "./certified-registrations.ts";
import type { ControllerEffect } from "./controller-port.ts";
import { Registrar, type RegistrarLimits } from "./registrar.ts";
import type { SealedRegistering } from "./registration-judge.ts";
import { respond, type Sender } from "./sender.ts";
import type { Site } from "./site.ts";
import { stored } from "./stored.ts";
import type { User } from "./users.ts";

export interface RegistrationsSetting {
  readonly site: () => Site;
  readonly sender: Sender;
  readonly limits: Partial<RegistrarLimits> | undefined;
}

export interface Registering {
  readonly received: SipRequest;
  readonly key: string;
  readonly arrival: Arrival;
  /** Who he has proved to be. */
  readonly user: User;
}

export class Registrations {
  readonly #site: () => Site;
  readonly #sender: Sender;
  readonly #registrar: Registrar;
  readonly #sealed: CertifiedRegistrations;

  constructor({ site, sender, limits = {} }: RegistrationsSetting) {
    this.#site = site;
    this.#sender = sender;
    this.#registrar = new Registrar({
      limits,
      isUser: (aor) => site().policy.users.find(aor) !== undefined,
      isOwn: (uri) => site().neighbourhood.isOwnUri(uri),
    });
    this.#sealed = new CertifiedRegistrations({ site, sender, registrar: this.#registrar });
  }

  register(
    { received, key, arrival, user }: Registering,
    now: Millis,
  ): readonly ControllerEffect[] {
    const registration = { by: user.aor, peer: arrival.peer, flow: arrival.flow };
    const { response, changes } = this.#registrar.handle(received, registration, now);
    const { status, ...parts } = response;
    const answer = createResponse(received, status, { ...parts, toTag: this.#sender.newTag() });
    return [...stored(changes), respond(key, answer)];
  }

  /** A REGISTER with a body that tells more, or all. */
  registerSealed(sealed: SealedRegistering, now: Millis): readonly ControllerEffect[] {
    return this.#sealed.begin(sealed, now);
  }

  opened(ref: string, outcome: RegistrationOutcome, now: Millis): readonly ControllerEffect[] {
    return this.#sealed.opened(ref, outcome, now);
  }

  certified(ref: string, outcome: CertifyOutcome, now: Millis): readonly ControllerEffect[] {
    return this.#sealed.certified(ref, outcome, now);
  }

  /** Takes away users who are gone and certificates that are revoked, with their locations. */
  sweep(): readonly ControllerEffect[] {
    const { policy, authority } = this.#site();
    const isGone = ({ aor, certificate }: Binding): boolean =>
      policy.users.find(aor) === undefined ||
      (authority !== undefined &&
        certificate !== undefined &&
        isRevoked(certificate, authority.directory));
    return stored(this.#registrar.drop(isGone));
  }

  /**
   * Whether what a connection proved by a certificate still counts: not if it is revoked, nor if we
   * issued it for a registration that is over. By its key: a refresh brings another certificate.
   */
  isInService({ keyId, fingerprint }: PeerCertificate, now: Millis): boolean {
    const { authority } = this.#site();
    if (authority === undefined) return true;
    const { directory } = authority;
    if (directory.isRevoked({ keyId, fingerprint })) return false;
    if (!directory.hasIssued(fingerprint)) return true;
    return this.#registrar
      .usersOfKey(keyId)
      .flatMap((aor) => this.lookup(aor, now))
      .some(({ certificate }) => certificate?.keyId === keyId && certificate.notAfter > now);
  }

  lookup(aor: string, now: Millis): readonly Binding[] {
    return this.#registrar.lookup(aor, now);
  }

  load(bindings: readonly Binding[]): void {
    this.#registrar.load(bindings);
  }

  dropFlow(flow: FlowId): readonly ControllerEffect[] {
    this.#sealed.dropFlow(flow);
    return stored(this.#registrar.dropFlow(flow));
  }

  expire(now: Millis): readonly ControllerEffect[] {
    return [...stored(this.#registrar.expire(now)), ...this.#sealed.expire(now)];
  }

  deadline(): Millis | undefined {
    return earliest(this.#registrar.deadline(), this.#sealed.deadline());
  }
}
