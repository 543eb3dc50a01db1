/**
 * Which codec each RTP payload type of a stream means: `a=rtpmap`, else the static
 * assignments (RFC 3551 §6). Pure.
 */
import type { MediaDescription, RtpMap } from "./session-description.ts";

const audio = (payloadType: number, encoding: string, clockHz = 8000, channels = 1): RtpMap => ({
  payloadType,
  encoding,
  clockHz,
  channels,
});

const STATIC: readonly RtpMap[] = [
  audio(0, "PCMU"),
  audio(3, "GSM"),
  audio(4, "G723"),
  audio(8, "PCMA"),
  audio(9, "G722"),
  audio(10, "L16", 44_100, 2),
  audio(11, "L16", 44_100),
  audio(13, "CN"),
  audio(15, "G728"),
  audio(18, "G729"),
];

/** The formats that could be named, in order of preference; a dynamic type unmapped is left out. */
export function payloadFormats(media: MediaDescription): readonly RtpMap[] {
  return media.payloads.flatMap((payloadType) => {
    const matches = (map: RtpMap): boolean => map.payloadType === payloadType;
    const found = media.rtpmap.find(matches) ?? STATIC.find(matches);
    return found === undefined ? [] : [found];
  });
}
