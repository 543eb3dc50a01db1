/**
 * Where one party may take its media: within the protected prefixes only where it is that party's
 * own place, beyond them anywhere but at the gateway, never at a service port (RFC 3605, RFC 8858,
 * RFC 8839 for candidates). Pure.
 */
import {
  type Address,
  isForbiddenMediaAddress,
  isMediaPort,
  type Prefix,
  parseAddress,
  prefixContains,
} from "../../protocol/net/address.ts";
import type {
  MediaDescription,
  SessionDescription,
} from "../../protocol/sdp/session-description.ts";
import type { Party } from "./party.ts";
import { type MediaVerdict, parsed } from "./verdict.ts";

/** What places are judged by. */
export interface PlacePolicy {
  readonly protectedPrefixes: readonly Prefix[];
  /** Lowest and highest port on the protected side. */
  readonly ports: readonly [number, number];
  /** Canonical texts; no media goes to the gateway itself. */
  readonly gatewayAddresses: readonly string[];
}

/** Where one party takes the media of one stream. */
export interface MediaEnd {
  /** Canonical. */
  readonly address: string;
  readonly rtpPort: number;
  /** The RTP port itself if RTCP has none of its own. */
  readonly rtcpPort: number;
  /** Whether it lies within the protected prefixes. */
  readonly inside: boolean;
}

/** Judges one address and port of a party: the fault, or whether it lies inside. */
export type EndRule = (address: Address, port: number) => MediaVerdict | boolean;

/** The rule for a party's addresses. */
export function endRule({ addresses }: Party, policy: PlacePolicy): EndRule {
  const { protectedPrefixes, gatewayAddresses, ports } = policy;
  const staysInside = addresses.length > 0 && addresses.every((text) => isInside(text, policy));
  return (address, port) => {
    if (isForbiddenMediaAddress(address) || gatewayAddresses.includes(address.text))
      return "media-address";
    const inside = liesIn(protectedPrefixes, address);
    if (inside ? !addresses.includes(address.text) : staysInside) return "media-address";
    const [lowest, highest] = ports;
    const fits = isMediaPort(port) && (!inside || (port >= lowest && port <= highest));
    return fits ? inside : "media-port";
  };
}

/** True for the text of an address within the protected prefixes. */
export function isInside(text: string, { protectedPrefixes }: PlacePolicy): boolean {
  const address = parsed(() => parseAddress(text));
  return address.ok && liesIn(protectedPrefixes, address.value);
}

/**
 * The end that a stream names. `held`: an unspecified address, which asks for no media at all
 * (RFC 3264 §8.4, RFC 8840 §4.1.1).
 */
export function mediaEnd(
  media: MediaDescription,
  sdp: SessionDescription,
  rule: EndRule,
): MediaEnd | MediaVerdict | "held" {
  const written = (media.connection ?? sdp.connection)?.address ?? "";
  if (isUnspecified(written)) return "held";
  const rtcpWritten = media.rtcp?.connection?.address ?? written;
  const rtp = parsed(() => parseAddress(written));
  if (!rtp.ok) return "media-address";
  if (rtcpWritten !== written) {
    const rtcp = parsed(() => parseAddress(rtcpWritten));
    if (!rtcp.ok || rtcp.value.text !== rtp.value.text) return "media-address";
  }
  const rtcpPort = rtcpPortOf(media);
  const inside = rule(rtp.value, media.port);
  if (typeof inside === "string") return inside;
  const rtcpFault = rtcpPort === media.port ? inside : rule(rtp.value, rtcpPort);
  if (typeof rtcpFault === "string") return rtcpFault;
  return { address: rtp.value.text, rtpPort: media.port, rtcpPort, inside };
}

/** ICE candidates open nothing, yet the media may move to one: each must be allowed as well. */
export function candidateFault(media: MediaDescription, rule: EndRule): MediaVerdict | undefined {
  for (const { name, value = "" } of media.attributes) {
    if (name !== "candidate") continue;
    const [, , , , written = "", port] = value.split(" ");
    const address = parsed(() => parseAddress(written));
    const fault = address.ok ? rule(address.value, Number(port)) : "media-address";
    if (typeof fault === "string") return fault;
  }
  return undefined;
}

/** Fax over UDPTL has no RTCP; RTP has it beside, elsewhere, or only on its own port. */
function rtcpPortOf(media: MediaDescription): number {
  if (media.media === "image" || hasAttribute(media, "rtcp-mux-only")) return media.port;
  return media.rtcp?.port ?? media.port + 1;
}

export const hasAttribute = (
  { attributes }: Pick<MediaDescription, "attributes">,
  wanted: string,
): boolean => attributes.some(({ name }) => name === wanted);

const UNSPECIFIED: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

const isUnspecified = (text: string): boolean => UNSPECIFIED.has(text);

const liesIn = (prefixes: readonly Prefix[], address: Address): boolean =>
  prefixes.some((prefix) => prefixContains(prefix, address));
