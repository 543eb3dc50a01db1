/**
 * Does what a registration and a certificate query ask for beside sending: keys and requests,
 * sealing, signing, and the proof of answers. Touches OpenSSL's random octets and the clock.
 */
import { type KeyObject, randomBytes } from "node:crypto";
import { signQuery, verifyQueryAnswer } from "../../protocol/body/certificate-query.ts";
import { openRegistrationAnswer } from "../../protocol/body/registration-answer.ts";
import {
  type RegistrationRecipient,
  type RegistrationRequest,
  sealRegistration,
} from "../../protocol/body/registration-body.ts";
import { isProtocolError, ProtocolError } from "../../protocol/errors.ts";
import {
  type Certificate,
  decodeCertificate,
  fingerprintOf,
} from "../../protocol/pki/certificate.ts";
import { isSameName } from "../../protocol/pki/name.ts";
import { keyIdOf } from "../../protocol/pki/public-key.ts";
import { isAcceptedKey } from "../../protocol/pki/signature-policy.ts";
import { verifyChain } from "../../protocol/pki/verify-chain.ts";
import { parseSipUri } from "../../protocol/sip/uri.ts";
import type { RegistrationConfig } from "../config.ts";
import type { QueryEffect, QueryInput } from "../core/certificate-query.ts";
import type { GrantedCertificate, OpenedAnswer } from "../core/registration-answer.ts";
import type {
  ClaimSummary,
  RegistrationEffect,
  RegistrationResult,
} from "../core/registration-port.ts";
import type { OwnIdentity } from "./credentials.ts";
import { type RequestedKey, requestKey } from "./own-keys.ts";
import type { Trust } from "./trust.ts";

/** What is registered beside the location. */
export type ClaimPlan =
  | { readonly kind: "none" }
  | { readonly kind: "certificate"; readonly own: OwnIdentity }
  /** A certificate for the key that is kept, or for one that is made. */
  | { readonly kind: "request"; readonly kept?: KeyObject };

export interface RegistrationDeskSetting {
  readonly aor: string;
  readonly plan: ClaimPlan;
  readonly keyType: RegistrationConfig["keyType"];
  readonly recipient: RegistrationRecipient;
  readonly trust: Trust;
}

type Asked<Kind extends RegistrationEffect["kind"]> = Extract<RegistrationEffect, { kind: Kind }>;
type Task = Asked<"claim" | "seal" | "open">;

/** Most authorities that are kept to show with our own certificate. */
const MAX_CHAIN = 4;
const NOTHING = Buffer.alloc(0);

export class RegistrationDesk {
  readonly #setting: RegistrationDeskSetting;
  #key: RequestedKey | undefined;

  constructor(setting: RegistrationDeskSetting) {
    this.#setting = setting;
  }

  /** The private key that was claimed last, if it is ours to keep. */
  get privateKey(): KeyObject | undefined {
    return this.#key?.privateKey;
  }

  /** The key is certified and stored: if it is no longer accepted, another can be made. */
  keepKey(): void {
    if (this.#key !== undefined) this.#key = { ...this.#key, isKept: true };
  }

  /** Does one task; what cannot be done is a result. */
  async perform(task: Task): Promise<RegistrationResult> {
    try {
      return await this.#perform(task);
    } catch (error) {
      return { kind: "not-done", ref: task.ref, reason: reasonOf(error) };
    }
  }

  async #perform(task: Task): Promise<RegistrationResult> {
    const { ref } = task;
    switch (task.kind) {
      case "claim":
        return { kind: "claimed", ref, claim: await this.#claim(task.fresh) };
      case "seal":
        return { kind: "sealed", ref, ...(await this.#seal(task)) };
      case "open":
        return { kind: "opened", ref, answer: await openAnswer(task, this.#setting) };
    }
  }

  async #claim(fresh: boolean): Promise<ClaimSummary> {
    const { plan, keyType, aor } = this.#setting;
    switch (plan.kind) {
      case "none":
        return { der: NOTHING, isReplaceable: false };
      case "certificate": {
        const { certificate } = plan.own.identity;
        const keyId = keyIdOf(decodeCertificate(certificate).publicKey);
        return { der: certificate, keyId, isReplaceable: false };
      }
      case "request": {
        if (this.#key === undefined || fresh)
          this.#key = await requestKey(aor, fresh ? undefined : plan.kept, keyType);
        const { request: der, keyId, isKept } = this.#key;
        return { der, keyId, isReplaceable: isKept };
      }
    }
  }

  #seal({ rows, withClaim }: Asked<"seal">) {
    const { recipient } = this.#setting;
    const claim: RegistrationRequest["claim"] = withClaim ? this.#sealedClaim() : { kind: "none" };
    return sealRegistration({ rows, claim, recipient, random: randomBytes });
  }

  #sealedClaim(): RegistrationRequest["claim"] {
    const { plan } = this.#setting;
    if (plan.kind === "certificate") return { kind: "certificate", ...plan.own };
    return this.#key === undefined
      ? { kind: "none" }
      : { kind: "request", request: this.#key.request };
  }
}

/** Signs a question by our certificate. */
export async function signQuestion(
  { startLine, rows }: Extract<QueryEffect, { kind: "sign" }>,
  { identity: signer, chain }: OwnIdentity,
): Promise<QueryInput> {
  try {
    const signed = await signQuery({ startLine, rows, signer, chain, random: randomBytes });
    return { kind: "signed", ...signed };
  } catch (error) {
    return { kind: "not-done", reason: reasonOf(error) };
  }
}

/** Verifies an answer's signature and its path to the anchors of the domain that was asked. */
export async function verifyQuestionAnswer(
  { target, body, contentType }: Extract<QueryEffect, { kind: "verify" }>,
  trust: Trust,
): Promise<QueryInput> {
  try {
    const answer = await verifyQueryAnswer({ body, contentType });
    const { rows, certificates, signer, others } = answer;
    const anchors = trust.anchorsOf(parseSipUri(target).host);
    await verifyServer(signer, others, anchors);
    return {
      kind: "verified",
      answer: { rows, signer, certificates: certificates.filter(isSealable).map(granted) },
    };
  } catch (error) {
    return { kind: "not-done", reason: refusedBecause(error) };
  }
}

async function openAnswer(
  { body, contentType, firstKey }: Asked<"open">,
  { plan, trust, aor }: RegistrationDeskSetting,
): Promise<OpenedAnswer> {
  const identity = plan.kind === "certificate" ? plan.own.identity : undefined;
  const holders = { firstKey, ...(identity && { identity }) };
  try {
    const answer = await openRegistrationAnswer({ body, contentType, holders });
    const { rows, signer, others, certificate, controllers } = answer;
    const anchors = trust.anchorsOf(parseSipUri(aor).host);
    await verifyServer(signer, others, anchors);
    const chain = certificate && (await authoritiesAbove(certificate, others, anchors));
    return {
      ...{ rows, signer, chain: chain ?? [] },
      ...(certificate !== undefined && { certificate: granted(certificate) }),
      controllers: controllers.map(({ encoded }) => encoded),
      trust: answer.trust.map(({ domain, anchors }) => ({
        ...{ domain, anchors: anchors.map(({ encoded }) => encoded) },
      })),
    };
  } catch (cause) {
    if (!isProtocolError(cause)) throw cause;
    throw new ProtocolError(cause.code, refusedBecause(cause), { cause });
  }
}

const verifyServer = (
  certificate: Certificate,
  intermediates: readonly Certificate[],
  anchors: readonly Buffer[],
): Promise<unknown> => verifyChain({ certificate, intermediates, anchors, now: Date.now() });

/** Nothing can be sealed for another: one such phone of a user shall not cost him the call. */
const isSealable = ({ publicKey }: Certificate): boolean =>
  isAcceptedKey(publicKey) &&
  (publicKey.asymmetricKeyType === "rsa" ||
    publicKey.asymmetricKeyDetails?.namedCurve === "prime256v1");

const granted = (certificate: Certificate): GrantedCertificate => ({
  encoded: certificate.encoded,
  keyId: keyIdOf(certificate.publicKey),
  serial: certificate.serial,
  fingerprint: fingerprintOf(certificate.encoded),
  uris: certificate.uris,
  notBefore: certificate.notBefore,
  notAfter: certificate.notAfter,
});

/**
 * The authorities above our certificate, each verified: whoever was on the way can have put others
 * among them, since a signature does not cover the certificates beside it. An anchor that issued
 * itself need not be shown.
 */
async function authoritiesAbove(
  certificate: Certificate,
  others: readonly Certificate[],
  anchors: readonly Buffer[],
): Promise<readonly Buffer[]> {
  const above: Certificate[] = [];
  for (let subject = certificate; above.length < MAX_CHAIN; ) {
    const issuer = await issuerOf(subject, others, anchors);
    if (issuer === undefined || above.includes(issuer)) break;
    above.push(issuer);
    subject = issuer;
  }
  return above.map(({ encoded }) => encoded);
}

async function issuerOf(
  subject: Certificate,
  others: readonly Certificate[],
  anchors: readonly Buffer[],
): Promise<Certificate | undefined> {
  const named = others.filter(
    ({ subjectName, issuerName }) =>
      isSameName(subjectName, subject.issuerName) && !isSameName(subjectName, issuerName),
  );
  for (const candidate of named) {
    const hasIssued = await leadsTo(subject, [], [candidate.encoded]);
    if (hasIssued && (await leadsTo(candidate, others, anchors))) return candidate;
  }
  return undefined;
}

const leadsTo = (...path: Parameters<typeof verifyServer>): Promise<boolean> =>
  verifyServer(...path).then(
    () => true,
    (error) => {
      if (isProtocolError(error)) return false;
      throw error;
    },
  );

const reasonOf = (error: unknown): string => {
  if (!isProtocolError(error)) throw error;
  return error.message;
};

const refusedBecause = (error: unknown): string => `the answer is refused: ${reasonOf(error)}`;
