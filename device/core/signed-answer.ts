/**
 * A signed answer's ties to its question and to the domain it speaks for (RFC 3261 §23.4, RFC 5922
 * §7.1). Pure. The signed rows count; what stands outside anybody on the path may have written.
 */
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import { isProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import { parseCSeq } from "../../protocol/sip/cseq.ts";
import { parseSipDate } from "../../protocol/sip/date.ts";
import { canonicalName } from "../../protocol/sip/header-name.ts";
import { headerValue, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";

/** The names that the signer's certificate holds. */
export interface AnswerSigner {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

/** How far the answering server's clock may be from ours. */
export const MAX_ANSWER_SKEW_MS = 300_000;

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

/** Values of every row of that name. */
export const rowsOf = (rows: SipfragRows, name: string): readonly string[] =>
  rows
    .filter(([each]) => canonicalName(each) === canonicalName(name))
    .map(([, value]) => value.trim());

/** The one row of that name; of two, two readers might believe two things. */
export function rowOf(rows: SipfragRows, name: string): string | undefined {
  const [value, ...more] = rowsOf(rows, name);
  return more.length === 0 ? value : undefined;
}

function cseqOf(value: string | undefined): string | undefined {
  const cseq = tried(() => parseCSeq(value ?? ""));
  return cseq === undefined ? undefined : `${cseq.number} ${cseq.method}`;
}

const readDate = (value: string | undefined): Millis | undefined =>
  value === undefined ? undefined : tried(() => parseSipDate(value));

/** What can be read, or undefined. */
export function tried<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return undefined;
  }
}
