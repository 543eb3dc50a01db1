/**
 * One run of `keyhole device register`: registers, keeps it up until told to stop, and takes it
 * away. Touches everything below it.
 */
import type { OwnContact } from "../core/registration-port.ts";
import { idleParty } from "./idle-party.ts";
import {
  type RegistrationOutcome,
  RegistrationSession,
  type SessionOptions,
} from "./registration-session.ts";
import { Signalling } from "./signalling.ts";

export interface RegistrationRunOptions extends SessionOptions {
  /** Only takes this away. */
  readonly remove?: OwnContact;
  /** Resolves when the process is told to stop. */
  readonly stopped: Promise<void>;
}

/** Resolves with how it ended: `well` if what was asked for was done, and undone at the end. */
export async function runRegistration(
  options: RegistrationRunOptions,
): Promise<RegistrationOutcome> {
  const { config, nextHop, credentials, remove, stopped } = options;
  let session: RegistrationSession | undefined;
  const signalling = await Signalling.open({
    listeners: [],
    tls: credentials.tls,
    perform: (effect) => {
      if (effect.kind === "registration") session?.perform(effect);
    },
    onInvite: () => undefined,
  });
  try {
    session = new RegistrationSession(options, signalling);
    signalling.start({ party: idleParty(config, nextHop), registration: session.setting });
    if (remove !== undefined) return await session.end(remove);
    session.begin();
    const ended = await Promise.race([session.outcome, stopped]);
    return ended ?? (await session.end());
  } finally {
    await signalling.close();
  }
}
