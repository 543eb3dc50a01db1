/**
 * What a phone keeps of its registration, as one JSON document: key, certificate, location and
 * their end, and whom to trust. Pure. It holds a private key.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { z } from "zod";
import type { Millis } from "../../protocol/machine.ts";
import { decodeCertificate, encodeCertificatePem } from "../../protocol/pki/certificate.ts";
import { keyIdOf } from "../../protocol/pki/public-key.ts";
import type { DomainTrust } from "./registration-answer.ts";

export interface RegistrationRecord {
  readonly aor: string;
  /** `urn:uuid:…`, of this phone for all its life (RFC 5626 §4.1). */
  readonly instance: string;
  /** Absent where the certificate is that of the configuration, with a key of its own. */
  readonly privateKey?: KeyObject;
  /** DER. Absent after removal, and where only the location was registered. */
  readonly certificate?: Buffer;
  /** DER, the newest first: what was in service for the same key before it was renewed. */
  readonly former: readonly Buffer[];
  /** DER: authorities between the certificate and an anchor. */
  readonly chain: readonly Buffer[];
  readonly location?: RegisteredLocation;
  /** DER. */
  readonly controllers: readonly Buffer[];
  readonly trust: readonly DomainTrust[];
}

export interface RegisteredLocation {
  readonly contact: string;
  /** Reached by the connection that registered it alone. */
  readonly isFlow: boolean;
  readonly expiresAt: Millis;
}

const VERSION = 1;
const MAX_CERTIFICATES = 64;

const certificate = z.string().transform((pem, context) => {
  try {
    const der = new X509Certificate(pem).raw;
    decodeCertificate(der);
    return der;
  } catch {
    context.addIssue({ code: "custom", message: "not a certificate" });
    return z.NEVER;
  }
});
const certificates = z.array(certificate).max(MAX_CERTIFICATES);
const privateKey = z.string().transform((pem, context) => {
  try {
    return createPrivateKey(pem);
  } catch {
    context.addIssue({ code: "custom", message: "not a private key" });
    return z.NEVER;
  }
});

const schema = z
  .strictObject({
    version: z.literal(VERSION),
    aor: z.string(),
    instance: z.string().regex(/^urn:uuid:[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/),
    privateKey: privateKey.optional(),
    certificate: certificate.optional(),
    former: certificates,
    chain: certificates,
    location: z
      .strictObject({ contact: z.string(), isFlow: z.boolean(), expiresAt: z.int().min(0) })
      .optional(),
    controllers: certificates,
    trust: z
      .array(z.strictObject({ domain: z.string(), anchors: certificates }))
      .max(MAX_CERTIFICATES),
  })
  .refine(
    ({ privateKey, certificate }) =>
      privateKey === undefined ||
      certificate === undefined ||
      new X509Certificate(certificate).checkPrivateKey(privateKey),
    "the key is not that of the certificate",
  );

/** @throws RangeError saying where it is damaged, without quoting it. */
export function parseRecord(text: string): RegistrationRecord {
  const result = schema.safeParse(tryJson(text));
  if (!result.success) {
    const [issue] = result.error.issues;
    const at = issue?.path.join(".") ?? "";
    throw new RangeError(at === "" ? "not a registration" : `not a registration: ${at}`);
  }
  const { version: _version, privateKey, certificate, location, ...rest } = result.data;
  return {
    ...rest,
    ...(privateKey !== undefined && { privateKey }),
    ...(certificate !== undefined && { certificate }),
    ...(location !== undefined && { location }),
  };
}

/** The document, private key included. */
export function serializeRecord(record: RegistrationRecord): string {
  const { privateKey, certificate, former, chain, controllers, trust } = record;
  const pem = (each: readonly Buffer[]): readonly string[] => each.map(encodeCertificatePem);
  const document = {
    version: VERSION,
    ...record,
    privateKey: privateKey?.export({ format: "pem", type: "pkcs8" }),
    certificate: certificate && encodeCertificatePem(certificate),
    former: pem(former),
    chain: pem(chain),
    controllers: pem(controllers),
    trust: trust.map(({ domain, anchors }) => ({ domain, anchors: pem(anchors) })),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/** Most former certificates that are kept. */
export const MAX_FORMER = 4;

/**
 * The former certificates of a record that follows `before`: callers who asked just before a
 * renewal seal for them. None of another key, none that is over at `now`.
 */
export function formerCertificates(
  before: RegistrationRecord | undefined,
  current: Buffer | undefined,
  now: Millis,
): readonly Buffer[] {
  if (before?.certificate === undefined || current === undefined) return [];
  const key = keyIdOf(decodeCertificate(current).publicKey);
  return [before.certificate, ...before.former]
    .filter((each) => {
      const { publicKey, notAfter, encoded } = decodeCertificate(each);
      return keyIdOf(publicKey) === key && notAfter > now && !encoded.equals(current);
    })
    .slice(0, MAX_FORMER);
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
