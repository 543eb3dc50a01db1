/** Capture files of tcpdump: classic pcap, little-endian, Ethernet. Pure. */

export interface CapturedFrame {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  readonly frame: Buffer;
}

const PCAP_MAGIC = 0xa1b2c3d4;
const PCAP_HEADER_BYTES = 24;
const PACKET_HEADER_BYTES = 16;
const LINKTYPE_ETHERNET = 1;

/** The frames in order of capture. @throws RangeError not a little-endian pcap file of Ethernet. */
export function readFrames(pcap: Buffer): readonly CapturedFrame[] {
  if (pcap.length < PCAP_HEADER_BYTES || pcap.readUInt32LE(0) !== PCAP_MAGIC)
    throw new RangeError("not a pcap file");
  if (pcap.readUInt32LE(20) !== LINKTYPE_ETHERNET) throw new RangeError("not Ethernet");

  const frames: CapturedFrame[] = [];
  let at = PCAP_HEADER_BYTES;
  while (at + PACKET_HEADER_BYTES <= pcap.length) {
    const atMs = pcap.readUInt32LE(at) * 1000 + pcap.readUInt32LE(at + 4) / 1000;
    const bytes = pcap.readUInt32LE(at + 8);
    at += PACKET_HEADER_BYTES;
    frames.push({ atMs, frame: pcap.subarray(at, at + bytes) });
    at += bytes;
  }
  return frames;
}
