/**
 * Names of header fields: any spelling to the one they are compared by (RFC 3261 §7.3.1, §7.3.3).
 * Pure. Spellings that everybody uses are found in a table; others are lowered when asked.
 */
import { isToken } from "./grammar.ts";

/** Compact forms (RFC 3261 §7.3.3 and the IANA registry). */
const COMPACT: Readonly<Record<string, string>> = {
  a: "Accept-Contact",
  b: "Referred-By",
  c: "Content-Type",
  d: "Request-Disposition",
  e: "Content-Encoding",
  f: "From",
  i: "Call-ID",
  j: "Reject-Contact",
  k: "Supported",
  l: "Content-Length",
  m: "Contact",
  n: "Identity-Info",
  o: "Event",
  r: "Refer-To",
  s: "Subject",
  t: "To",
  u: "Allow-Events",
  v: "Via",
  x: "Session-Expires",
  y: "Identity",
};

/** Fields whose grammar is a comma list (RFC 3261 §7.3.1, §20); all others are one value a row. */
const LISTS = [
  "Accept",
  "Accept-Contact",
  "Accept-Encoding",
  "Accept-Language",
  "Alert-Info",
  "Allow",
  "Allow-Events",
  "Call-Info",
  "Contact",
  "Content-Encoding",
  "Content-Language",
  "Diversion",
  "Error-Info",
  "History-Info",
  "In-Reply-To",
  "P-Asserted-Identity",
  "P-Preferred-Identity",
  "Path",
  "Proxy-Require",
  "Reason",
  "Record-Route",
  "Reject-Contact",
  "Require",
  "Route",
  "Service-Route",
  "Supported",
  "Unsupported",
  "Via",
  "Warning",
] as const;

/** Other fields seen daily; a name missing here costs time, nothing else. */
const OTHERS = [
  "Authorization",
  "Content-Disposition",
  "Content-ID",
  "CSeq",
  "Date",
  "Expires",
  "Flow-Timer",
  "Max-Breadth",
  "Max-Forwards",
  "Min-Expires",
  "Min-SE",
  "Organization",
  "Privacy",
  "Proxy-Authenticate",
  "Proxy-Authorization",
  "Proxy-Inspect-Body",
  "RAck",
  "Replaces",
  "Retry-After",
  "RSeq",
  "Server",
  "Timestamp",
  "User-Agent",
  "WWW-Authenticate",
] as const;

interface KnownName {
  /** As spelt, one string for all messages. */
  readonly spelling: string;
  readonly canonical: string;
}

const KNOWN: ReadonlyMap<string, KnownName> = new Map(
  [...Object.entries(COMPACT).map(([, name]) => name), ...LISTS, ...OTHERS]
    .flatMap((name) => [name, name.toLowerCase(), name.toUpperCase()])
    .map((spelling): [string, string] => [spelling, spelling.toLowerCase()])
    .concat(
      Object.entries(COMPACT).flatMap(([letter, name]): [string, string][] => [
        [letter, name.toLowerCase()],
        [letter.toUpperCase(), name.toLowerCase()],
      ]),
    )
    .map(([spelling, canonical]) => [spelling, { spelling, canonical }]),
);

const LIST_FIELDS: ReadonlySet<string> = new Set(LISTS.map((name) => name.toLowerCase()));

/** The field's full name in lower case. */
export function canonicalName(name: string): string {
  return KNOWN.get(name)?.canonical ?? name.toLowerCase();
}

/** Whether `name`, in any spelling, is the field `canonical`. */
export function isNamed(name: string, canonical: string): boolean {
  if (name.length !== 1) {
    if (name.length !== canonical.length) return false;
    if ((name.charCodeAt(0) | LOWER) !== (canonical.charCodeAt(0) | LOWER)) return false;
  }
  return name === canonical || canonicalName(name) === canonical;
}

/** Makes a letter's code its lower case one's. */
const LOWER = 0x20;

/** Whether the field of that canonical name holds a comma list. */
export const isListField = (canonical: string): boolean => LIST_FIELDS.has(canonical);

/** Whether text can name a field. */
export const isName = (text: string): boolean => KNOWN.has(text) || isToken(text);

/**
 * The spelling of the name that stands between two places of a text of octets, shared between
 * messages if well known; undefined for no token. What is well known is not even cut out.
 */
export function readName(text: string, from: number, end: number): string | undefined {
  if (end - from <= LONGEST)
    for (const spelling of ALIKE[alikeness(end - from, text.charCodeAt(from))] ?? [])
      if (text.startsWith(spelling, from)) return spelling;
  const name = text.slice(from, end);
  return isToken(name) ? name : undefined;
}

const LONGEST = Math.max(...[...KNOWN.keys()].map(({ length }) => length));

const alikeness = (length: number, first: number): number => length * 256 + first;

/** Well-known spellings by length and first octet. */
const ALIKE: readonly (readonly string[])[] = Array.from(
  { length: alikeness(LONGEST + 1, 0) },
  (_, place) =>
    [...KNOWN.keys()].filter((name) => alikeness(name.length, name.charCodeAt(0)) === place),
);
