/**
 * What becomes of a message that cannot be read, and what its sender is told if the message still
 * shows where it came from (RFC 3261 §8.2, §21.4.1). Pure.
 */
import type { ProtocolError } from "../errors.ts";
import { createResponse } from "./create-response.ts";
import { isNamed } from "./header-name.ts";
import type { SipResponse } from "./message.ts";
import type { MessageHead } from "./parse-message.ts";

/** A message that cannot be read. After a `fatal` one the stream has no more to give. */
export interface Malformed {
  readonly kind: "malformed";
  readonly error: ProtocolError;
  /** What a request that still shows where it came from is told. */
  readonly answer?: SipResponse;
  readonly fatal: boolean;
}

/** `head` is what could be read of the message, if anything. */
export function malformed(
  error: ProtocolError,
  head: MessageHead | undefined,
  fatal: boolean,
): Malformed {
  const answer = head === undefined ? undefined : answerTo(head, error);
  return { kind: "malformed", error, fatal, ...(answer === undefined ? {} : { answer }) };
}

const STATUS: Readonly<Record<string, number>> = { ERR_SIP_VERSION: 505, ERR_SIP_LIMIT: 513 };

/** Responses and ACKs are never answered, nor is what names no Via to answer to. */
function answerTo(head: MessageHead, error: ProtocolError): SipResponse | undefined {
  if (/^(?:SIP\/|ACK )/i.test(head.startLine)) return undefined;
  const answer = createResponse(head, STATUS[error.code] ?? 400);
  return answer.headers.some(({ name }) => isNamed(name, "via")) ? answer : undefined;
}
