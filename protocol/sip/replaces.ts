/**
 * Replaces, and Refer-To that carries one: which dialog a new call takes the place of (RFC 3891,
 * RFC 3515 §2.1). Pure. What they name is a claim of the sender's; nothing is opened for it.
 */
import { ProtocolError } from "../errors.ts";
import { parseParams, trimLws } from "./grammar.ts";
import { headerRows, type SipMessage, type SipRequest } from "./message.ts";
import { parseNameAddr } from "./name-addr.ts";
import { isSipScheme, parseSipUri, serializeSipUri, unescapeUri } from "./uri.ts";

/** A dialog as the device sees it that is to give it up: `toTag` is its own (RFC 3891 §3). */
export interface Replaces {
  readonly callId: string;
  readonly toTag: string;
  readonly fromTag: string;
  /** Only while the dialog is early. */
  readonly earlyOnly: boolean;
}

/**
 * Parses a value of Replaces.
 * @throws ProtocolError `ERR_SIP_SYNTAX`, also unless each tag comes once.
 */
export function parseReplaces(value: string): Replaces {
  const semicolon = value.indexOf(";");
  const callId = trimLws(semicolon < 0 ? value : value.slice(0, semicolon));
  const params = parseParams(semicolon < 0 ? "" : value.slice(semicolon));
  const of = (name: string) => params.filter((param) => param.name.toLowerCase() === name);
  const [toTags, fromTags] = [of("to-tag"), of("from-tag")];
  const [toTag, fromTag] = [toTags[0]?.value, fromTags[0]?.value];
  if (callId === "" || /\s/.test(callId) || toTag === undefined || fromTag === undefined) fail();
  if (toTags.length > 1 || fromTags.length > 1) fail();
  return { callId, toTag, fromTag, earlyOnly: of("early-only").length > 0 };
}

/**
 * The dialog that an INVITE replaces; undefined if it replaces none.
 * @throws ProtocolError `ERR_SIP_SYNTAX`, also for two rows (RFC 3891 §3: 400).
 */
export function requestReplaces(request: SipRequest): Replaces | undefined {
  const [row, another] = headerRows(request, "Replaces");
  if (another !== undefined) fail();
  return row === undefined ? undefined : parseReplaces(row.value);
}

export interface ReferTarget {
  /** Without what follows `?`. */
  readonly uri: string;
  /** What the new call is to replace: an attended transfer. */
  readonly replaces?: Replaces;
}

/**
 * Where a REFER points; undefined without Refer-To.
 * @throws ProtocolError `ERR_SIP_SYNTAX`, also for two rows (RFC 3515 §2.4.1: 400).
 */
export function referTarget(message: SipMessage): ReferTarget | undefined {
  const [row, another] = headerRows(message, "Refer-To");
  if (another !== undefined) fail();
  if (row === undefined) return undefined;
  const { uri } = parseNameAddr(row.value);
  if (!isSipScheme(uri)) return { uri };
  const { headers, ...target } = parseSipUri(uri);
  const replaces = headers === undefined ? undefined : uriHeader(headers, "replaces");
  return {
    uri: serializeSipUri(target),
    ...(replaces === undefined ? {} : { replaces: parseReplaces(replaces) }),
  };
}

function uriHeader(headers: string, name: string): string | undefined {
  for (const header of headers.split("&")) {
    const equals = header.indexOf("=");
    const found = unescapeUri(equals < 0 ? header : header.slice(0, equals));
    if (found.toLowerCase() === name)
      return equals < 0 ? "" : unescapeUri(header.slice(equals + 1));
  }
  return undefined;
}

function fail(): never {
  throw new ProtocolError("ERR_SIP_SYNTAX", "Replaces or Refer-To");
}
