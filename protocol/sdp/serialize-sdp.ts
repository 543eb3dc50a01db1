/**
 * A session description to octets, in the order of the grammar, with CRLF (RFC 8866 §9). Pure.
 * Within a stream: `rtcp`, `rtcp-mux`, `rtpmap`, `crypto`, the other attributes, the direction.
 */
import { serializeCryptoAttribute } from "./crypto-attribute.ts";
import type {
  Attribute,
  Connection,
  MediaDescription,
  Origin,
  PlainLine,
  RtpMap,
  SessionDescription,
} from "./session-description.ts";

/**
 * Writes a description; `parseSdp` of it gives the same data. Without a `t=` it writes the
 * unbounded `t=0 0`.
 * @throws RangeError if a text holds CR, LF or NUL: the caller's fault, and an injection.
 */
export function serializeSdp(session: SessionDescription): Buffer {
  const { plainLines, connection } = session;
  const timings = pick(plainLines, "tr");
  const lines = [
    "v=0",
    `o=${serializeOrigin(session.origin)}`,
    `s=${session.sessionName}`,
    ...pick(plainLines, "i", "u", "e", "p"),
    ...(connection === undefined ? [] : [`c=${serializeConnection(connection)}`]),
    ...pick(plainLines, "b"),
    ...(timings.length === 0 ? ["t=0 0"] : timings),
    ...pick(plainLines, "z"),
    ...session.attributes.map(serializeAttribute),
    ...session.media.flatMap(serializeMedia),
  ];
  if (lines.some((line) => /[\r\n\0]/.test(line)))
    throw new RangeError("SDP text holds a line end");
  return Buffer.from(`${lines.join("\r\n")}\r\n`, "utf8");
}

function serializeMedia(media: MediaDescription): string[] {
  const { connection, rtcp, plainLines } = media;
  const at = rtcp?.connection === undefined ? "" : ` ${serializeConnection(rtcp.connection)}`;
  return [
    `m=${media.media} ${media.port} ${media.proto} ${media.formats.join(" ")}`,
    ...pick(plainLines, "i"),
    ...(connection === undefined ? [] : [`c=${serializeConnection(connection)}`]),
    ...pick(plainLines, "b"),
    ...(rtcp === undefined ? [] : [`a=rtcp:${rtcp.port}${at}`]),
    ...(media.rtcpMux ? ["a=rtcp-mux"] : []),
    ...media.rtpmap.map(serializeRtpMap),
    ...media.crypto.map((crypto) => `a=crypto:${serializeCryptoAttribute(crypto)}`),
    ...media.attributes.map(serializeAttribute),
    `a=${media.direction}`,
  ];
}

const pick = (lines: readonly PlainLine[], ...types: string[]): string[] =>
  types.flatMap((wanted) =>
    lines.filter(({ type }) => wanted.includes(type)).map(({ type, value }) => `${type}=${value}`),
  );

const serializeOrigin = (o: Origin): string =>
  `${o.username} ${o.sessionId} ${o.sessionVersion} IN ${o.family} ${o.address}`;

const serializeConnection = ({ family, address, scope }: Connection): string =>
  `IN ${family} ${address}${scope === undefined ? "" : `/${scope}`}`;

const serializeAttribute = ({ name, value }: Attribute): string =>
  value === undefined ? `a=${name}` : `a=${name}:${value}`;

const serializeRtpMap = ({ payloadType, encoding, clockHz, channels }: RtpMap): string =>
  `a=rtpmap:${payloadType} ${encoding}/${clockHz}${channels === 1 ? "" : `/${channels}`}`;
