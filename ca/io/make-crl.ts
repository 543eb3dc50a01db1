/**
 * Writes a revocation list of what the database says is revoked: reads the issuer's files and the
 * clock's reading that it is given, touches the database's counter and one file.
 */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { Millis } from "../../protocol/machine.ts";
import {
  type Certificate,
  decodeCertificate,
  encodePem,
  mayBeUsedFor,
} from "../../protocol/pki/certificate.ts";
import { CRL_MAX_ENTRIES } from "../../protocol/pki/crl.ts";
import { issueCrl } from "../../protocol/pki/issue-crl.ts";
import { isSameName } from "../../protocol/pki/name.ts";
import type { AuthorityDatabase } from "../../runtime/authority-database.ts";

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

const DAY_MS = 24 * 60 * 60 * 1000;
const FILE_MODE = 0o644;

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
  const { certificate, privateKey } = readIssuer(files, now);
  const lifeMs = days * DAY_MS;
  // What expired stays on one list after it did (RFC 5280 §3.3).
  const revoked = database
    .revocations(now - lifeMs)
    .filter(({ der }) => isSameName(decodeCertificate(der).issuerName, certificate.subjectName))
    .map(({ serial, revocation }) => ({
      serial,
      at: new Date(revocation?.at ?? now),
      reason: revocation?.reason ?? "unspecified",
    }));
  if (revoked.length > CRL_MAX_ENTRIES)
    throw new CrlError(`${revoked.length} certificates are more than one list may name`);
  const number = database.nextCrlNumber();
  const dates = { thisUpdate: new Date(now), nextUpdate: new Date(now + lifeMs) };
  const issuer = { certificate: certificate.encoded, privateKey };
  const list = await issueCrl({ number, ...dates, revoked }, issuer);
  replaceFile(files.out, files.der ? list : encodePem("X509 CRL", list));
  return { number, entries: revoked.length };
}

function readIssuer(
  files: CrlFiles,
  now: Millis,
): { readonly certificate: Certificate; readonly privateKey: KeyObject } {
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
  return { certificate, privateKey };
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

/** Whoever reads the file sees the old list or the new one. */
function replaceFile(file: string, content: Uint8Array | string): void {
  const temporary = `${file}.new`;
  try {
    rmSync(temporary, { force: true });
    writeFileSync(temporary, content, { flag: "wx", mode: FILE_MODE });
    renameSync(temporary, file);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new CrlError(`${file}: cannot be written: ${reasonOf(cause)}`, { cause });
  }
}

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
