/**
 * SIP messages as values (RFC 3261 §7). Pure.
 * Header text holds one octet a character (latin1), so that what is forwarded is what was
 * received; text of our own beyond ASCII goes through `octetText` first. Bodies are octets.
 */
import { splitOutside } from "./grammar.ts";
import { canonicalName, isListField, isNamed } from "./header-name.ts";

/** Of every message without a body. */
export const NO_BODY = Buffer.alloc(0);

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

/** Characters beyond ASCII as their UTF-8 octets, one a character, as header text wants them. */
export const octetText = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

/** All rows of a field, in order. */
export function headerRows(message: Pick<SipMessage, "headers">, name: string): HeaderRow[] {
  const wanted = canonicalName(name);
  const rows: HeaderRow[] = [];
  for (const row of message.headers) if (isNamed(row.name, wanted)) rows.push(row);
  return rows;
}

/** The value of the first row, whole (a comma list is not split). */
export function headerValue(
  message: Pick<SipMessage, "headers">,
  name: string,
): string | undefined {
  const wanted = canonicalName(name);
  for (const row of message.headers) if (isNamed(row.name, wanted)) return row.value;
  return undefined;
}

/** Every value in order; comma lists are split where the field's grammar is a list. */
export function headerValues(message: Pick<SipMessage, "headers">, name: string): string[] {
  const wanted = canonicalName(name);
  const isList = isListField(wanted);
  const values: string[] = [];
  for (const row of message.headers) {
    if (!isNamed(row.name, wanted)) continue;
    if (!isList) values.push(row.value);
    else if (row.value !== "") values.push(...splitOutside(row.value, ","));
  }
  return values;
}

/** The first of `headerValues`: the topmost Via, Route and so on. */
export function firstValue(message: Pick<SipMessage, "headers">, name: string): string | undefined {
  const wanted = canonicalName(name);
  const isList = isListField(wanted);
  for (const { name: each, value } of message.headers)
    if (isNamed(each, wanted)) {
      if (!isList) return value;
      if (value !== "") return splitOutside(value, ",")[0];
    }
  return undefined;
}

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
  const headers: HeaderRow[] = [];
  let first = -1;
  for (const row of message.headers)
    if (!isNamed(row.name, wanted)) headers.push(row);
    else if (first < 0) first = headers.length;
  const at = first < 0 ? headers.length : first;
  headers.splice(at, 0, ...values.map((value) => ({ name, value })));
  return { ...message, headers };
}

/** The message without any row of that field. */
export function withoutHeader<M extends SipMessage>(message: M, name: string): M {
  const wanted = canonicalName(name);
  return { ...message, headers: message.headers.filter((row) => !isNamed(row.name, wanted)) };
}

/**
 * One more row before the first of that field; without one, after the last Via, and a Via before
 * everything.
 */
export function prependHeader<M extends SipMessage>(message: M, name: string, value: string): M {
  const wanted = canonicalName(name);
  const { headers } = message;
  const first = headers.findIndex((row) => isNamed(row.name, wanted));
  const afterVia =
    wanted === "via" ? 0 : headers.findLastIndex((row) => isNamed(row.name, "via")) + 1;
  return {
    ...message,
    headers: headers.toSpliced(first < 0 ? afterVia : first, 0, { name, value }),
  };
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
  const { headers } = message;
  const at = headers.findIndex((row) => row.value !== "" && isNamed(row.name, wanted));
  const row = headers[at];
  if (row === undefined) return message;
  const [, ...others] = splitOutside(row.value, ",");
  const values = value === undefined ? others : [value, ...others];
  const kept = values.length === 0 ? [] : [{ name: row.name, value: values.join(", ") }];
  return { ...message, headers: headers.toSpliced(at, 1, ...kept) };
}

/** The message with another body; Content-Length follows when it is serialised. */
export const withBody = <M extends SipMessage>(message: M, body: Uint8Array): M => ({
  ...message,
  body: Buffer.from(body),
});
