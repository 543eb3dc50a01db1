/**
 * Our revocation list, kept in a file for others: written at the start, whenever something was
 * revoked, and in good time before it runs out. Touches that file and the authority database.
 */
import type { Millis } from "../../protocol/machine.ts";
import { encodePem } from "../../protocol/pki/certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import type { AuthorityDatabase } from "../../runtime/authority-database.ts";
import type { Logger } from "../../runtime/logger.ts";
import { issueRevocationList, replacePublicFile } from "../../runtime/revocation-list.ts";
import { nameOfError } from "./name-of-error.ts";

export interface CrlFileSetting {
  /** PEM if its name ends in `.pem`, else DER (RFC 5280 §4.2.1.13). */
  readonly file: string;
  readonly issuer: Identity;
  readonly database: AuthorityDatabase;
  readonly log: Logger;
}

const HOUR_MS = 3_600_000;
/** How long a list counts. */
export const CRL_LIFE_MS = 7 * 24 * HOUR_MS;
/** How old a list grows before the next. */
export const CRL_RENEWAL_MS = 24 * HOUR_MS;
/** Between attempts to write to a disk that failed. */
export const CRL_RETRY_MS = 60_000;

/** Its promises never reject: a list that cannot be written is told, and tried again. */
export class CrlFile {
  readonly #setting: CrlFileSetting;
  #dueAt: Millis = 0;
  #writing = Promise.resolve();

  constructor(setting: CrlFileSetting) {
    this.#setting = setting;
  }

  /** Whether a list must be written although nothing was revoked. */
  isDue(now: Millis): boolean {
    return now >= this.#dueAt;
  }

  /** One after the other: the last word stays. */
  write(now: Millis): Promise<void> {
    this.#dueAt = now + CRL_RENEWAL_MS;
    this.#writing = this.#writing.then(() => this.#write(now));
    return this.#writing;
  }

  async #write(now: Millis): Promise<void> {
    const { file, issuer, database, log } = this.#setting;
    try {
      const lifeMs = CRL_LIFE_MS;
      const { list, number, entries } = await issueRevocationList(database, issuer, {
        now,
        lifeMs,
      });
      replacePublicFile(file, file.endsWith(".pem") ? encodePem("X509 CRL", list) : list);
      log.info({ number, entries }, "revocation list written");
    } catch (error) {
      this.#dueAt = now + CRL_RETRY_MS;
      log.error({ error: nameOfError(error) }, "revocation list not written");
    }
  }
}
