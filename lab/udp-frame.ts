/**
 * One UDP packet as an Ethernet frame, and back: IPv4 without options (RFC 791, RFC 768).
 * The lab's own, so that a proof does not rest on the decoder of the program it judges. Pure.
 */
import { isIPv4 } from "node:net";

export interface UdpEndpoint {
  readonly address: string;
  readonly port: number;
}

export interface UdpFrame {
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly source: UdpEndpoint;
  readonly destination: UdpEndpoint;
  readonly payload: Buffer;
}

const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const UDP_BYTES = 8;
const ETHERTYPE_IPV4 = 0x0800;
const PROTOCOL_UDP = 17;
const TIME_TO_LIVE = 64;

export function encodeUdpFrame(frame: UdpFrame): Buffer {
  const { source, destination, payload } = frame;
  const ethernet = Buffer.alloc(ETHERNET_BYTES);
  macOctets(frame.destinationMac).copy(ethernet, 0);
  macOctets(frame.sourceMac).copy(ethernet, 6);
  ethernet.writeUInt16BE(ETHERTYPE_IPV4, 12);

  const udp = Buffer.alloc(UDP_BYTES);
  udp.writeUInt16BE(source.port, 0);
  udp.writeUInt16BE(destination.port, 2);
  udp.writeUInt16BE(UDP_BYTES + payload.length, 4);

  const addresses = Buffer.concat([ipv4Octets(source.address), ipv4Octets(destination.address)]);
  const ip = Buffer.alloc(IPV4_BYTES);
  ip.writeUInt8(0x45, 0);
  ip.writeUInt16BE(IPV4_BYTES + UDP_BYTES + payload.length, 2);
  ip.writeUInt8(TIME_TO_LIVE, 8);
  ip.writeUInt8(PROTOCOL_UDP, 9);
  addresses.copy(ip, 12);
  ip.writeUInt16BE(internetChecksum(ip), 10);

  const pseudo = Buffer.from([0, PROTOCOL_UDP, udp.readUInt8(4), udp.readUInt8(5)]);
  const sum = internetChecksum(Buffer.concat([addresses, pseudo, udp, payload]));
  udp.writeUInt16BE(sum === 0 ? 0xffff : sum, 6);
  return Buffer.concat([ethernet, ip, udp, payload]);
}

/** Undefined for anything that is no unfragmented UDP over IPv4. */
export function decodeUdpFrame(
  octets: Buffer,
): Pick<UdpFrame, "source" | "destination" | "payload"> | undefined {
  if (octets.length < ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES) return undefined;
  if (octets.readUInt16BE(12) !== ETHERTYPE_IPV4) return undefined;
  const ip = octets.subarray(ETHERNET_BYTES);
  const headerBytes = (ip.readUInt8(0) & 0x0f) * 4;
  const udp = ip.subarray(headerBytes, ip.readUInt16BE(2));
  if (ip.readUInt8(9) !== PROTOCOL_UDP || udp.length < UDP_BYTES) return undefined;
  return {
    source: { address: [...ip.subarray(12, 16)].join("."), port: udp.readUInt16BE(0) },
    destination: { address: [...ip.subarray(16, 20)].join("."), port: udp.readUInt16BE(2) },
    payload: udp.subarray(UDP_BYTES),
  };
}

/** RFC 1071. */
function internetChecksum(octets: Buffer): number {
  let sum = 0;
  for (let at = 0; at < octets.length; at += 2)
    sum += (octets[at] ?? 0) * 256 + (octets[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

function ipv4Octets(address: string): Buffer {
  if (!isIPv4(address)) throw new TypeError("not an IPv4 address");
  return Buffer.from(address.split(".").map(Number));
}

function macOctets(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}
