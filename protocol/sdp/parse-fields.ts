/**
 * Values of single SDP lines: `o= c= a=rtcp a=rtpmap` (RFC 8866 §5, §6.6; RFC 3605). Pure.
 */
import ipaddr from "ipaddr.js";
import { ProtocolError } from "../errors.ts";
import type { Attribute, Connection, Origin, RtpMap } from "./session-description.ts";

const ORIGIN = /^(\S+) (\d{1,30}) (\d{1,30}) IN (IP4|IP6) (\S+)$/;
const CONNECTION = /^IN (IP4|IP6) ([\da-fA-F.:]{2,45})(?:\/(\d{1,3}(?:\/\d{1,3})?))?$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const RTPMAP = /^(\d{1,3}) ([^\s/]+)\/([1-9]\d{0,8})(?:\/([1-9]\d?))?$/;
const ATTRIBUTE = /^([!#-'*+\-.\w^`{|}~]+)(?::(.*))?$/s;
const RTCP = /^(\d{1,5})(?: (IN .+))?$/;

const syntax = (message: string): ProtocolError => new ProtocolError("ERR_SDP_SYNTAX", message);

/** @throws ProtocolError `ERR_SDP_SYNTAX`, as all of these. */
export function parseOrigin(value: string): Origin {
  const [, username, sessionId, sessionVersion, family, address] = ORIGIN.exec(value) ?? [];
  if (username === undefined || sessionId === undefined || sessionVersion === undefined)
    throw syntax("o= malformed");
  if (address === undefined) throw syntax("o= malformed");
  return { username, sessionId, sessionVersion, family: family === "IP6" ? "IP6" : "IP4", address };
}

export function parseConnection(value: string): Connection {
  const [, family, address = "", scope] = CONNECTION.exec(value) ?? [];
  if (family === "IP4" ? !IPV4.test(address) : !ipaddr.IPv6.isValid(address))
    throw syntax("connection address is no IP literal of its family");
  return {
    family: family === "IP6" ? "IP6" : "IP4",
    address,
    ...(scope !== undefined && { scope }),
  };
}

export function parseRtcpAttribute(value: string): { port: number; connection?: Connection } {
  const [, port, connection] = RTCP.exec(value) ?? [];
  if (port === undefined) throw syntax("a=rtcp malformed");
  const parsed = parsePort(port);
  if (parsed === 0) throw syntax("a=rtcp port 0");
  return connection === undefined
    ? { port: parsed }
    : { port: parsed, connection: parseConnection(connection) };
}

export function parseRtpMap(value: string): RtpMap {
  const [, payload, encoding, clock, channels = "1"] = RTPMAP.exec(value) ?? [];
  if (payload === undefined || encoding === undefined) throw syntax("a=rtpmap malformed");
  return {
    payloadType: parsePayloadType(payload),
    encoding,
    clockHz: Number(clock),
    channels: Number(channels),
  };
}

export function parseAttribute(line: string): Attribute {
  const [, name, value] = ATTRIBUTE.exec(line) ?? [];
  if (name === undefined) throw syntax("a= malformed");
  return value === undefined ? { name } : { name, value };
}

export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535)) throw syntax("port malformed");
  return port;
}

export function parsePayloadType(text: string): number {
  const payload = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (!(payload <= 127)) throw syntax("RTP payload type malformed");
  return payload;
}
