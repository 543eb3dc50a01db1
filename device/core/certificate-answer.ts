/**
 * What is wrong with the answer to a certificate query whose signature and chain are good, and the
 * certificates that it vouches for. Pure.
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import type { Millis } from "../../protocol/machine.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { parseSipUri } from "../../protocol/sip/uri.ts";
import type { GrantedCertificate } from "./registration-answer.ts";
import {
  type AnswerSigner,
  echoFault,
  isSignedByDomain,
  rowOf,
  rowsOf,
  tried,
} from "./signed-answer.ts";
import { isSameUser } from "./verified-fault.ts";

/** Signature and chain, to the anchors of the domain asked, were verified before this was made. */
export interface VerifiedCertificates {
  readonly rows: SipfragRows;
  readonly signer: AnswerSigner;
  readonly certificates: readonly GrantedCertificate[];
}

export interface FoundCertificate extends GrantedCertificate {
  /** When it goes out of service, by the answering server's clock. */
  readonly expiresAt: Millis;
}

export interface QueryContext {
  readonly request: SipRequest;
  readonly response: SipResponse;
  readonly aor: string;
  readonly target: string;
  readonly controllerHost?: string | undefined;
}

export type QueryJudgement =
  | { readonly kind: "good"; readonly certificates: readonly FoundCertificate[] }
  | { readonly kind: "refused"; readonly reason: string };

/** Judges the answer at `now`. */
export function judgeCertificates(
  answer: VerifiedCertificates,
  context: QueryContext,
  now: Millis,
): QueryJudgement {
  const { target, request, response } = context;
  const domain = parseSipUri(target).host;
  const isOwn = domain.toLowerCase() === parseSipUri(context.aor).host.toLowerCase();
  if (!isSignedByDomain(answer.signer, domain, isOwn ? context.controllerHost : undefined))
    return refused("it is signed by another server than that of the domain asked");
  const echo = echoFault(answer.rows, request, response, now);
  if (typeof echo === "string") return refused(echo);
  const to = rowOf(answer.rows, "To") ?? "";
  if (!isSameUser(tried(() => parseNameAddr(to).uri) ?? "", target))
    return refused("it is about somebody else");
  const certificates = answer.certificates
    .map((certificate, at) => found(certificate, answer.rows, at, echo.date))
    .filter((each) => isUsable(each, target, now));
  return certificates.length === 0
    ? refused("it holds no certificate that is the user's and valid now")
    : { kind: "good", certificates };
}

/** The rows hold one Expires for each certificate, in their order. */
function found(
  certificate: GrantedCertificate,
  rows: SipfragRows,
  at: number,
  date: Millis,
): FoundCertificate {
  const seconds = rowsOf(rows, "Expires")[at] ?? "";
  const expiresAt = /^\d{1,9}$/.test(seconds)
    ? date + Number(seconds) * 1000
    : certificate.notAfter;
  return { ...certificate, expiresAt: Math.min(expiresAt, certificate.notAfter) };
}

function isUsable(certificate: FoundCertificate, target: string, now: Millis): boolean {
  return (
    certificate.uris.some((uri) => isSameUser(uri, target)) &&
    certificate.notBefore <= now &&
    now <= certificate.expiresAt
  );
}

const refused = (reason: string): QueryJudgement => ({ kind: "refused", reason });
