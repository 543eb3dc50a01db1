/**
 * Granted streams as pinholes of the control protocol: from anywhere to the caller while only the
 * offer is known, then between the two ends by address, not by source port, since RTP need not be
 * symmetric (RFC 4961). A hole keeps its id while it narrows, and so its counter. Pure.
 */
import type { Pinhole } from "../../protocol/control/messages.ts";
import type { AnsweredStream, MediaEnd, OfferedStream } from "./media-policy.ts";

/** The holes toward the caller that the offer asks for: RTP and RTCP, any source. */
export function pinholesOfOffer(streams: readonly OfferedStream[]): readonly Pinhole[] {
  return streams.flatMap((stream) => holes(stream, "caller", undefined, stream.caller, false));
}

/** The holes both ways once the answer is known. */
export function pinholesOfAnswer(streams: readonly AnsweredStream[]): readonly Pinhole[] {
  return streams.flatMap((stream) => [
    ...holes(stream, "caller", stream.callee.address, stream.caller, stream.mux),
    ...holes(stream, "callee", stream.caller.address, stream.callee, stream.mux),
  ]);
}

function holes(
  { index, offer }: OfferedStream,
  toward: "caller" | "callee",
  source: string | undefined,
  end: MediaEnd,
  mux: boolean,
): readonly Pinhole[] {
  const from = source === undefined ? {} : { address: source };
  const hole = (component: "rtp" | "rtcp", port: number): Pinhole => ({
    id: `${toward}.${index}.${component}`,
    from,
    to: { address: end.address, port },
    media: offer.media,
    component,
  });
  const rtp = hole("rtp", end.rtpPort);
  return mux || end.rtcpPort === end.rtpPort ? [rtp] : [rtp, hole("rtcp", end.rtcpPort)];
}
