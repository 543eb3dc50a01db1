/**
 * One run of `keyhole device certificate`: asks for a user's certificates and tells what came.
 * Touches everything below it.
 */
import type { Target } from "../../protocol/sip/flow.ts";
import type { DeviceConfig } from "../config.ts";
import type { QueryOutcome } from "../core/certificate-query.ts";
import type { PhoneEvent } from "../core/phone-event.ts";
import { CertificateQuestions } from "./certificate-questions.ts";
import type { Credentials } from "./credentials.ts";
import { reasonOf } from "./fault-reason.ts";
import { idleParty } from "./idle-party.ts";
import { OwnLocation } from "./own-location.ts";
import type { RegistrarSecrets } from "./registrar-secrets.ts";
import { Signalling } from "./signalling.ts";

export interface CertificateRunOptions {
  readonly config: DeviceConfig;
  readonly target: string;
  readonly nextHop: Target;
  readonly credentials: Credentials;
  readonly secrets: RegistrarSecrets | undefined;
  readonly report: (event: PhoneEvent) => void;
}

/** Resolves with true if a certificate was found. */
export async function runCertificateQuestion(options: CertificateRunOptions): Promise<boolean> {
  const { target, report } = options;
  const outcome = await ask(options).catch(
    (error): QueryOutcome => ({ kind: "failed", failure: { reason: reasonOf(error) } }),
  );
  tellOutcome(outcome, target, report);
  return outcome.kind === "found";
}

/** One event for each certificate, or one that says why there is none. */
export function tellOutcome(
  outcome: QueryOutcome,
  aor: string,
  report: (event: PhoneEvent) => void,
): void {
  if (outcome.kind === "failed") {
    const { retryAfterMs: _later, ...failure } = outcome.failure;
    report({ event: "no-certificate", aor, ...failure });
    return;
  }
  for (const { serial, notBefore, notAfter, fingerprint, expiresAt } of outcome.certificates)
    report({ event: "certificate", aor, serial, notBefore, notAfter, fingerprint, expiresAt });
}

async function ask(options: CertificateRunOptions): Promise<QueryOutcome> {
  const { config, target, nextHop, credentials, secrets } = options;
  let questions: CertificateQuestions | undefined;
  const signalling = await Signalling.open({
    listeners: [],
    tls: credentials.tls,
    perform: (effect) => {
      if (effect.kind === "query") questions?.perform(effect.effect);
    },
    onInvite: () => undefined,
  });
  try {
    const { aor } = config;
    const feed = signalling.feed.bind(signalling);
    questions = new CertificateQuestions({ aor, nextHop, credentials, secrets, feed });
    const findOwnEnd = signalling.ownEnd.bind(signalling);
    const own = await new OwnLocation(config, nextHop, findOwnEnd).find();
    signalling.start({ party: idleParty(config, nextHop) });
    return await questions.ask(target, own);
  } finally {
    await signalling.close();
  }
}
