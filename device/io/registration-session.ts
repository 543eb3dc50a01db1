/**
 * A registration over signalling that is there already, from the first REGISTER to the last. Touches
 * what its keeper touches.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { OwnContact, RegistrationSetting } from "../core/registration-port.ts";
import type { RegistrationRecord } from "../core/registration-record.ts";
import type { UserAgentEffect } from "../core/user-agent.ts";
import { type Credentials, registeredIdentity, tlsSetting } from "./credentials.ts";
import { OwnLocation } from "./own-location.ts";
import { type KeeperOptions, RegistrationKeeper } from "./registration-keeper.ts";
import type { Signalling } from "./signalling.ts";

export interface SessionOptions extends Omit<KeeperOptions, "onChanged" | "onOver" | "trust"> {
  readonly credentials: Credentials;
}

export type RegistrationOutcome = "well" | "failed";

/** How long the last REGISTER may take to be answered. */
const REMOVAL_TIMEOUT_MS = 5_000;

export class RegistrationSession {
  readonly #signalling: Signalling;
  readonly #keeper: RegistrationKeeper;
  /** How it ended: by itself, or after `end`. */
  readonly outcome: Promise<RegistrationOutcome>;

  constructor(options: SessionOptions, signalling: Signalling) {
    const { config, nextHop, credentials } = options;
    const over = Promise.withResolvers<RegistrationOutcome>();
    this.outcome = over.promise;
    this.#signalling = signalling;
    this.#keeper = new RegistrationKeeper(
      {
        ...options,
        trust: credentials.trust,
        onChanged: (record) => signalling.setTls(tlsOf(record, credentials)),
        onOver: over.resolve,
      },
      new OwnLocation(config, nextHop, signalling.ownEnd.bind(signalling)),
      signalling.feedRegistration.bind(signalling),
    );
  }

  /** For the user agent, which must be started with it before anything begins here. */
  get setting(): RegistrationSetting {
    return this.#keeper.setting;
  }

  perform({ effect }: UserAgentEffect & { kind: "registration" }): void {
    this.#keeper.perform(effect);
  }

  begin(): void {
    this.#signalling.feedRegistration({ kind: "register" });
  }

  /** Takes away `contact`, or what stands; `failed` if nobody answers in time. */
  end(contact?: OwnContact): Promise<RegistrationOutcome> {
    this.#signalling.feedRegistration({ kind: "remove", ...(contact && { contact }) });
    const timeout = delay(REMOVAL_TIMEOUT_MS, "failed" as const, { ref: false });
    return Promise.race([this.outcome, timeout]);
  }
}

/** New connections show the certificate that is in service now. */
const tlsOf = (record: RegistrationRecord, { configured, tls }: Credentials) =>
  tlsSetting(registeredIdentity(record, configured, Date.now()) ?? configured, tls.anchors);
