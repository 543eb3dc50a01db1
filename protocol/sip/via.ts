/**
 * Via: the way a response goes back (RFC 3261 §20.42, RFC 3581). Pure.
 */
import { ProtocolError } from "../errors.ts";
import {
  findParam,
  isHost,
  type Param,
  parseParams,
  parsePort,
  serializeParams,
} from "./grammar.ts";
import { firstValue, type SipMessage } from "./message.ts";
import { serializeHostPort } from "./uri.ts";

export interface Via {
  /** `UDP`, `TCP`, `TLS` and so on, in upper case. */
  readonly transport: string;
  /** sent-by, IPv6 without its brackets. */
  readonly host: string;
  readonly port?: number;
  readonly params: readonly Param[];
}

/** Begins every branch made by RFC 3261 (§8.1.1.7). */
export const MAGIC_COOKIE = "z9hG4bK";

const VIA =
  /^SIP[ \t]*\/[ \t]*2\.0[ \t]*\/[ \t]*([\w\-.!%*+`'~]+)[ \t]+(\[[^\]]*\]|[^\s:;[\]]+)[ \t]*(?::[ \t]*(\d+)[ \t]*)?(;.*)?$/is;

/**
 * Parses one Via value.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export function parseVia(text: string): Via {
  const match = VIA.exec(text.trim());
  if (match === null) throw new ProtocolError("ERR_SIP_SYNTAX", "not a Via");
  const [, transport = "", host = "", port, params = ""] = match;
  if (!isHost(host)) throw new ProtocolError("ERR_SIP_SYNTAX", "sent-by of a Via");
  return {
    transport: transport.toUpperCase(),
    host: host.startsWith("[") ? host.slice(1, -1) : host,
    ...(port === undefined ? {} : { port: parsePort(port) }),
    params: parseParams(params),
  };
}

export const serializeVia = ({ transport, host, port, params }: Via): string =>
  `SIP/2.0/${transport} ${serializeHostPort(host, port)}${serializeParams(params)}`;

/**
 * The topmost Via.
 * @throws ProtocolError `ERR_SIP_SYNTAX` when there is none or it is unreadable.
 */
export function topVia(message: SipMessage): Via {
  const value = firstValue(message, "Via");
  if (value === undefined) throw new ProtocolError("ERR_SIP_SYNTAX", "Via is missing");
  return parseVia(value);
}

/** The branch, if it begins with the cookie and has more: only then does it name a transaction. */
export function viaBranch(via: Via): string | undefined {
  const branch = findParam(via.params, "branch")?.value;
  const cookie = branch?.slice(0, MAGIC_COOKIE.length).toLowerCase();
  return cookie === MAGIC_COOKIE.toLowerCase() && branch !== undefined && branch.length > 7
    ? branch
    : undefined;
}
