/**
 * What went over TCP, from a capture file: each direction of each connection as one run of octets,
 * with the time at which every part of it passed. IPv4. Pure.
 */
import { readFrames } from "./pcap.ts";

export interface TcpStream {
  /** `address:port` */
  readonly from: string;
  readonly to: string;
  readonly octets: Buffer;
  /** When the octets from `offset` on passed, in order of `offset`. */
  readonly marks: readonly { readonly offset: number; readonly atMs: number }[];
}

interface Segment {
  readonly sequence: number;
  readonly atMs: number;
  readonly payload: Buffer;
}

const ETHERNET_BYTES = 14;
const PROTOCOL_TCP = 6;

/** @throws RangeError not a little-endian pcap file of Ethernet frames. */
export function readTcpStreams(pcap: Buffer): readonly TcpStream[] {
  const segments = new Map<string, Segment[]>();
  for (const { frame, atMs } of readFrames(pcap)) addSegment(segments, frame, atMs);
  return [...segments].map(([name, parts]) => {
    const [from = "", to = ""] = name.split(">");
    return { from, to, ...joinSegments(parts) };
  });
}

/** When the octet at `offset` passed. */
export function timeOf(stream: TcpStream, offset: number): number | undefined {
  return stream.marks.findLast((mark) => mark.offset <= offset)?.atMs;
}

function addSegment(segments: Map<string, Segment[]>, frame: Buffer, atMs: number): void {
  const ip = frame.subarray(ETHERNET_BYTES);
  if (ip.length < 40 || ip.readUInt8(0) >> 4 !== 4 || ip.readUInt8(9) !== PROTOCOL_TCP) return;
  const tcp = ip.subarray((ip.readUInt8(0) & 0x0f) * 4, ip.readUInt16BE(2));
  const payload = tcp.subarray((tcp.readUInt8(12) >> 4) * 4);
  if (payload.length === 0) return;
  const from = `${[...ip.subarray(12, 16)].join(".")}:${tcp.readUInt16BE(0)}`;
  const to = `${[...ip.subarray(16, 20)].join(".")}:${tcp.readUInt16BE(2)}`;
  const name = `${from}>${to}`;
  const parts = segments.get(name) ?? [];
  parts.push({ sequence: tcp.readUInt32BE(4), atMs, payload });
  segments.set(name, parts);
}

/** Sequence numbers count from the first segment seen, modulo 2^32 (RFC 9293 §3.4). */
function joinSegments(parts: readonly Segment[]): Pick<TcpStream, "octets" | "marks"> {
  const base = parts[0]?.sequence ?? 0;
  const placed = parts
    .map((part) => ({ ...part, offset: (part.sequence - base) | 0 }))
    .sort((a, b) => a.offset - b.offset);
  const start = placed[0]?.offset ?? 0;
  const chunks: Buffer[] = [];
  const marks: { offset: number; atMs: number }[] = [];
  let end = 0;
  for (const { offset, atMs, payload } of placed) {
    const fresh = payload.subarray(Math.max(0, end - (offset - start)));
    if (fresh.length === 0) continue;
    marks.push({ offset: end, atMs });
    chunks.push(fresh);
    end += fresh.length;
  }
  return { octets: Buffer.concat(chunks), marks };
}
