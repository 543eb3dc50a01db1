/**
 * One run of `keyhole device register`: registers, keeps it up until told to stop, and takes it
 * away. Touches everything below it.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { PhoneEvent } from "../core/phone-event.ts";
import type { OwnContact } from "../core/registration-port.ts";
import type { RegistrationRecord } from "../core/registration-record.ts";
import { type Credentials, registeredIdentity, tlsSetting } from "./credentials.ts";
import { idleParty } from "./idle-party.ts";
import { OwnLocation } from "./own-location.ts";
import { type KeeperOptions, RegistrationKeeper } from "./registration-keeper.ts";
import { Signalling } from "./signalling.ts";

export interface RegistrationRunOptions
  extends Omit<KeeperOptions, "onChanged" | "onOver" | "trust"> {
  readonly credentials: Credentials;
  readonly report: (event: PhoneEvent) => void;
  /** Only takes this away. */
  readonly remove?: OwnContact;
  /** Resolves when the process is told to stop. */
  readonly stopped: Promise<void>;
}

/** How long the last REGISTER may take to be answered. */
const REMOVAL_TIMEOUT_MS = 5_000;

/** Resolves with how it ended: `well` if what was asked for was done, and undone at the end. */
export async function runRegistration(options: RegistrationRunOptions): Promise<"well" | "failed"> {
  const { config, nextHop, credentials, remove, stopped } = options;
  const over = Promise.withResolvers<"well" | "failed">();
  let keeper: RegistrationKeeper | undefined;
  const signalling = await Signalling.open({
    listeners: [],
    tls: credentials.tls,
    perform: (effect) => {
      if (effect.kind === "registration") keeper?.perform(effect.effect);
    },
    onInvite: () => undefined,
  });
  try {
    const location = new OwnLocation(config, nextHop, signalling.ownEnd.bind(signalling));
    const feed = signalling.feedRegistration.bind(signalling);
    keeper = new RegistrationKeeper(
      {
        ...options,
        trust: credentials.trust,
        onChanged: (record) => signalling.setTls(tlsOf(record, credentials)),
        onOver: over.resolve,
      },
      location,
      feed,
    );
    signalling.start({ party: idleParty(config, nextHop), registration: keeper.setting });
    feed(remove === undefined ? { kind: "register" } : { kind: "remove", contact: remove });
    const ended = await Promise.race([over.promise, stopped.then(() => "stopped" as const)]);
    if (ended !== "stopped") return ended;
    feed({ kind: "remove" });
    const timeout = delay(REMOVAL_TIMEOUT_MS, "failed" as const, { ref: false });
    return await Promise.race([over.promise, timeout]);
  } finally {
    await signalling.close();
  }
}

/** New connections show the certificate that is in service now. */
const tlsOf = (record: RegistrationRecord, { configured, tls }: Credentials) =>
  tlsSetting(registeredIdentity(record, configured, Date.now()) ?? configured, tls.anchors);
