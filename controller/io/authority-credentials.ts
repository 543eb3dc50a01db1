/**
 * The files of the table `[authority]`: who certifies phones, whom it vouches for, whose lists of
 * revoked certificates it observes. Touches those files and the clock, once.
 */
import { X509Certificate } from "node:crypto";
import { ANSWER_MAX_ANCHORS } from "../../protocol/body/registration-answer.ts";
import { DAY_MS } from "../../protocol/calendar.ts";
import { isProtocolError } from "../../protocol/errors.ts";
import {
  type Certificate,
  decodeCertificate,
  mayBeUsedFor,
} from "../../protocol/pki/certificate.ts";
import { type Crl, decodeCrl } from "../../protocol/pki/crl.ts";
import { keyTypeOf } from "../../protocol/pki/public-key.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { type CredentialFiles, parsePemCertificates } from "../../runtime/credential-files.ts";
import type { ControllerConfig } from "../config.ts";
import { anchorsAbove, type Certified, readCertified } from "./certified-identity.ts";

export interface AuthorityCredentials {
  /** Signs certificates and revocation lists. */
  readonly issuer: Identity;
  /** Those above it, root apart (DER). */
  readonly chain: readonly Buffer[];
  /** What our own phones and controllers lead to: handed out for each of our domains (DER). */
  readonly ownAnchors: readonly Buffer[];
  readonly trust: readonly DomainAnchors[];
  /** As they were read: who signed them is asked where a chain leads by their issuer. */
  readonly foreignCrls: readonly Crl[];
  /** Certificates of recorders, handed out beside the controller's own (DER). */
  readonly recorders: readonly Buffer[];
}

export interface DomainAnchors {
  readonly domain: string;
  /** DER. */
  readonly anchors: readonly Buffer[];
}

/** An issuer that ends sooner is warned of. */
const ISSUER_DAYS_LEFT = 30;
const PEM_CRL = /-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/g;

export interface LoadedAuthority {
  readonly credentials: AuthorityCredentials;
  readonly warnings: readonly string[];
}

/** Undefined without the table, or with faults in what is needed first. */
export function loadAuthority(
  files: CredentialFiles,
  config: ControllerConfig,
  body: { readonly certified: Certified | undefined; readonly anchors: readonly Buffer[] },
): LoadedAuthority | undefined {
  const { authority } = config;
  if (authority === undefined) return undefined;
  const issuer = readCertified(files, authority, "authority");
  const trust = authority.trust.map((row, at) => readTrust(files, row, at));
  const foreignCrls = authority.foreignCrls.flatMap(
    (path, at) => files.readOctets(path, `authority.foreignCrls[${at}]`, parseCrls) ?? [],
  );
  const recorders = readRecorder(files, config);
  const decoded = decodeAt(files, "authority.certificate", issuer);
  const signer = decodeAt(files, "body.certificate", body.certified);
  if (issuer === undefined || decoded === undefined || signer === undefined) return undefined;
  checkIssuer(files, decoded, authority.crl !== undefined);
  if (!mayBeUsedFor(signer, "digitalSignature"))
    files.fault("body.certificate", "may not sign, and the authority signs its answers as body");
  const ownAnchors = leadsTo(files, issuer, body.anchors);
  checkRoom(files, [
    ...trust,
    ...config.domains.map((domain) => ({ domain, anchors: ownAnchors })),
  ]);
  const chain = issuer.above.filter((one) => one.subject !== one.issuer).map(({ raw }) => raw);
  return {
    credentials: { issuer: issuer.identity, chain, ownAnchors, trust, foreignCrls, recorders },
    warnings: [
      ...issuerWarnings(issuer, decoded),
      ...bodyWarnings(signer, config),
      ...(config.state === undefined
        ? ["without the table state no certificate is in service after a restart"]
        : []),
    ],
  };
}

function checkRoom(files: CredentialFiles, handedOut: readonly DomainAnchors[]): void {
  const count = handedOut.flatMap(({ anchors }) => anchors).length;
  if (count > ANSWER_MAX_ANCHORS)
    files.fault(
      "authority.trust",
      `${count} anchors in all, and phones are handed ${ANSWER_MAX_ANCHORS}`,
    );
}

function readTrust(
  files: CredentialFiles,
  { domain, anchors }: { readonly domain: string; readonly anchors: readonly string[] },
  at: number,
): DomainAnchors {
  const read = anchors.flatMap(
    (path, index) =>
      files.read(path, `authority.trust[${at}].anchors[${index}]`, parsePemCertificates) ?? [],
  );
  return { domain, anchors: read.map(({ raw }) => raw) };
}

/** PEM, several in a row, or DER. @throws ProtocolError `ERR_CRL` for anything else. */
function parseCrls(octets: Buffer): readonly Crl[] {
  const blocks = [...octets.toString("latin1").matchAll(PEM_CRL)];
  const lists = blocks.map(([, text = ""]) => Buffer.from(text, "base64"));
  return (lists.length === 0 ? [octets] : lists).map(decodeCrl);
}

function readRecorder(files: CredentialFiles, { recording }: ControllerConfig): readonly Buffer[] {
  if (recording?.certificate === undefined) return [];
  const read = files.read(recording.certificate, "recording.certificate", parsePemCertificates);
  const [certificate] = read ?? [];
  return certificate === undefined ? [] : [certificate.raw];
}

function decodeAt(
  files: CredentialFiles,
  at: string,
  certified: Certified | undefined,
): Certificate | undefined {
  if (certified === undefined) return undefined;
  try {
    return decodeCertificate(certified.identity.certificate);
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    files.fault(at, error.message);
    return undefined;
  }
}

function checkIssuer(files: CredentialFiles, decoded: Certificate, writesCrl: boolean): void {
  const refuse = (isWrong: boolean, message: string): void => {
    if (isWrong) files.fault("authority.certificate", message);
  };
  refuse(
    keyTypeOf(decoded.publicKey) === undefined,
    "has a key that is neither P-256 nor RSA of 2048, 3072 or 4096 bits",
  );
  const mayIssue = decoded.isAuthority && mayBeUsedFor(decoded, "keyCertSign");
  refuse(!mayIssue, "may not certify anybody: an authority's certificate is needed");
  refuse(
    mayIssue && writesCrl && !mayBeUsedFor(decoded, "cRLSign"),
    "may not sign the revocation list that crl asks for",
  );
  const now = Date.now();
  refuse(now < decoded.notBefore || now > decoded.notAfter, "is not valid now");
}

/** Phones are handed these anchors, and must find our certificates below them. */
function leadsTo(
  files: CredentialFiles,
  { certificate, above }: Certified,
  anchors: readonly Buffer[],
): readonly Buffer[] {
  const found = anchorsAbove(
    [certificate, ...above],
    anchors.map((der) => new X509Certificate(der)),
  );
  if (found === undefined)
    files.fault(
      "authority.certificate",
      "holds certificates of which one did not issue the one before it",
    );
  else if (isTooDeep([certificate, ...above, ...found.slice(0, 1)]))
    files.fault(
      "authority.certificate",
      "stands deeper than the path length of one above it allows",
    );
  else if (found.length === 0)
    files.fault("authority.certificate", "leads to none of the anchors of body");
  return (found ?? []).map(({ raw }) => raw);
}

/** Each authority says how many others may stand between it and whom they certify. */
const isTooDeep = (row: readonly X509Certificate[]): boolean =>
  row.some(({ raw }, below) => {
    const { pathLength } = decodeCertificate(raw);
    return pathLength !== undefined && pathLength < below - Number(isRepeated(row, below));
  });

/** An anchor may end the file as well. */
const isRepeated = (row: readonly X509Certificate[], at: number): boolean =>
  row.slice(0, at).some((one) => row[at]?.raw.equals(one.raw) === true);

function issuerWarnings({ certificate }: Certified, { notAfter }: Certificate): readonly string[] {
  const daysLeft = Math.floor((notAfter - Date.now()) / DAY_MS);
  return [
    ...(daysLeft >= ISSUER_DAYS_LEFT
      ? []
      : [`authority.certificate ends in ${daysLeft} days: nobody is certified beyond its end`]),
    ...(certificate.subject !== certificate.issuer
      ? []
      : ["authority.key is a root's: with an intermediate key the root's could stay offline"]),
  ];
}

/** Whoever gets our answers checks by these names that they are ours (RFC 5922 §7.1). */
function bodyWarnings({ dnsNames, uris }: Certificate, { name, domains }: ControllerConfig) {
  const has = (names: readonly string[], wanted: string): boolean =>
    names.some((one) => one.toLowerCase() === wanted);
  return [
    ...(has(dnsNames, name) || domains.some((domain) => has(uris, `sip:${domain}`))
      ? []
      : [`body.certificate does not hold the DNS name ${name}: phones refuse what it signs`]),
    ...domains
      .filter((domain) => !has(uris, `sip:${domain}`))
      .map(
        (domain) =>
          `body.certificate does not hold the URI sip:${domain}: other domains refuse its answers about users of ${domain}`,
      ),
  ];
}
