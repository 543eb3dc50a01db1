/**
 * Where a description wants its media: the RTP and RTCP address of each stream
 * (RFC 8866 §5.7 and §5.14, RFC 3605, RFC 5761, RFC 8858). Pure.
 */
import { ProtocolError } from "../errors.ts";
import { isBundleOnly } from "./offer-answer.ts";
import type { MediaDescription, SessionDescription } from "./session-description.ts";

export interface TransportAddress {
  /** As written in the SDP; nobody has yet asked whether it may be used. */
  readonly address: string;
  readonly port: number;
}

export type MediaTransport =
  | { readonly kind: "rejected" }
  | { readonly kind: "bundled" }
  /** `rtcp` is absent where RTCP shares the RTP port. */
  | { readonly kind: "active"; readonly rtp: TransportAddress; readonly rtcp?: TransportAddress };

/**
 * The transport of each stream, in the order of the `m=` lines. RTP and RTCP share a port only
 * if `peer`, the other half of the offer and answer, says `a=rtcp-mux` as well; so the offer
 * alone yields both ports.
 * @throws ProtocolError `ERR_SDP_SYNTAX` for RTP on port 65535 without a port for RTCP.
 */
export function mediaTransports(
  description: SessionDescription,
  peer?: SessionDescription,
): readonly MediaTransport[] {
  return description.media.map((media, at) => mediaTransport(description, media, peer?.media[at]));
}

function mediaTransport(
  session: SessionDescription,
  media: MediaDescription,
  peer: MediaDescription | undefined,
): MediaTransport {
  if (media.port === 0) return { kind: isBundleOnly(media) ? "bundled" : "rejected" };
  const connection = media.connection ?? session.connection;
  if (connection === undefined) throw new ProtocolError("ERR_SDP_SYNTAX", "a stream has no c=");
  const { address } = connection;
  const rtp = { address, port: media.port };
  const muxed = (media.rtcpMux && peer?.rtcpMux === true) || isMuxOnly(media);
  if (muxed) return { kind: "active", rtp };

  const port = media.rtcp?.port ?? media.port + 1;
  if (port > 65_535) throw new ProtocolError("ERR_SDP_SYNTAX", "no port left for RTCP");
  return {
    kind: "active",
    rtp,
    rtcp: { address: media.rtcp?.connection?.address ?? address, port },
  };
}

const isMuxOnly = (media: MediaDescription): boolean =>
  media.attributes.some(({ name }) => name === "rtcp-mux-only");
