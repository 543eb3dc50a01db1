/**
 * One media section of SDP: its `m=` line and what stands under it (RFC 8866 §5.14). Pure.
 */
import { isProtocolError, ProtocolError } from "../errors.ts";
import { type CryptoAttribute, parseCryptoAttribute } from "./crypto-attribute.ts";
import {
  parseAttribute,
  parseConnection,
  parsePayloadType,
  parsePort,
  parseRtcpAttribute,
  parseRtpMap,
} from "./parse-fields.ts";
import type { SdpLine } from "./parse-lines.ts";
import {
  type Attribute,
  type Direction,
  isRtpProfile,
  type MediaDescription,
  type RefusedCrypto,
  type RtpMap,
} from "./session-description.ts";

/** Most `a=crypto` lines in one stream. */
export const CRYPTO_LINES_MAX = 16;

const MEDIA = /^([\w.+-]+) (\d{1,5})(\/\d+)? ([\w/.+-]+)((?: [^\s]+)+)$/;
const DIRECTIONS: readonly string[] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/** The `a=` lines of one section, handed out by name; what nobody takes stays in order. */
export class AttributeSet {
  #attributes: Attribute[];

  constructor(values: readonly string[]) {
    this.#attributes = values.map(parseAttribute);
  }

  /** Removes all of one name and returns their values, `""` where there is none. */
  take(name: string): string[] {
    const taken = this.#attributes.filter((attribute) => attribute.name === name);
    this.#attributes = this.#attributes.filter((attribute) => attribute.name !== name);
    return taken.map(({ value = "" }) => value);
  }

  /** As `take`, of at most one. @throws ProtocolError `ERR_SDP_SYNTAX` for two. */
  takeOne(name: string): string | undefined {
    const [value, ...more] = this.take(name);
    if (more.length > 0) throw new ProtocolError("ERR_SDP_SYNTAX", `a=${name} twice`);
    return value;
  }

  takeDirection(): Direction | undefined {
    const found = DIRECTIONS.flatMap((name) => this.take(name).map(() => name));
    if (found.length > 1) throw new ProtocolError("ERR_SDP_SYNTAX", "two directions");
    return found[0] as Direction | undefined;
  }

  rest(): readonly Attribute[] {
    return this.#attributes;
  }
}

/**
 * Parses one section, its `m=` line first.
 * @throws ProtocolError `ERR_SDP_SYNTAX`, `ERR_SDP_LIMIT`, `ERR_SDES_SYNTAX` (one tag twice).
 */
export function parseMedia(lines: readonly SdpLine[], inherited: Direction): MediaDescription {
  const of = (type: string): string[] =>
    lines.filter((line) => line.type === type).map(({ value }) => value);
  const attributes = new AttributeSet(of("a"));
  const head = parseMediaLine(of("m")[0] ?? "");
  const [connection, ...more] = of("c");
  if (more.length > 0) throw new ProtocolError("ERR_SDP_LIMIT", "several c= in one stream");
  const rtcp = attributes.takeOne("rtcp");
  return {
    ...head,
    ...(connection !== undefined && { connection: parseConnection(connection) }),
    ...(rtcp !== undefined && { rtcp: parseRtcpAttribute(rtcp) }),
    rtcpMux: attributes.take("rtcp-mux").length > 0,
    direction: attributes.takeDirection() ?? inherited,
    rtpmap: parseRtpMaps(attributes.take("rtpmap")),
    ...parseCryptoLines(attributes.take("crypto")),
    attributes: attributes.rest(),
    plainLines: lines.filter(({ type }) => "ib".includes(type)),
  };
}

function parseMediaLine(
  value: string,
): Pick<MediaDescription, "media" | "port" | "proto" | "formats" | "payloads"> {
  const [, media, port, count, proto, rest] = MEDIA.exec(value) ?? [];
  if (media === undefined || port === undefined || proto === undefined || rest === undefined)
    throw new ProtocolError("ERR_SDP_SYNTAX", "m= malformed");
  if (count !== undefined && count !== "/1")
    throw new ProtocolError("ERR_SDP_LIMIT", "m= asks for several ports");
  const formats = rest.slice(1).split(" ");
  const payloads = isRtpProfile(proto) ? formats.map(parsePayloadType) : [];
  return { media, port: parsePort(port), proto, formats, payloads };
}

function parseRtpMaps(values: readonly string[]): readonly RtpMap[] {
  const maps = values.map(parseRtpMap);
  if (new Set(maps.map(({ payloadType }) => payloadType)).size !== maps.length)
    throw new ProtocolError("ERR_SDP_SYNTAX", "one payload type mapped twice");
  return maps;
}

function parseCryptoLines(values: readonly string[]): {
  crypto: readonly CryptoAttribute[];
  refusedCrypto: readonly RefusedCrypto[];
} {
  if (values.length > CRYPTO_LINES_MAX) throw new ProtocolError("ERR_SDP_LIMIT", "many a=crypto");
  const crypto: CryptoAttribute[] = [];
  const refusedCrypto: RefusedCrypto[] = [];
  for (const value of values) {
    try {
      crypto.push(parseCryptoAttribute(value));
    } catch (error) {
      if (!isProtocolError(error)) throw error;
      refusedCrypto.push({ code: error.code, reason: error.message });
    }
  }
  if (new Set(crypto.map(({ tag }) => tag)).size !== crypto.length)
    throw new ProtocolError("ERR_SDES_SYNTAX", "one crypto tag twice");
  return { crypto, refusedCrypto };
}
