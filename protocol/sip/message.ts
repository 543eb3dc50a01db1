/**
 * SIP messages as values (RFC 3261 §7). Pure.
 * Header text holds one octet a character (latin1), so that what is forwarded is what was
 * received; text of our own beyond ASCII goes through `octetText` first. Bodies are octets.
 */
import { splitOutside } from "./grammar.ts";

export interface HeaderRow {
  /** As received: `Via`, `via` and `v` are all possible. Lookups expand and ignore case. */
  readonly name: string;
  /** Unfolded and trimmed. */
  readonly value: string;
  /** The row's own octets without the final CRLF, where they differ from `name: value`. */
  readonly wire?: string;
}

export interface SipRequest {
  readonly kind: "request";
  readonly method: string;
  readonly uri: string;
  readonly headers: readonly HeaderRow[];
  readonly body: Buffer;
}

export interface SipResponse {
  readonly kind: "response";
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly HeaderRow[];
  readonly body: Buffer;
}

export type SipMessage = SipRequest | SipResponse;

/** Compact forms (RFC 3261 §7.3.3 and the IANA registry). */
const COMPACT: Readonly<Record<string, string>> = {
  a: "accept-contact",
  b: "referred-by",
  c: "content-type",
  d: "request-disposition",
  e: "content-encoding",
  f: "from",
  i: "call-id",
  j: "reject-contact",
  k: "supported",
  l: "content-length",
  m: "contact",
  n: "identity-info",
  o: "event",
  r: "refer-to",
  s: "subject",
  t: "to",
  u: "allow-events",
  v: "via",
  x: "session-expires",
  y: "identity",
};

/** Fields whose grammar is a comma list (RFC 3261 §7.3.1, §20); all others are one value a row. */
const LISTS: ReadonlySet<string> = new Set([
  "accept",
  "accept-contact",
  "accept-encoding",
  "accept-language",
  "alert-info",
  "allow",
  "allow-events",
  "call-info",
  "contact",
  "content-encoding",
  "content-language",
  "diversion",
  "error-info",
  "history-info",
  "in-reply-to",
  "p-asserted-identity",
  "path",
  "proxy-require",
  "reason",
  "record-route",
  "reject-contact",
  "require",
  "route",
  "service-route",
  "supported",
  "unsupported",
  "via",
  "warning",
]);

/** The field's full name in lower case. */
export function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  return lower.length === 1 ? (COMPACT[lower] ?? lower) : lower;
}

/** Characters beyond ASCII as their UTF-8 octets, one a character, as header text wants them. */
export const octetText = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

/** All rows of a field, in order. */
export function headerRows(message: Pick<SipMessage, "headers">, name: string): HeaderRow[] {
  const wanted = canonicalName(name);
  return message.headers.filter((row) => canonicalName(row.name) === wanted);
}

/** The value of the first row, whole (a comma list is not split). */
export const headerValue = (
  message: Pick<SipMessage, "headers">,
  name: string,
): string | undefined => headerRows(message, name)[0]?.value;

/** Every value in order; comma lists are split where the field's grammar is a list. */
export function headerValues(message: Pick<SipMessage, "headers">, name: string): string[] {
  const values = headerRows(message, name).map((row) => row.value);
  if (!LISTS.has(canonicalName(name))) return values;
  return values.flatMap((value) => (value === "" ? [] : splitOutside(value, ",")));
}

/** The first of `headerValues`: the topmost Via, Route and so on. */
export const firstValue = (
  message: Pick<SipMessage, "headers">,
  name: string,
): string | undefined => headerValues(message, name)[0];

/** One row in place of all rows of that field, where the first stood, or at the end. */
export function withHeader<M extends SipMessage>(message: M, name: string, value: string): M {
  return withValues(message, name, [value]);
}

/** One row for each value in place of all rows of that field, where the first stood, or at the end. */
export function withValues<M extends SipMessage>(
  message: M,
  name: string,
  values: readonly string[],
): M {
  const wanted = canonicalName(name);
  const rows = values.map((value) => ({ name, value }));
  const first = message.headers.findIndex((row) => canonicalName(row.name) === wanted);
  const rest = message.headers.filter((row) => canonicalName(row.name) !== wanted);
  const at = first < 0 ? rest.length : first;
  return { ...message, headers: [...rest.slice(0, at), ...rows, ...rest.slice(at)] };
}

/** The message without any row of that field. */
export function withoutHeader<M extends SipMessage>(message: M, name: string): M {
  const wanted = canonicalName(name);
  return {
    ...message,
    headers: message.headers.filter((row) => canonicalName(row.name) !== wanted),
  };
}

/**
 * One more row before the first of that field; without one, after the last Via, and a Via before
 * everything.
 */
export function prependHeader<M extends SipMessage>(message: M, name: string, value: string): M {
  const wanted = canonicalName(name);
  const names = message.headers.map((row) => canonicalName(row.name));
  const first = names.indexOf(wanted);
  const afterVia = wanted === "via" ? 0 : names.lastIndexOf("via") + 1;
  const at = first < 0 ? afterVia : first;
  const headers = [...message.headers.slice(0, at), { name, value }, ...message.headers.slice(at)];
  return { ...message, headers };
}

/** One more row at the end. */
export function appendHeader<M extends SipMessage>(message: M, name: string, value: string): M {
  return { ...message, headers: [...message.headers, { name, value }] };
}

/**
 * Replaces the first value of a list field (`undefined` removes it); later values keep their
 * octets unless they shared its row.
 */
export function withFirstValue<M extends SipMessage>(
  message: M,
  name: string,
  value: string | undefined,
): M {
  const wanted = canonicalName(name);
  const at = message.headers.findIndex(
    (row) => canonicalName(row.name) === wanted && row.value !== "",
  );
  const row = message.headers[at];
  if (row === undefined) return message;
  const [, ...others] = splitOutside(row.value, ",");
  const values = value === undefined ? others : [value, ...others];
  const kept = values.length === 0 ? [] : [{ name: row.name, value: values.join(", ") }];
  return {
    ...message,
    headers: [...message.headers.slice(0, at), ...kept, ...message.headers.slice(at + 1)],
  };
}

/** The message with another body; Content-Length follows when it is serialised. */
export const withBody = <M extends SipMessage>(message: M, body: Uint8Array): M => ({
  ...message,
  body: Buffer.from(body),
});
