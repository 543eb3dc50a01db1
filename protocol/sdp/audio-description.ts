/**
 * The description a simple telephone writes: one audio stream (RFC 8866 §5). Pure.
 */
import type { CryptoAttribute } from "./crypto-attribute.ts";
import type {
  AddressFamily,
  Attribute,
  Direction,
  RtpMap,
  SessionDescription,
} from "./session-description.ts";

export interface AudioOptions {
  /** Where this side receives: an address literal and the RTP port; RTCP comes on the next. */
  readonly address: string;
  readonly rtpPort: number;
  /** Decimal digits, best an NTP time (RFC 8866 §5.2). */
  readonly sessionId: string;
  readonly formats: readonly RtpMap[];
  /** With keys the profile is RTP/SAVP, without it is RTP/AVP. */
  readonly crypto: readonly CryptoAttribute[];
  readonly direction?: Direction;
  readonly ptimeMs?: number;
  readonly attributes?: readonly Attribute[];
}

/** One audio stream as a whole session. */
export function audioDescription(options: AudioOptions): SessionDescription {
  const { address, rtpPort, sessionId, formats, crypto } = options;
  const family: AddressFamily = address.includes(":") ? "IP6" : "IP4";
  const payloads = formats.map(({ payloadType }) => payloadType);
  const { ptimeMs, direction = "sendrecv", attributes = [] } = options;
  return {
    origin: { username: "-", sessionId, sessionVersion: sessionId, family, address },
    sessionName: "-",
    connection: { family, address },
    attributes: [],
    plainLines: [{ type: "t", value: "0 0" }],
    media: [
      {
        media: "audio",
        port: rtpPort,
        proto: crypto.length === 0 ? "RTP/AVP" : "RTP/SAVP",
        formats: payloads.map(String),
        payloads,
        rtcpMux: false,
        direction,
        rtpmap: formats,
        crypto,
        refusedCrypto: [],
        attributes: [
          ...attributes,
          ...(ptimeMs === undefined ? [] : [{ name: "ptime", value: String(ptimeMs) }]),
        ],
        plainLines: [],
      },
    ],
  };
}
