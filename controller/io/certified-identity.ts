/**
 * A certificate file with its key file, checked as a pair. Touches both, once.
 */
import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { type CredentialFiles, parsePemCertificates } from "../../runtime/credential-files.ts";

export interface Certified {
  readonly identity: Identity;
  readonly certificate: X509Certificate;
  /** What the file holds after it. */
  readonly above: readonly X509Certificate[];
}

/** Undefined, and a fault at the key of `table` that is wrong, unless both fit. */
export function readCertified(
  files: CredentialFiles,
  { certificate: path, key }: { readonly certificate: string; readonly key: string },
  table: string,
): Certified | undefined {
  const read = files.read(path, `${table}.certificate`, parsePemCertificates) ?? [];
  const privateKey = files.read(key, `${table}.key`, (pem): KeyObject => createPrivateKey(pem));
  const [certificate, ...above] = read;
  if (certificate === undefined || privateKey === undefined) return undefined;
  if (certificate.checkPrivateKey(privateKey))
    return { identity: { certificate: certificate.raw, privateKey }, certificate, above };
  files.fault(`${table}.key`, "is not the key of the certificate");
  return undefined;
}

/**
 * Which anchors the first certificate leads to by way of the others, each the issuer of the one
 * before it; undefined if they are no such row.
 */
export function anchorsAbove(
  row: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
): readonly X509Certificate[] | undefined {
  if (row.some((one, at) => at > 0 && !isIssuedBy(row[at - 1], one))) return undefined;
  return anchors.filter((anchor) =>
    row.some((one) => one.raw.equals(anchor.raw) || isIssuedBy(one, anchor)),
  );
}

const isIssuedBy = (one: X509Certificate | undefined, issuer: X509Certificate): boolean =>
  one?.checkIssued(issuer) === true && one.verify(issuer.publicKey);
