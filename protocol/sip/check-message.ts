/**
 * Whether a message that could be split into rows is one that SIP can work with: the fields every
 * message must have, each once, each readable (RFC 3261 §8.1.1, §16.3 item 1, §18.1.2). Pure.
 */
import { isProtocolError, ProtocolError } from "../errors.ts";
import { parseCSeq } from "./cseq.ts";
import { headerRows, headerValue, headerValues, type SipMessage } from "./message.ts";
import { messageAddress, parseNameAddr } from "./name-addr.ts";
import { parseSipUri, uriScheme } from "./uri.ts";
import { parseVia } from "./via.ts";

const REQUIRED = ["From", "To", "Call-ID", "CSeq"] as const;
const SINGLE = [...REQUIRED, "Max-Forwards", "Content-Type", "Date", "Expires"] as const;
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
  for (const name of REQUIRED)
    if (headerRows(message, name).length === 0) fail(`${name} is missing`);
  for (const name of SINGLE)
    if (headerRows(message, name).length > 1) fail(`${name} more than once`);
  if (!CALL_ID.test(headerValue(message, "Call-ID") ?? "")) fail("Call-ID");
  const vias = headerValues(message, "Via");
  if (vias.length === 0) fail("Via is missing");
  vias.forEach(parseVia);
  messageAddress(message, "From");
  messageAddress(message, "To");
  checkContacts(message);
  for (const name of ["Route", "Record-Route"]) headerValues(message, name).forEach(parseNameAddr);
  const { method } = parseCSeq(headerValue(message, "CSeq") ?? "");
  if (message.kind === "response") return;
  if (method !== message.method) fail("CSeq names another method");
  checkRequestUri(message.uri);
  const hops = headerValue(message, "Max-Forwards") ?? "70";
  if (!/^\d+$/.test(hops) || Number(hops) > MAX_HOPS) fail("Max-Forwards");
}

function checkContacts(message: SipMessage): void {
  const contacts = headerValues(message, "Contact");
  if (contacts.length === 1 && contacts[0] === "*") return;
  contacts.forEach(parseNameAddr);
}

/** Other schemes than SIP's pass here: they are refused with 416, not 400. */
function checkRequestUri(uri: string): void {
  const scheme = uriScheme(uri);
  if (scheme !== "sip" && scheme !== "sips") return;
  if (parseSipUri(uri).headers !== undefined) fail("Request-URI with headers");
}

function fail(what: string): never {
  throw new ProtocolError("ERR_SIP_SYNTAX", what);
}
