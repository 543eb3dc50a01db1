/**
 * Opens sealed REGISTERs with the controller's key or one that the user shares with it, verifies
 * what they claim, certifies the claimed key and seals the answer; all off the core's path. Reads
 * the clock, for the validity of certificates.
 */
import { randomBytes } from "node:crypto";
import { sealRegistrationAnswer } from "../../protocol/body/registration-answer.ts";
import {
  decodeRegistration,
  type OpenedClaim,
  type OpenedRegistration,
  openRegistration,
} from "../../protocol/body/registration-body.ts";
import { isCbcCipher } from "../../protocol/cms/algorithms.ts";
import { decryptFailure } from "../../protocol/cms/decrypt-failure.ts";
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import type { Envelope, Holder } from "../../protocol/cms/open-message.ts";
import { assertNever, isProtocolError, ProtocolError } from "../../protocol/errors.ts";
import { fingerprintOf } from "../../protocol/pki/certificate.ts";
import { decodeCertificationRequest } from "../../protocol/pki/certification-request.ts";
import { keyIdOf } from "../../protocol/pki/public-key.ts";
import { Secret } from "../../protocol/secret.ts";
import { headerValue } from "../../protocol/sip/message.ts";
import type { Logger } from "../../runtime/logger.ts";
import type {
  Asked,
  CertifiedKey,
  CertifyOutcome,
  Claim,
  HolderKind,
  RegistrationOutcome,
  Reply,
} from "../core/certificate-port.ts";
import type { AuthorityCredentials } from "./authority-credentials.ts";
import type { CertificateIssuer } from "./certificate-issuer.ts";
import type { BodyCredentials } from "./credentials.ts";
import type { DomainTrust } from "./domain-trust.ts";
import type { FairQueue } from "./fair-queue.ts";
import { nameOfError } from "./name-of-error.ts";
import type { StoredUser } from "./user-entry.ts";

export interface RegistrationDeskSetting {
  readonly body: BodyCredentials;
  readonly authority: AuthorityCredentials;
  /** What is handed out for each domain, our own ones among them. */
  readonly domains: readonly string[];
  readonly users: { find(aor: string): StoredUser | undefined };
  readonly trust: DomainTrust;
  readonly issuer: CertificateIssuer;
  readonly random: (size: number) => Buffer;
  /** Where passwords wait their turn; it outlives a reload. */
  readonly passwords: FairQueue;
  readonly log: Logger;
}

/** Of an HA1 in hexadecimal. */
const PASSWORD_BYTES = 64;

/** Each password may cost two derivations of 200,000 rounds in the thread pool. */
export const PASSWORD_LIMITS = { running: 2, waiting: 64, waitingOfOne: 4 };

/** Tried for who has none: how long an answer takes must not tell who is a user. */
const NOBODYS = new Secret(randomBytes(PASSWORD_BYTES));

/** Its promises never reject: a fault of our own is logged, and is one without a code. */
export class RegistrationDesk {
  readonly #setting: RegistrationDeskSetting;

  constructor(setting: RegistrationDeskSetting) {
    this.#setting = setting;
  }

  async open(asked: Asked<"open-registration">): Promise<RegistrationOutcome> {
    try {
      const opened = await this.#unseal(asked);
      return opened === undefined ? { kind: "failed" } : await this.#read(opened);
    } catch (error) {
      if (isProtocolError(error)) return { kind: "failed", code: error.code };
      this.#setting.log.error({ error: nameOfError(error) }, "sealed registration");
      return { kind: "failed" };
    }
  }

  /** Wipes the reply, whatever comes of it. */
  async certify(asked: Asked<"certify">): Promise<CertifyOutcome> {
    const { claim, rows, reply } = asked;
    try {
      const key = await this.#keyOf(asked);
      if (key?.kind === "refused") return key;
      const sealed = await this.#seal(firstKeyOf(reply), rows, key?.certificate);
      const certificate = claim.kind === "none" ? undefined : key?.certificate;
      return { kind: "done", ...(certificate === undefined ? {} : { certificate }), ...sealed };
    } catch (error) {
      // Everything of the peer's was judged before: the fault is ours.
      this.#setting.log.error({ error: nameOfError(error) }, "registration not certified");
      return { kind: "failed" };
    } finally {
      reply.wipe();
    }
  }

  /** Undefined if too many wait already. */
  #unseal(asked: Asked<"open-registration">): Promise<OpenedRegistration> | undefined {
    const { request, source } = asked;
    const contentType = headerValue(request, "Content-Type") ?? "";
    const envelope = decodeRegistration({ body: request.body, contentType });
    const holders = this.#holdersFor(asked, envelope);
    return holders.some(({ kind }) => kind === "password")
      ? this.#setting.passwords.run(source, () => openRegistration(envelope, holders))
      : openRegistration(envelope, holders);
  }

  /** The password comes last, and only if there is an entry for one. */
  #holdersFor(
    { aor, labelled }: Asked<"open-registration">,
    { recipients }: Envelope,
  ): readonly Holder[] {
    const { body, users } = this.#setting;
    const { sharedKey, ha1 } = users.find(aor) ?? {};
    const isAsked = labelled && recipients.some(({ kind }) => kind === "password");
    const password = isAsked ? (ha1?.sha256 ?? NOBODYS) : undefined;
    return [
      { kind: "certificate", ...body.identity },
      ...(sharedKey === undefined
        ? []
        : [{ kind: "kek" as const, keyIdentifier: Buffer.from(aor), kek: sharedKey }]),
      ...(password === undefined ? [] : [{ kind: "password" as const, password }]),
    ];
  }

  async #read({ rows, claim, firstKey, holder }: OpenedRegistration): Promise<RegistrationOutcome> {
    const reply = new FirstKeyReply(firstKey);
    try {
      if (claim.kind === "none" && !isReusable(firstKey))
        throw new ProtocolError("ERR_CMS_UNSUPPORTED", "nothing to seal an answer with");
      return {
        kind: "opened",
        rows,
        claim: await this.#verify(claim),
        holder: provenHolder(holder, firstKey),
        reply,
      };
    } catch (error) {
      reply.wipe();
      // What CBC gives may be anybody's: no fault of it may tell that it opened.
      throw isCbcCipher(firstKey.cipher) && isProtocolError(error) ? decryptFailure() : error;
    }
  }

  async #verify(claim: OpenedClaim): Promise<Claim> {
    switch (claim.kind) {
      case "none":
        return claim;
      case "request": {
        const { publicKey, keyId, uris, otherNames } = await decodeCertificationRequest(
          claim.request,
        );
        if (otherNames)
          throw new ProtocolError("ERR_CERTIFICATE_REQUEST", "names of other kinds than URIs");
        return { kind: "request", der: claim.request, keyId, publicKey, uris };
      }
      case "certificate": {
        const { certificate, others } = claim;
        const uris = await this.#setting.trust.namesOf({ certificate, others, now: Date.now() });
        const { encoded: der, publicKey, notAfter } = certificate;
        const keyId = keyIdOf(publicKey);
        const fingerprint = fingerprintOf(der);
        return { kind: "certificate", der, keyId, publicKey, fingerprint, uris, notAfter };
      }
      default:
        return assertNever(claim);
    }
  }

  /** Undefined for a claim of none. */
  async #keyOf({ claim, ...order }: Asked<"certify">) {
    const { issuer } = this.#setting;
    switch (claim.kind) {
      case "none":
        return undefined;
      case "request":
        return issuer.issue(claim, order);
      case "certificate":
        return issuer.adopt(claim, order.aor);
      default:
        return assertNever(claim);
    }
  }

  #seal(firstKey: FirstKey, rows: Asked<"certify">["rows"], own: CertifiedKey | undefined) {
    const { body, authority, domains, random } = this.#setting;
    const ownTrust = domains.map((domain) => ({ domain, anchors: authority.ownAnchors }));
    return sealRegistrationAnswer({
      rows,
      ...(own === undefined ? {} : { certificate: own.der }),
      controllers: [body.identity.certificate, ...authority.recorders],
      trust: [...ownTrust, ...authority.trust],
      to:
        own === undefined || isReusable(firstKey)
          ? { kind: "first-key", firstKey }
          : { kind: "certificate", certificate: own.der },
      signer: body.identity,
      chain: chainOf(this.#setting),
      random,
    });
  }
}

/** Those above whom we sign by and whom we certify by, so that a device can show them. */
function chainOf({ body, authority }: RegistrationDeskSetting): readonly Buffer[] {
  const { issuer, chain, ownAnchors } = authority;
  const all = [...body.chain, issuer.certificate, ...chain];
  const isNews = (one: Buffer, at: number): boolean =>
    all.findIndex((other) => other.equals(one)) === at &&
    !ownAnchors.some((der) => der.equals(one));
  return all.filter(isNews);
}

/** Holds the key of the REGISTER for its answer. */
class FirstKeyReply implements Reply {
  readonly firstKey: FirstKey;

  constructor(firstKey: FirstKey) {
    this.firstKey = firstKey;
  }

  wipe(): void {
    this.firstKey.cek.wipe();
  }
}

function firstKeyOf(reply: Reply): FirstKey {
  if (!(reply instanceof FirstKeyReply)) throw new TypeError("a reply of another desk");
  return reply.firstKey;
}

/** Without a reference only EncryptedData can be under it, and only after CBC. */
const isReusable = ({ reference, cipher }: FirstKey): boolean =>
  reference !== undefined || isCbcCipher(cipher);

/** CBC authenticates nothing: whoever was on the way may have changed what a shared key sealed. */
const provenHolder = (holder: HolderKind, { cipher }: FirstKey): HolderKind =>
  isCbcCipher(cipher) ? "certificate" : holder;
