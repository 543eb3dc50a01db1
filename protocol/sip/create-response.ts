/**
 * Responses made here, and the ones made for requests that cannot be read (RFC 3261 §8.2.6). Pure.
 */
import { findParam } from "./grammar.ts";
import { isNamed } from "./header-name.ts";
import {
  type HeaderRow,
  headerRows,
  NO_BODY,
  type SipRequest,
  type SipResponse,
} from "./message.ts";
import { parseNameAddr } from "./name-addr.ts";

/** Reason phrases (RFC 3261 §21 and the IANA registry); a proxy matches numbers only. */
const REASONS: Readonly<Record<number, string>> = {
  100: "Trying",
  180: "Ringing",
  181: "Call Is Being Forwarded",
  182: "Queued",
  183: "Session Progress",
  200: "OK",
  202: "Accepted",
  302: "Moved Temporarily",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  413: "Request Entity Too Large",
  415: "Unsupported Media Type",
  416: "Unsupported URI Scheme",
  420: "Bad Extension",
  421: "Extension Required",
  422: "Session Interval Too Small",
  423: "Interval Too Brief",
  430: "Flow Failed",
  480: "Temporarily Unavailable",
  481: "Call/Transaction Does Not Exist",
  482: "Loop Detected",
  483: "Too Many Hops",
  486: "Busy Here",
  487: "Request Terminated",
  488: "Not Acceptable Here",
  489: "Bad Event",
  491: "Request Pending",
  493: "Undecipherable",
  494: "Security Agreement Required",
  495: "Signature Required",
  496: "Proxy Undecipherable",
  500: "Server Internal Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Server Time-out",
  505: "Version Not Supported",
  513: "Message Too Large",
  600: "Busy Everywhere",
  603: "Decline",
  606: "Not Acceptable",
};

export const reasonPhrase = (status: number): string => REASONS[status] ?? "Unknown";

export interface ResponseParts {
  /** Added to To unless the request's To has a tag or the status is 100. */
  readonly toTag?: string;
  readonly reason?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: Uint8Array;
}

/** By canonical name, in the order in which they are written. */
const COPIED = ["via", "from", "to", "call-id", "cseq"] as const;

/** A response to a request: Via, From, To, Call-ID and CSeq are the request's own rows. */
export function createResponse(
  request: Pick<SipRequest, "headers">,
  status: number,
  parts: ResponseParts = {},
): SipResponse {
  const { toTag, reason = reasonPhrase(status), headers: added = [], body } = parts;
  const headers: HeaderRow[] = [];
  for (const name of COPIED)
    for (const row of request.headers)
      if (isNamed(row.name, name))
        headers.push(
          name === "to" && toTag !== undefined && status !== 100 ? withToTag(row, toTag) : row,
        );
  if (status === 100) headers.push(...headerRows(request, "Timestamp"));
  for (const [name, value] of added) headers.push({ name, value });
  return {
    kind: "response",
    status,
    reason,
    headers,
    body: body === undefined ? NO_BODY : Buffer.from(body),
  };
}

/** Adds a To tag to a readable To without one. */
const withToTag = (row: HeaderRow, tag: string): HeaderRow =>
  hasTag(row.value) ? row : { name: row.name, value: `${row.value};tag=${tag}` };

function hasTag(value: string): boolean {
  try {
    return findParam(parseNameAddr(value).params, "tag") !== undefined;
  } catch {
    return true;
  }
}
