/**
 * Certifies keys for as long as a registration runs, and writes every certificate down before
 * anybody sees it. Touches the authority database; reads the clock.
 */
import type { Millis } from "../../protocol/machine.ts";
import { decodeCertificate, fingerprintOf } from "../../protocol/pki/certificate.ts";
import { issueCertificate, serialNumberOf } from "../../protocol/pki/issue-certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import type { AuthorityDatabase, KeyOutcome } from "../../runtime/authority-database.ts";
import type { CertifiedKey, Claim } from "../core/certificate-port.ts";

type ClaimOf<Kind extends Claim["kind"]> = Extract<Claim, { kind: Kind }>;

export type IssueOutcome =
  | { readonly kind: "certified"; readonly certificate: CertifiedKey }
  | Extract<KeyOutcome, { kind: "refused" }>;

export interface IssueOrder {
  readonly aor: string;
  readonly notBefore: Millis;
  /** To the second. */
  readonly notAfter: Millis;
}

const SERIAL_BYTES = 16;

export class CertificateIssuer {
  readonly #identity: Identity;
  readonly #endsAt: Millis;
  readonly #database: AuthorityDatabase;
  readonly #random: (size: number) => Buffer;

  constructor(identity: Identity, database: AuthorityDatabase, random: (size: number) => Buffer) {
    this.#identity = identity;
    this.#endsAt = decodeCertificate(identity.certificate).notAfter;
    this.#database = database;
    this.#random = random;
  }

  /**
   * A new certificate for the key of a request.
   * @throws RangeError for one that would outlive its issuer: nobody would believe it.
   */
  async issue(claim: ClaimOf<"request">, order: IssueOrder): Promise<IssueOutcome> {
    const { keyId, publicKey } = claim;
    const { aor, notBefore, notAfter } = order;
    if (notAfter > this.#endsAt) throw new RangeError("the issuer ends before the registration");
    const serialNumber = serialNumberOf(this.#random(SERIAL_BYTES));
    const der = await issueCertificate(
      {
        commonName: aor.replace(/^sips?:/, ""),
        publicKey,
        profile: "user",
        alternativeNames: [{ kind: "uri", uri: aor }],
        serialNumber,
        notBefore: new Date(notBefore),
        notAfter: new Date(notAfter),
      },
      this.#identity,
    );
    const serial = serialNumber.toString("hex");
    const issued = { serial, aor, keyId, fingerprint: fingerprintOf(der), notAfter, der };
    const outcome = await this.#database.record(issued, Date.now());
    return certifiedUnless(outcome, { der, keyId, notAfter, issued: true });
  }

  /** A certificate that another authority issued: its key is the user's from now on. */
  async adopt(claim: ClaimOf<"certificate">, aor: string): Promise<IssueOutcome> {
    const { keyId, der, notAfter } = claim;
    const outcome = await this.#database.adoptKey({ keyId, aor });
    return certifiedUnless(outcome, { der, keyId, notAfter, issued: false });
  }
}

const certifiedUnless = (outcome: KeyOutcome, certificate: CertifiedKey): IssueOutcome =>
  outcome.kind === "refused" ? outcome : { kind: "certified", certificate };
