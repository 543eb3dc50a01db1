/** Phones of two domains that register and ask, as processes, for tests that look at what comes of it. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DOMAINS, phoneRegistration, SIP_PORT } from "../../lab/domain-config.ts";
import type { JsonObject, LabProcess } from "../../lab/lab-process.ts";
import type { Config } from "../../lab/site-config.ts";
import { domainOf, runDevice, type TwoDomains } from "../../lab/two-domains.ts";

/** Only what is broken waits so long. */
export const WAIT_MS = 30_000;
/** The hop from atlanta's phones to their controller, where anybody may listen. */
export const IN_CLEAR = {
  ...{ transport: "tcp", address: DOMAINS.atlanta.inside, port: SIP_PORT },
} as const;

export interface Registered {
  readonly phone: LabProcess;
  /** The event that said so. */
  readonly event: JsonObject;
}

/** The tables of a phone's file that say how it registers. */
export const registering = (user: string, more: Config): Config => ({
  registration: phoneRegistration(domainOf(user), user, more),
});

/** Starts a phone that stays registered. */
export async function registered(
  domains: TwoDomains,
  user: string,
  more: Config = {},
  options: readonly string[] = [],
): Promise<Registered> {
  const phone = domains.device(user, ["register", ...options], more);
  return { phone, event: await phone.event({ event: "registered" }, WAIT_MS) };
}

/** What one phone hears of another user's certificate. */
export async function asked(
  domains: TwoDomains,
  user: string,
  target: string,
): Promise<JsonObject> {
  const { events, tail } = await runDevice(domains, user, ["certificate", target]);
  const found = events.find(({ event }) => event === "certificate" || event === "no-certificate");
  assert.ok(found !== undefined, tail);
  return found;
}

/** The certificate that an event tells of. */
export const certificateOf = (event: JsonObject): JsonObject => event["certificate"] as JsonObject;

/** What a phone keeps, as text. */
export const stored = (domains: TwoDomains, user: string): string =>
  readFileSync(join(domains.phoneFolder(user), `${user}.json`), "utf8");

/** The certificate that a phone keeps. */
export function keptCertificate(domains: TwoDomains, user: string): X509Certificate {
  const { certificate } = JSON.parse(stored(domains, user)) as { readonly certificate: string };
  return new X509Certificate(
    certificate.includes("BEGIN") ? certificate : Buffer.from(certificate, "base64"),
  );
}
