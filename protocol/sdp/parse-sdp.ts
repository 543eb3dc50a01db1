/**
 * Octets to a session description (RFC 8866). Pure.
 * Strict where it matters: order, charset and line ends are checked, since two readers of one description that
 * differ about where media goes are two firewalls that differ about what is open.
 */
import { ProtocolError } from "../errors.ts";
import { parseConnection, parseOrigin } from "./parse-fields.ts";
import { parseLines, type SdpLine } from "./parse-lines.ts";
import { AttributeSet, parseMedia } from "./parse-media.ts";
import type { SessionDescription } from "./session-description.ts";

/**
 * Parses a description. `k=` lines are dropped (RFC 8866 §5.12); an `a=crypto` that cannot be
 * used is listed in its stream's `refusedCrypto`.
 * @throws ProtocolError `ERR_SDP_LIMIT`; `ERR_SDP_SYNTAX`; `ERR_SDES_SYNTAX` (one tag twice).
 */
export function parseSdp(octets: Uint8Array): SessionDescription {
  const sections = parseLines(octets);
  const of = (type: string): string[] => valuesOf(sections.session, type);
  const [version, origin, name] = [of("v")[0], of("o")[0], of("s")[0]];
  if (version !== "0") throw new ProtocolError("ERR_SDP_SYNTAX", "v= missing or not 0");
  if (origin === undefined) throw new ProtocolError("ERR_SDP_SYNTAX", "o= missing");
  if (name === undefined) throw new ProtocolError("ERR_SDP_SYNTAX", "s= missing");
  if (of("t").length === 0) throw new ProtocolError("ERR_SDP_SYNTAX", "t= missing");

  const attributes = new AttributeSet(of("a"));
  const direction = attributes.takeDirection() ?? "sendrecv";
  if (attributes.take("crypto").length > 0)
    throw new ProtocolError("ERR_SDP_SYNTAX", "a=crypto belongs to a stream");
  const connection = onlyConnection(of("c"));
  const media = sections.media.map((lines) => parseMedia(lines, direction));
  if (connection === undefined && media.some((m) => m.port !== 0 && m.connection === undefined))
    throw new ProtocolError("ERR_SDP_SYNTAX", "a stream has no c=");
  return {
    origin: parseOrigin(origin),
    sessionName: name,
    ...(connection !== undefined && { connection: parseConnection(connection) }),
    attributes: attributes.rest(),
    plainLines: sections.session.filter(({ type }) => "iuepbtrz".includes(type)),
    media,
  };
}

const valuesOf = (lines: readonly SdpLine[], type: string): string[] =>
  lines.filter((line) => line.type === type).map(({ value }) => value);

function onlyConnection(values: readonly string[]): string | undefined {
  if (values.length > 1) throw new ProtocolError("ERR_SDP_SYNTAX", "c= twice");
  return values[0];
}
