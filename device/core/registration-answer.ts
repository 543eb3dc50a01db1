/**
 * What is wrong with a 200 to REGISTER whose signature and chain are good, and what it grants.
 * Pure. The rows inside count; those outside anybody on the path may have written.
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import { isProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { parseCSeq } from "../../protocol/sip/cseq.ts";
import { parseSipDate } from "../../protocol/sip/date.ts";
import { findParam } from "../../protocol/sip/grammar.ts";
import { canonicalName } from "../../protocol/sip/header-name.ts";
import { headerValue, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";
import { parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { parseSipUri } from "../../protocol/sip/uri.ts";
import { isSameUser } from "./verified-fault.ts";

/** A certificate of ours, as its reader understood it. */
export interface GrantedCertificate {
  /** DER. */
  readonly encoded: Buffer;
  /** SHA-256 of its SubjectPublicKeyInfo, in hexadecimal. */
  readonly keyId: string;
  readonly serial: string;
  readonly fingerprint: string;
  readonly uris: readonly string[];
  readonly notBefore: Millis;
  readonly notAfter: Millis;
}

/** The names that the signer's certificate holds. */
export interface AnswerSigner {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

/** Signature and chain were verified before this was made. */
export interface OpenedAnswer {
  readonly rows: SipfragRows;
  readonly signer: AnswerSigner;
  readonly certificate?: GrantedCertificate;
  /** Authorities between our certificate and an anchor, DER. */
  readonly chain: readonly Buffer[];
  /** Of our domain's controllers and recorders, DER. */
  readonly controllers: readonly Buffer[];
  readonly trust: readonly DomainTrust[];
}

/** Who vouches for a domain's users and controllers. */
export interface DomainTrust {
  readonly domain: string;
  /** DER. */
  readonly anchors: readonly Buffer[];
}

/** How far the registrar's clock may be from ours. */
export const MAX_ANSWER_SKEW_MS = 300_000;

export type AnswerJudgement =
  | { readonly kind: "granted"; readonly grantedMs: number; readonly expiresAt: Millis }
  /** The binding is gone, as was asked. */
  | { readonly kind: "removed" }
  | { readonly kind: "refused"; readonly reason: string };

export interface AnswerContext {
  /** As it was sent. */
  readonly request: SipRequest;
  readonly response: SipResponse;
  /** The Contact URI that was asked for. */
  readonly contact: string;
  /** The REGISTER was to take it away. */
  readonly removal: boolean;
  readonly aor: string;
  readonly controllerHost: string;
  readonly claimedKeyId: string | undefined;
}

/** Judges the answer at `now`. */
export function judgeAnswer(
  answer: OpenedAnswer,
  context: AnswerContext,
  now: Millis,
): AnswerJudgement {
  const domain = parseSipUri(context.aor).host;
  if (!isSignedByDomain(answer.signer, domain, context.controllerHost))
    return refused("it is signed by another server than our domain's");
  const echo = echoFault(answer.rows, context.request, context.response, now);
  if (typeof echo === "string") return refused(echo);
  const grantedS = grantedSeconds(answer.rows, context.contact);
  if (context.removal)
    return grantedS === undefined ? { kind: "removed" } : refused("the location is still there");
  if (grantedS === undefined) return refused("it does not list our location");
  const fault = certificateFault(answer.certificate, context, now);
  if (fault !== undefined) return refused(fault);
  const grantedMs = grantedS * 1000;
  return { kind: "granted", grantedMs, expiresAt: echo.date + grantedMs };
}

/**
 * True for a certificate that speaks for the domain (RFC 5922 §7.1), or for `host`, the controller
 * that our own configuration names.
 */
export function isSignedByDomain(signer: AnswerSigner, domain: string, host?: string): boolean {
  const wanted = domain.toLowerCase();
  const names = signer.dnsNames.map((name) => name.toLowerCase());
  return (
    signer.uris.some((uri) => uri.toLowerCase() === `sip:${wanted}`) ||
    names.includes(wanted) ||
    (host !== undefined && names.includes(host.toLowerCase()))
  );
}

/** What differs from the question, or the Date that answers it. */
export function echoFault(
  rows: SipfragRows,
  request: SipRequest,
  response: SipResponse,
  now: Millis,
): string | { readonly date: Millis } {
  if (rowOf(rows, "Call-ID") !== headerValue(request, "Call-ID"))
    return "it belongs to another Call-ID";
  if (cseqOf(rowOf(rows, "CSeq")) !== cseqOf(headerValue(request, "CSeq")))
    return "it belongs to another CSeq";
  const [inside, outside] = [rowOf(rows, "Date"), headerValue(response, "Date")];
  const date = readDate(inside);
  if (date === undefined) return "it holds no Date";
  if (outside !== undefined && outside !== inside) return "its Date is not the one outside";
  if (Math.abs(date - now) > MAX_ANSWER_SKEW_MS)
    return "its Date is more than five minutes from our clock";
  return { date };
}

/** Seconds that the signed rows grant our contact; undefined if it is not listed. */
function grantedSeconds(rows: SipfragRows, contact: string): number | undefined {
  for (const value of rowsOf(rows, "Contact")) {
    const own = readContact(value);
    if (own?.uri !== contact) continue;
    const seconds = own.expires ?? rowOf(rows, "Expires") ?? "";
    if (/^\d{1,9}$/.test(seconds) && Number(seconds) > 0) return Number(seconds);
  }
  return undefined;
}

function certificateFault(
  certificate: GrantedCertificate | undefined,
  { claimedKeyId, aor }: AnswerContext,
  now: Millis,
): string | undefined {
  if (claimedKeyId === undefined) return undefined;
  if (certificate === undefined) return "it holds no certificate";
  if (certificate.keyId !== claimedKeyId) return "its certificate is not for our key";
  if (!certificate.uris.some((uri) => isSameUser(uri, aor)))
    return "its certificate is somebody else's";
  const { notBefore, notAfter } = certificate;
  const isValid = notBefore - MAX_ANSWER_SKEW_MS <= now && now < notAfter + MAX_ANSWER_SKEW_MS;
  return isValid ? undefined : "its certificate is not valid now";
}

const refused = (reason: string): AnswerJudgement => ({ kind: "refused", reason });

const rowsOf = (rows: SipfragRows, name: string): readonly string[] =>
  rows
    .filter(([each]) => canonicalName(each) === canonicalName(name))
    .map(([, value]) => value.trim());

/** The one row of that name; of two, two readers might believe two things. */
function rowOf(rows: SipfragRows, name: string): string | undefined {
  const [value, ...more] = rowsOf(rows, name);
  return more.length === 0 ? value : undefined;
}

function cseqOf(value: string | undefined): string | undefined {
  const cseq = tried(() => parseCSeq(value ?? ""));
  return cseq === undefined ? undefined : `${cseq.number} ${cseq.method}`;
}

const readDate = (value: string | undefined): Millis | undefined =>
  value === undefined ? undefined : tried(() => parseSipDate(value));

function readContact(value: string): { uri: string; expires: string | undefined } | undefined {
  return tried(() => {
    const { uri, params } = parseNameAddr(value);
    return { uri, expires: findParam(params, "expires")?.value };
  });
}

/** What can be read, or undefined. */
export function tried<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return undefined;
  }
}
