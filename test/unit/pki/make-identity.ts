/**
 * Certificates for tests: one authority and whom it names. Keys are made anew in each process.
 */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import type { AlternativeName } from "../../../protocol/pki/general-name.ts";
import { issueCertificate } from "../../../protocol/pki/issue-certificate.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";

export const NOT_BEFORE = new Date("2030-01-01T00:00:00Z");
export const NOT_AFTER = new Date("2031-01-01T00:00:00Z");
/** A moment at which every certificate made here is valid. */
export const NOW = Date.parse("2030-06-01T00:00:00Z");

export interface IdentityOptions {
  readonly commonName?: string;
  readonly issuer?: Identity;
  readonly profile?: "authority" | "host" | "user";
  readonly keyType?: "p256" | "rsa";
  readonly alternativeNames?: readonly AlternativeName[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** How many authorities may follow below an authority; none unless given. */
  readonly pathLength?: number;
}

export async function makeIdentity(options: IdentityOptions = {}): Promise<Identity> {
  const { issuer, profile = "user", keyType = "p256" } = options;
  const { publicKey, privateKey } =
    keyType === "p256"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("rsa", { modulusLength: 2048 });
  const certificate = await issueCertificate(
    {
      commonName: options.commonName ?? "somebody",
      publicKey,
      profile,
      alternativeNames: options.alternativeNames ?? [],
      serialNumber: randomBytes(16),
      notBefore: options.notBefore ?? NOT_BEFORE,
      notAfter: options.notAfter ?? NOT_AFTER,
      ...(options.pathLength === undefined ? {} : { pathLength: options.pathLength }),
    },
    issuer ?? { privateKey },
  );
  return { certificate, privateKey };
}

export const makeAuthority = (commonName = "test authority"): Promise<Identity> =>
  makeIdentity({ commonName, profile: "authority" });

export const makeUser = (issuer: Identity, uri: string): Promise<Identity> =>
  makeIdentity({ commonName: uri, issuer, alternativeNames: [{ kind: "uri", uri }] });

export const makeHost = (issuer: Identity, name: string): Promise<Identity> =>
  makeIdentity({
    commonName: name,
    issuer,
    profile: "host",
    alternativeNames: [{ kind: "dns", name }],
  });
