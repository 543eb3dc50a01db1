/**
 * The authority's side of a running controller: its desks, what is written down of keys and
 * certificates, and the watch over what others revoke. Without the table `[authority]` it is not
 * made. Touches the authority database and the clock, through its parts.
 */
import { assertNever } from "../../protocol/errors.ts";
import { AuthorityDatabase } from "../../runtime/authority-database.ts";
import { ConfigError, resolveConfigPath } from "../../runtime/config-file.ts";
import type { Logger } from "../../runtime/logger.ts";
import { createRandomPool } from "../../runtime/random-pool.ts";
import type { ControllerConfig } from "../config.ts";
import type { AuthorityPolicy } from "../core/authority-policy.ts";
import type { CertificateEffect, CertificateInput } from "../core/certificate-port.ts";
import type { AuthorityCredentials } from "./authority-credentials.ts";
import { CertificateIssuer } from "./certificate-issuer.ts";
import type { BodyCredentials, Credentials } from "./credentials.ts";
import { CrlFile } from "./crl-file.ts";
import { DomainTrust } from "./domain-trust.ts";
import { FairQueue } from "./fair-queue.ts";
import { KeyDirectory } from "./key-directory.ts";
import { QueryDesk, SIGNATURE_LIMITS } from "./query-desk.ts";
import { PASSWORD_LIMITS, RegistrationDesk } from "./registration-desk.ts";
import type { UserStore } from "./user-store.ts";

export interface OfficeSetting {
  /** Of the authority database. */
  readonly file: string;
  readonly feed: (input: CertificateInput) => void;
  readonly log: Logger;
}

/** What may be put in its place while it runs. */
export interface OfficeRules {
  /** The configuration file. */
  readonly file: string;
  readonly config: ControllerConfig;
  readonly credentials: Credentials;
  readonly users: UserStore;
}

interface Desks {
  readonly registrations: RegistrationDesk;
  readonly queries: QueryDesk;
  /** Absent: nobody is told what was revoked. */
  readonly crl: CrlFile | undefined;
}

/** Without the database nobody's key is known to be good: that is no fault of his. */
const FAILED = { kind: "failed" } as const;

/** How soon it is noticed what another process revoked; at a question it counts at once. */
export const REVOCATION_POLL_MS = 1_000;

export class CertificateOffice {
  readonly directory: KeyDirectory;
  readonly #setting: OfficeSetting;
  readonly #database: AuthorityDatabase;
  readonly #random = createRandomPool();
  readonly #passwords = new FairQueue(PASSWORD_LIMITS);
  readonly #signatures = new FairQueue(SIGNATURE_LIMITS);
  readonly #working = new Set<Promise<void>>();
  #desks: Desks;
  #watch: NodeJS.Timeout | undefined;
  #revision: number;

  private constructor(setting: OfficeSetting, rules: OfficeRules) {
    this.#setting = setting;
    this.#database = AuthorityDatabase.open(setting.file);
    this.directory = new KeyDirectory(this.#database, setting.log);
    this.#revision = this.directory.revisionAfter(0);
    this.#desks = this.#desksOf(rules);
  }

  /** @throws ConfigError for a database that cannot be used. */
  static open(setting: OfficeSetting, rules: OfficeRules): CertificateOffice {
    return new CertificateOffice(setting, rules);
  }

  /** What the core is to know of the authority. */
  policyOf({ config }: Pick<OfficeRules, "config">): AuthorityPolicy {
    const { authority } = config;
    if (authority === undefined) throw new TypeError("an authority without its table");
    const { skewS, userKeys, registrationsPerMinute, queriesPerMinute, location } = authority;
    return {
      directory: this.directory,
      skewMs: skewS * 1000,
      keyTypes: userKeys,
      perMinute: { registrations: registrationsPerMinute, queries: queriesPerMinute },
      locationTo: location,
    };
  }

  /** What was revoked while nobody watched is told at once. */
  start(): void {
    this.#tellRevocations();
    this.#watch = setInterval(() => this.#noticeRevocations(), REVOCATION_POLL_MS);
    this.#watch.unref();
  }

  /**
   * Other certificates, keys and users from now on; the database stays.
   * @throws ConfigError while it cannot be read: every registration would be swept away as revoked.
   */
  reload(rules: OfficeRules): void {
    const fault = { path: "authority.database", message: "cannot be read now" };
    if (!this.directory.isReadable) throw new ConfigError(rules.file, [fault]);
    this.#desks = this.#desksOf(rules);
  }

  perform(effect: CertificateEffect): void {
    this.#await(this.#answer(effect).then((input) => this.#setting.feed(input)));
  }

  /** Resolves once nothing is at work. */
  async settled(): Promise<void> {
    while (this.#working.size > 0) await Promise.all(this.#working);
  }

  /** Lets the desks finish, and closes the database. */
  async stop(): Promise<void> {
    clearInterval(this.#watch);
    await this.settled();
    this.#database.close();
  }

  async #answer(effect: CertificateEffect): Promise<CertificateInput> {
    const { registrations, queries } = this.#desks;
    const { ref } = effect;
    switch (effect.kind) {
      case "open-registration": {
        const outcome = this.directory.isReadable ? await registrations.open(effect) : FAILED;
        return { kind: "registration-opened", ref, outcome };
      }
      case "certify":
        return { kind: "certified", ref, outcome: await registrations.certify(effect) };
      case "verify-asker": {
        const outcome = this.directory.isReadable ? await queries.verify(effect) : FAILED;
        return { kind: "asker-verified", ref, outcome };
      }
      case "sign-answer":
        return { kind: "answer-signed", ref, outcome: await queries.sign(effect) };
      default:
        return assertNever(effect);
    }
  }

  #desksOf({ file, config, credentials, users }: OfficeRules): Desks {
    const { body, authority } = certifying(credentials);
    const { log } = this.#setting;
    this.directory.foreignCrls = authority.foreignCrls;
    const trust = new DomainTrust({ body, authority, directory: this.directory });
    const issuer = new CertificateIssuer(authority.issuer, this.#database, this.#random);
    const { domains } = config;
    const shared = { body, trust, log };
    const crl = config.authority?.crl;
    return {
      crl: crl === undefined ? undefined : this.#crlFile(resolveConfigPath(file, crl), authority),
      registrations: new RegistrationDesk({
        ...shared,
        authority,
        domains,
        users,
        issuer,
        random: this.#random,
        passwords: this.#passwords,
      }),
      queries: new QueryDesk({ ...shared, signatures: this.#signatures }),
    };
  }

  #crlFile(file: string, { issuer }: AuthorityCredentials): CrlFile {
    return new CrlFile({ file, issuer, database: this.#database, log: this.#setting.log });
  }

  #noticeRevocations(): void {
    const revision = this.directory.revisionAfter(this.#revision);
    const { crl } = this.#desks;
    if (revision !== this.#revision) this.#tellRevocations();
    else if (crl?.isDue(Date.now()) === true) this.#await(crl.write(Date.now()));
    this.#revision = revision;
  }

  #tellRevocations(): void {
    const { crl } = this.#desks;
    if (crl !== undefined) this.#await(crl.write(Date.now()));
    this.#setting.feed({ kind: "certificates-revoked" });
  }

  /** Work that is to be over before the database is closed. */
  #await(work: Promise<void>): void {
    this.#working.add(work);
    void work.finally(() => this.#working.delete(work));
  }
}

function certifying({ body, authority }: Credentials): {
  readonly body: BodyCredentials;
  readonly authority: AuthorityCredentials;
} {
  if (body === undefined || authority === undefined)
    throw new TypeError("an authority without credentials");
  return { body, authority };
}
