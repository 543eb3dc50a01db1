/**
 * What is wrong with a 200 to REGISTER whose signature and chain are good, and what it grants.
 * Pure. The rows inside count; those outside anybody on the path may have written.
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import type { Millis } from "../../protocol/machine.ts";
import { findParam } from "../../protocol/sip/grammar.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { parseSipUri } from "../../protocol/sip/uri.ts";
import {
  type AnswerSigner,
  echoFault,
  isSignedByDomain,
  MAX_ANSWER_SKEW_MS,
  rowOf,
  rowsOf,
  tried,
} from "./signed-answer.ts";
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

function readContact(value: string): { uri: string; expires: string | undefined } | undefined {
  return tried(() => {
    const { uri, params } = parseNameAddr(value);
    return { uri, expires: findParam(params, "expires")?.value };
  });
}
