/**
 * How long a request will be on the wire, near enough to choose a transport by (RFC 3261 §18.1.1).
 * Pure.
 */
import type { SipRequest } from "../../protocol/sip/message.ts";

/** Above it a request goes over TCP, since it would be cut on its way. */
const MAX_DATAGRAM_REQUEST_BYTES = 1300;

/** Via and two Record-Routes of ours, in round numbers. */
const ADDED_BYTES = 300;
/** Colon, space and CRLF. */
const ROW_BYTES = 4;

/** True for one that is too long for a datagram once it has left here. */
export const isTooLong = (request: SipRequest): boolean =>
  bytesOf(request) > MAX_DATAGRAM_REQUEST_BYTES - ADDED_BYTES;

function bytesOf({ method, uri, headers, body }: SipRequest): number {
  let bytes = method.length + uri.length + 12 + body.length;
  for (const { name, value } of headers) bytes += name.length + value.length + ROW_BYTES;
  return bytes;
}
