/**
 * Warning: why, in words for a person and a number for a program (RFC 3261 §20.43). Pure.
 */
import { ProtocolError } from "../errors.ts";
import { isHost, isToken, quote, unquote } from "./grammar.ts";

export interface Warning {
  /** Three digits; 399 is miscellaneous, 380 asks for a body to be readable by a proxy. */
  readonly code: number;
  /** Who warns: a host, with or without port, or a pseudonym. */
  readonly agent: string;
  readonly text: string;
}

/** "Required to View Content-Type" (draft-ietf-sip-e2m-sec-06 §4.1). */
export const WARN_REQUIRED_TO_VIEW = 380;
export const WARN_MISCELLANEOUS = 399;
const MIN_CODE = 100;

/**
 * Parses one Warning value.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export function parseWarning(value: string): Warning {
  const [, code = "", agent = "", text = ""] =
    /^(\d{3}) +([^\s"]+) +("(?:[^"\\]|\\.)*")$/s.exec(value.trim()) ?? [];
  if (Number(code) < MIN_CODE || !isAgent(agent))
    throw new ProtocolError("ERR_SIP_SYNTAX", "Warning");
  return { code: Number(code), agent, text: unquote(text) };
}

/**
 * Writes one Warning value.
 * @throws TypeError unless the code has three digits and the agent is a host or a token.
 */
export function serializeWarning({ code, agent, text }: Warning): string {
  if (!Number.isInteger(code) || code < MIN_CODE || code > 999 || !isAgent(agent))
    throw new TypeError("Warning");
  return `${code} ${agent} ${quote(text)}`;
}

/** A token, or a host with or without port. */
const isAgent = (text: string): boolean => isToken(text) || isHost(text.replace(/:\d{1,5}$/, ""));
