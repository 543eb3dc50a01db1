/**
 * Session-Expires and Min-SE (RFC 4028 §4, §5, §9). Pure.
 */
import { ProtocolError } from "../errors.ts";
import { type Param, parseParams, serializeParams, trimLws } from "./grammar.ts";
import { headerValue, headerValues, type SipMessage } from "./message.ts";

export interface SessionExpires {
  readonly intervalS: number;
  /** `refresher` among them. */
  readonly params: readonly Param[];
}

/** No interval may be shorter (§4). */
export const MIN_INTERVAL_S = 90;
const MAX_INTERVAL_S = 2 ** 32 - 1; // RFC 3261 §20.19
const INTERVAL = /^(\d{1,10})[ \t]*(;.*)?$/;

/**
 * The Session-Expires of a message; undefined if it has none.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export function sessionExpires(message: SipMessage): SessionExpires | undefined {
  const value = headerValue(message, "Session-Expires");
  return value === undefined ? undefined : parseInterval(value);
}

/**
 * The Min-SE of a message, in seconds; undefined if it has none.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export function minSe(message: SipMessage): number | undefined {
  const value = headerValue(message, "Min-SE");
  return value === undefined ? undefined : parseInterval(value).intervalS;
}

export const serializeSessionExpires = ({ intervalS, params }: SessionExpires): string =>
  `${intervalS}${serializeParams(params)}`;

/** Whether the sender speaks session timers (§3, option tag `timer`). */
export const supportsTimer = (message: SipMessage): boolean =>
  [...headerValues(message, "Supported"), ...headerValues(message, "Require")].some(
    (tag) => tag.toLowerCase() === "timer",
  );

function parseInterval(text: string): SessionExpires {
  const [, seconds, params = ""] = INTERVAL.exec(trimLws(text)) ?? [];
  if (seconds === undefined || Number(seconds) > MAX_INTERVAL_S)
    throw new ProtocolError("ERR_SIP_SYNTAX", "not a session interval");
  return { intervalS: Number(seconds), params: parseParams(params) };
}
