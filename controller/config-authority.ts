/**
 * The table `[authority]` of `controller.toml`: who certifies phones for as long as they are
 * registered, and what contradicts it in other tables. Pure.
 */
import { z } from "zod";
import { type Contradiction, fault, fieldOf, type Tables, where } from "./config-faults.ts";
import { count, domain, path } from "./config-values.ts";

/** A skew beyond an hour would make the check of dates one of nothing. */
const MAX_SKEW_S = 3_600;
/** Kinds of keys of phones that we certify. */
export const USER_KEYS = ["p256", "rsa2048", "rsa3072", "rsa4096"] as const;

const trust = z.strictObject({
  /** Whose users and controllers are certified by these anchors and nobody else. */
  domain,
  anchors: z.array(path).min(1),
});

/** The table `[authority]`. */
export const authoritySchema = z.strictObject({
  /** The issuer's certificate, and those above it after it. */
  certificate: path,
  key: path,
  /** What was issued and revoked. */
  database: path,
  /** Where our revocation list is written for others. */
  crl: path.optional(),
  /** Revocation lists of others, for certificates that phones bring along. */
  foreignCrls: z.array(path).default([]),
  /** What keys of phones are certified. */
  userKeys: z
    .array(z.enum(USER_KEYS))
    .min(1)
    .default([...USER_KEYS]),
  /** How far a phone's clock may be off. */
  skewS: z.int().min(0).max(MAX_SKEW_S).default(300),
  /** Of one user. */
  registrationsPerMinute: count.default(60),
  queriesPerMinute: count.default(300),
  /** Who is told where a phone is when he asks for its certificate. */
  location: z.enum(["nobody", "users"]).default("nobody"),
  trust: z.array(trust).default([]),
});

export interface CertifiedUser {
  readonly sharedKey?: string | undefined;
}

/** What contradicts the table in others, or in itself. */
export function authorityFaults(
  config: Tables,
  users: readonly CertifiedUser[],
  domains: readonly string[],
): readonly Contradiction[] {
  if (config["authority"] === undefined)
    return [
      ...where(users, ({ sharedKey }) => sharedKey !== undefined, {
        path: ["user", "sharedKey"],
        message: "opens registrations alone, and without the table authority none is opened",
      }),
      ...fault(
        fieldOf(config["recording"], "certificate") !== undefined,
        ["recording", "certificate"],
        "is handed out with certificates, and without the table authority there are none",
      ),
    ];
  const isBodyMissing = config["body"] === undefined && !isGatewayNamed(config);
  return [
    ...fault(isBodyMissing, ["body"], "missing, and the authority signs its answers as body"),
    ...trustFaults(fieldOf(config["authority"], "trust"), domains),
  ];
}

/** One table of a gateway asks for all of them. */
export const isGatewayNamed = (config: Tables): boolean =>
  ["agent", "media", "recording"].some((table) => config[table] !== undefined);

function trustFaults(value: unknown, domains: readonly string[]): readonly Contradiction[] {
  const named = Array.isArray(value) ? value.map((row) => fieldOf(row, "domain")) : [];
  return named.flatMap((domain, index) => [
    ...fault(
      typeof domain === "string" && domains.includes(domain),
      ["authority", "trust", index, "domain"],
      "is one of our own domains, whose anchors are those of body",
    ),
    ...fault(
      typeof domain === "string" && named.indexOf(domain) < index,
      ["authority", "trust", index],
      "stands there twice",
    ),
  ]);
}
