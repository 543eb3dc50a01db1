/**
 * Reason: why a request was sent, or a call ended (RFC 3326). Pure.
 */
import { ProtocolError } from "../errors.ts";
import { findParam, isToken, parseParams, quote, trimLws, unquote } from "./grammar.ts";
import { headerValues, type SipMessage } from "./message.ts";

export interface Reason {
  /** `SIP`, `Q.850` or another, as received. */
  readonly protocol: string;
  readonly cause?: number;
  readonly text?: string;
}

/** A branch is cancelled because another was answered: no missed call (RFC 3326 §3.1). */
export const COMPLETED_ELSEWHERE: Reason = {
  protocol: "SIP",
  cause: 200,
  text: "Call completed elsewhere",
};

/**
 * Parses one value.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export function parseReason(value: string): Reason {
  const semicolon = value.indexOf(";");
  const protocol = trimLws(semicolon < 0 ? value : value.slice(0, semicolon));
  const params = semicolon < 0 ? [] : parseParams(value.slice(semicolon));
  const cause = findParam(params, "cause")?.value;
  const text = findParam(params, "text")?.value;
  if (!isToken(protocol) || (cause !== undefined && !/^\d{1,5}$/.test(cause)))
    throw new ProtocolError("ERR_SIP_SYNTAX", "Reason");
  return {
    protocol,
    ...(cause === undefined ? {} : { cause: Number(cause) }),
    ...(text === undefined ? {} : { text: unquote(text) }),
  };
}

/** Writes one value; `text` is one octet a character (`octetText`). */
export function serializeReason({ protocol, cause, text }: Reason): string {
  const why = cause === undefined ? "" : ` ;cause=${cause}`;
  return `${protocol}${why}${text === undefined ? "" : ` ;text=${quote(text)}`}`;
}

/**
 * The reasons of a message, in order.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export const messageReasons = (message: SipMessage): readonly Reason[] =>
  headerValues(message, "Reason").map(parseReason);
