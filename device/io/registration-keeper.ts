/**
 * Does what a registration asks for: finds our location, seals and opens, keeps what is granted,
 * tells the user. Touches the store, and what the desk and the signalling touch.
 */
import { randomBytes, randomUUID } from "node:crypto";
import type { Target } from "../../protocol/sip/flow.ts";
import { parseSipUri } from "../../protocol/sip/uri.ts";
import type { DeviceConfig, RegistrationConfig } from "../config.ts";
import type { PhoneEvent } from "../core/phone-event.ts";
import type {
  GrantedRegistration,
  RegistrationEffect,
  RegistrationInput,
  RegistrationResult,
  RegistrationSetting,
} from "../core/registration-port.ts";
import { formerCertificates, type RegistrationRecord } from "../core/registration-record.ts";
import { reasonOf } from "./fault-reason.ts";
import type { OwnLocation } from "./own-location.ts";
import { digestOf, type RegistrarSecrets } from "./registrar-secrets.ts";
import { type ClaimPlan, RegistrationDesk } from "./registration-desk.ts";
import { writeRegistration } from "./registration-store.ts";
import type { Trust } from "./trust.ts";

export interface KeeperOptions {
  readonly config: DeviceConfig;
  readonly registration: RegistrationConfig;
  /** Where it is kept. */
  readonly store: string;
  readonly record: RegistrationRecord | undefined;
  readonly nextHop: Target;
  readonly secrets: RegistrarSecrets;
  readonly trust: Trust;
  readonly plan: ClaimPlan;
  readonly once: boolean;
  readonly report: (event: PhoneEvent) => void;
  /** A certificate is in service from now on, or none is any more. */
  readonly onChanged: (record: RegistrationRecord) => void;
  readonly onOver: (outcome: "well" | "failed") => void;
}

type Asked = Exclude<RegistrationEffect, { kind: "transaction" }>;

export class RegistrationKeeper {
  readonly #options: KeeperOptions;
  readonly #location: OwnLocation;
  readonly #feed: (input: RegistrationInput) => void;
  readonly #desk: RegistrationDesk;
  readonly #instance: string;
  #record: RegistrationRecord | undefined;

  constructor(
    options: KeeperOptions,
    location: OwnLocation,
    feed: (input: RegistrationInput) => void,
  ) {
    const { config, registration, secrets, record } = options;
    this.#options = options;
    this.#location = location;
    this.#feed = feed;
    this.#record = record;
    this.#instance = record?.instance ?? `urn:uuid:${randomUUID()}`;
    this.#desk = new RegistrationDesk({
      ...options,
      ...secrets,
      aor: config.aor,
      keyType: registration.keyType,
    });
  }

  /** For the machine whose effects come here. */
  get setting(): RegistrationSetting {
    const { config, registration, nextHop, secrets, once } = this.#options;
    const { controllerHost } = secrets;
    const { profile, expiresS } = registration;
    // Who can open a sealed REGISTER offers auth-int; by less somebody else's location could be sent.
    const digest = digestOf(secrets, parseSipUri(config.aor).host.toLowerCase());
    return {
      ...{ aor: config.aor, instance: this.#instance, nextHop, transport: nextHop.transport },
      ...{ profile, expiresS, controllerHost, digest, once, random: randomBytes },
    };
  }

  perform(effect: Asked): void {
    switch (effect.kind) {
      case "find-contact":
        void this.#locate(effect.ref);
        break;
      case "claim":
      case "seal":
      case "open":
        void this.#desk.perform(effect).then(this.#feed);
        break;
      case "store":
        this.#feed(this.#store(effect.ref, effect.granted));
        break;
      case "event":
        this.#options.report(effect.event);
        break;
      case "over":
        this.#options.onOver(effect.outcome);
        break;
    }
  }

  async #locate(ref: number): Promise<void> {
    try {
      this.#feed({ kind: "contact", ref, contact: await this.#location.find() });
    } catch (error) {
      this.#feed({ kind: "not-done", ref, reason: reasonOf(error) });
    }
  }

  #store(ref: number, granted: GrantedRegistration | undefined): RegistrationResult {
    try {
      const record = granted === undefined ? this.#withdrawn() : this.#granted(granted);
      writeRegistration(this.#options.store, record);
      this.#record = record;
      if (granted !== undefined) this.#desk.keepKey();
      this.#options.onChanged(record);
      return { kind: "stored", ref };
    } catch (error) {
      return { kind: "not-done", ref, reason: `it cannot be kept: ${reasonOf(error)}` };
    }
  }

  #granted({ contact, expiresAt, answer }: GrantedRegistration): RegistrationRecord {
    const { plan, config } = this.#options;
    const privateKey = plan.kind === "request" ? this.#desk.privateKey : undefined;
    const kept = plan.kind === "none" ? this.#record?.privateKey : privateKey;
    const certificate = plan.kind === "none" ? undefined : answer.certificate?.encoded;
    return {
      ...{ aor: config.aor, instance: this.#instance },
      ...(kept !== undefined && { privateKey: kept }),
      ...(certificate !== undefined && { certificate }),
      former: formerCertificates(this.#record, certificate, Date.now()),
      chain: plan.kind === "certificate" ? plan.own.chain : answer.chain,
      location: { contact: contact.uri, isFlow: contact.isFlow, expiresAt },
      ...{ controllers: answer.controllers, trust: answer.trust },
    };
  }

  /** What stays when location and certificate have gone: the key, and whom we trust. */
  #withdrawn(): RegistrationRecord {
    const { aor } = this.#options.config;
    const nobody = { former: [], chain: [], controllers: [], trust: [] };
    const before: RegistrationRecord = this.#record ?? { aor, instance: this.#instance, ...nobody };
    const { certificate: _certificate, location: _location, ...rest } = before;
    return { ...rest, former: [], chain: [] };
  }
}
