/**
 * RTP and RTCP on one port told apart (RFC 5761 §4). Pure.
 */

/** Least octets of an RTCP packet: a header and one SSRC. */
const RTCP_BYTES_MIN = 8;

/**
 * True for RTCP: version 2 and a second octet of 192 to 223, which is the range that RTP
 * payload types 64 to 95 would need with the marker set. Works on SRTCP too.
 */
export function isRtcp(octets: Uint8Array): boolean {
  const [first = 0, second = 0] = octets;
  return octets.length >= RTCP_BYTES_MIN && first >> 6 === 2 && second >= 192 && second <= 223;
}
