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
  trimLws,
} from "./grammar.ts";
import { firstValue, type SipMessage } from "./message.ts";
import { remembering } from "./remember.ts";
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

const PROTOCOL = /^SIP[ \t]*\/[ \t]*2\.0[ \t]*\/[ \t]*([\w\-.!%*+`'~]+)[ \t]+/i;

/**
 * Parses one Via value.
 * @throws ProtocolError `ERR_SIP_SYNTAX`.
 */
export const parseVia: (text: string) => Via = remembering(readVia);

function readVia(text: string): Via {
  const [protocol, transport] = PROTOCOL.exec(text) ?? [];
  if (protocol === undefined || transport === undefined)
    throw new ProtocolError("ERR_SIP_SYNTAX", "not a Via");
  const semicolon = text.indexOf(";", protocol.length);
  const end = semicolon < 0 ? text.length : semicolon;
  const sentBy = trimLws(text.slice(protocol.length, end));
  const hostEnd = sentBy.startsWith("[") ? sentBy.indexOf("]") + 1 : sentBy.indexOf(":");
  const host = hostEnd < 0 ? sentBy : trimLws(sentBy.slice(0, hostEnd));
  const port = hostEnd < 0 ? "" : trimLws(sentBy.slice(hostEnd));
  if (!isHost(host)) throw new ProtocolError("ERR_SIP_SYNTAX", "sent-by of a Via");
  const via = {
    transport: transport.toUpperCase(),
    host: host.startsWith("[") ? host.slice(1, -1) : host,
    params: parseParams(text.slice(end)),
  };
  return port === "" ? via : { ...via, port: readPort(port) };
}

function readPort(text: string): number {
  if (!text.startsWith(":")) throw new ProtocolError("ERR_SIP_SYNTAX", "sent-by of a Via");
  return parsePort(trimLws(text.slice(1)));
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
  if (branch === undefined || branch.length <= MAGIC_COOKIE.length) return undefined;
  if (branch.startsWith(MAGIC_COOKIE)) return branch;
  const cookie = branch.slice(0, MAGIC_COOKIE.length).toLowerCase();
  return cookie === MAGIC_COOKIE.toLowerCase() ? branch : undefined;
}
