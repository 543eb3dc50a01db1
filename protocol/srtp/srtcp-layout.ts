/**
 * Where things stand in an SRTCP packet (RFC 3711 §3.4). Pure.
 *
 * ```text
 * | RTCP header, 4 | SSRC, 4 | encrypted ... | E, 1 bit; index, 31 bits | MKI | tag |
 * |<------------------------ authenticated ---------------------------->|
 * ```
 */

/** Header and SSRC of the first packet stay in clear. */
export const RTCP_CLEAR_BYTES = 8;
export const SRTCP_INDEX_BYTES = 4;
/** The E flag: the packet is encrypted. */
export const SRTCP_ENCRYPTED = 0x8000_0000;
export const SRTCP_INDEX_MAX = 0x7fff_ffff;
