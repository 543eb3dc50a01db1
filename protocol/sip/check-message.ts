/**
 * Whether a message that could be split into rows is one that SIP can work with: the fields every
 * message must have, each once, each readable (RFC 3261 §8.1.1, §16.3 item 1, §18.1.2). Pure.
 */
import { isProtocolError, ProtocolError } from "../errors.ts";
import { messageCSeq } from "./cseq.ts";
import { canonicalName } from "./header-name.ts";
import { headerValue, headerValues, type SipMessage } from "./message.ts";
import { messageAddress, parseNameAddr } from "./name-addr.ts";
import { isSipScheme, parseSipUri, uriScheme } from "./uri.ts";
import { parseVia } from "./via.ts";

/** Via may come often, the others once. */
const REQUIRED = ["via", "from", "to", "call-id", "cseq"];
const OPTIONAL = ["max-forwards", "content-type", "date", "expires"];
const BITS: ReadonlyMap<string, number> = new Map(
  [...REQUIRED, ...OPTIONAL].map((name, index) => [name, 1 << index]),
);
const VIA = 1;
const MUST = (1 << REQUIRED.length) - 1;
const CALL_ID = /^[\w\-.!%*+'`~()<>:\\"/[\]?{}]+(?:@[\w\-.!%*+'`~()<>:\\"/[\]?{}]+)?$/;
const MAX_HOPS = 255; // RFC 3261 §20.22

/**
 * The fault that makes a message unusable, or undefined. A request with a fault gets 400, a
 * response is dropped. Max-Forwards and the From tag may be missing, as in RFC 2543.
 */
export function messageFault(message: SipMessage): ProtocolError | undefined {
  try {
    checkMessage(message);
    return undefined;
  } catch (error) {
    if (isProtocolError(error)) return error;
    throw error;
  }
}

function checkMessage(message: SipMessage): void {
  checkCounts(message);
  if (!CALL_ID.test(headerValue(message, "Call-ID") ?? "")) fail("Call-ID");
  headerValues(message, "Via").forEach(parseVia);
  messageAddress(message, "From");
  messageAddress(message, "To");
  checkContacts(message);
  for (const name of ["Route", "Record-Route"]) headerValues(message, name).forEach(parseNameAddr);
  const { method } = messageCSeq(message);
  if (message.kind === "response") return;
  if (method !== message.method) fail("CSeq names another method");
  checkRequestUri(message.uri);
  const hops = headerValue(message, "Max-Forwards") ?? "70";
  if (!/^\d+$/.test(hops) || Number(hops) > MAX_HOPS) fail("Max-Forwards");
}

/** Each field that must be there is, and none that may come once comes twice. */
function checkCounts({ headers }: SipMessage): void {
  let seen = 0;
  for (const { name, value } of headers) {
    const canonical = canonicalName(name);
    const bit = BITS.get(canonical);
    if (bit === undefined || (bit === VIA && value === "")) continue;
    if ((seen & bit & ~VIA) !== 0) fail(`${canonical} more than once`);
    seen |= bit;
  }
  if ((seen & MUST) !== MUST) fail("a field that every message has is missing");
}

function checkContacts(message: SipMessage): void {
  const contacts = headerValues(message, "Contact");
  if (contacts.length === 1 && contacts[0] === "*") return;
  contacts.forEach(parseNameAddr);
}

/** Other schemes than SIP's pass here: they are refused with 416, not 400. */
function checkRequestUri(uri: string): void {
  if (!isSipScheme(uri)) uriScheme(uri);
  else if (parseSipUri(uri).headers !== undefined) fail("Request-URI with headers");
}

function fail(what: string): never {
  throw new ProtocolError("ERR_SIP_SYNTAX", what);
}
