/**
 * The next revocation list of what an authority database says is revoked, and the file that others
 * read it from. Touches the database's counter, and that file.
 */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import type { Millis } from "../protocol/machine.ts";
import { decodeCertificate } from "../protocol/pki/certificate.ts";
import { CRL_MAX_ENTRIES } from "../protocol/pki/crl.ts";
import { issueCrl } from "../protocol/pki/issue-crl.ts";
import { isSameName } from "../protocol/pki/name.ts";
import type { Identity } from "../protocol/pki/signed-data.ts";
import type { AuthorityDatabase } from "./authority-database.ts";

export interface RevocationList {
  /** DER. */
  readonly list: Buffer;
  readonly number: number;
  readonly entries: number;
}

const FILE_MODE = 0o644;

/**
 * Makes the next list of one issuer: of its certificates alone, each until it has stood on one list
 * after its end (RFC 5280 §3.3).
 * @throws RangeError if more are revoked than one list may name; no number is used up then.
 */
export async function issueRevocationList(
  database: AuthorityDatabase,
  issuer: Identity,
  { now, lifeMs }: { readonly now: Millis; readonly lifeMs: number },
): Promise<RevocationList> {
  const { subjectName } = decodeCertificate(issuer.certificate);
  const revoked = database
    .revocations(now - lifeMs)
    .filter(({ der }) => isSameName(decodeCertificate(der).issuerName, subjectName))
    .map(({ serial, revocation }) => ({
      serial,
      at: new Date(revocation?.at ?? now),
      reason: revocation?.reason ?? "unspecified",
    }));
  if (revoked.length > CRL_MAX_ENTRIES)
    throw new RangeError(`${revoked.length} certificates are more than one list may name`);
  const number = database.nextCrlNumber();
  const dates = { thisUpdate: new Date(now), nextUpdate: new Date(now + lifeMs) };
  const list = await issueCrl({ number, ...dates, revoked }, issuer);
  return { list, number, entries: revoked.length };
}

/** Whoever reads the file sees the old content or the new one. */
export function replacePublicFile(file: string, content: Uint8Array | string): void {
  const temporary = `${file}.new`;
  try {
    rmSync(temporary, { force: true });
    writeFileSync(temporary, content, { flag: "wx", mode: FILE_MODE });
    renameSync(temporary, file);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw cause;
  }
}
