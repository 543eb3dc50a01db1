/**
 * Writes a revocation list of what the database says is revoked: reads the issuer's files and the
 * clock's reading that it is given, touches the database's counter and one file.
 */
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { DAY_MS } from "../../protocol/calendar.ts";
import type { Millis } from "../../protocol/machine.ts";
import { decodeCertificate, encodePem, mayBeUsedFor } from "../../protocol/pki/certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import type { AuthorityDatabase } from "../../runtime/authority-database.ts";
import {
  issueRevocationList,
  type RevocationList,
  replacePublicFile,
} from "../../runtime/revocation-list.ts";

export interface CrlFiles {
  /** PEM; the issuer's certificate first. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
  readonly out: string;
  /** DER instead of PEM. */
  readonly der?: boolean;
}

/** No list can be made of these files; nothing was changed. */
export class CrlError extends Error {
  override readonly name = "CrlError";
}

/**
 * Writes the next list, in place of one that is there; resolves with its number and length.
 * @throws CrlError naming the file and what is wrong with it.
 */
export async function makeCrl(
  files: CrlFiles,
  database: AuthorityDatabase,
  days: number,
  now: Millis,
): Promise<{ readonly number: number; readonly entries: number }> {
  const issuer = readIssuer(files, now);
  const { list, number, entries } = await issue(database, issuer, { now, lifeMs: days * DAY_MS });
  try {
    replacePublicFile(files.out, files.der === true ? list : encodePem("X509 CRL", list));
  } catch (cause) {
    throw new CrlError(`${files.out}: cannot be written: ${reasonOf(cause)}`, { cause });
  }
  return { number, entries };
}

async function issue(
  database: AuthorityDatabase,
  issuer: Identity,
  times: { readonly now: Millis; readonly lifeMs: number },
): Promise<RevocationList> {
  try {
    return await issueRevocationList(database, issuer, times);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new CrlError(cause.message, { cause });
  }
}

function readIssuer(files: CrlFiles, now: Millis): Identity {
  const certificate = read(files.certificate, (octets) =>
    decodeCertificate(new X509Certificate(octets).raw),
  );
  const privateKey = read(files.key, (octets) => createPrivateKey(octets));
  if (!certificate.isAuthority || !mayBeUsedFor(certificate, "cRLSign"))
    throw new CrlError(`${files.certificate}: is no authority that may sign revocation lists`);
  if (now < certificate.notBefore || now > certificate.notAfter)
    throw new CrlError(`${files.certificate}: is not valid now`);
  if (!certificate.publicKey.equals(createPublicKey(privateKey)))
    throw new CrlError(`${files.key}: is not the key of ${files.certificate}`);
  return { certificate: certificate.encoded, privateKey };
}

function read<T>(file: string, decode: (octets: Buffer) => T): T {
  let octets: Buffer;
  try {
    octets = readFileSync(file);
  } catch (cause) {
    throw new CrlError(`${file}: cannot be read: ${reasonOf(cause)}`, { cause });
  }
  try {
    return decode(octets);
  } catch (cause) {
    throw new CrlError(`${file}: holds none in PEM that can be read`, { cause });
  }
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
