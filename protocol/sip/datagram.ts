/**
 * What one datagram holds (RFC 3261 §18.3; keep-alives of RFC 5626 §3.5). Pure.
 * Octets beyond Content-Length are not part of the message; a datagram that ends before them is
 * refused.
 */
import { isProtocolError } from "../errors.ts";
import { type Malformed, malformed } from "./malformed.ts";
import type { SipMessage } from "./message.ts";
import { type MessageHead, parseHead, parseMessage } from "./parse-message.ts";

/** Something that is no message but keeps a NAT's binding alive; nobody waits for an answer. */
export interface Ping {
  readonly kind: "keepalive";
}

const HEAD_END = Buffer.from("\r\n\r\n");
const PING: Ping = { kind: "keepalive" };
/** Phones send CRLF CRLF, one CRLF, or an octet of zero. */
const MAX_PING_BYTES = 4;
const [NUL, LF, CR] = [0x00, 0x0a, 0x0d];

/** Reads a datagram; never throws for what a peer sent. */
export function readDatagram(octets: Uint8Array): SipMessage | Ping | Malformed {
  if (octets.length <= MAX_PING_BYTES && octets.every(isPingOctet)) return PING;
  try {
    return parseMessage(octets);
  } catch (error) {
    if (!isProtocolError(error)) throw error;
    return malformed(error, readableHead(octets), false);
  }
}

const isPingOctet = (octet: number): boolean => octet === CR || octet === LF || octet === NUL;

/** The head on its own, for the answer; undefined if that cannot be read either. */
function readableHead(octets: Uint8Array): MessageHead | undefined {
  const input = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
  const end = input.indexOf(HEAD_END);
  if (end < 0) return undefined;
  try {
    return parseHead(input.subarray(0, end));
  } catch (error) {
    if (isProtocolError(error)) return undefined;
    throw error;
  }
}
