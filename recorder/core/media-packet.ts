/**
 * A packet that the gateway let through, as the recorder looks at it, and the same packet with its
 * payload decrypted. Pure.
 */

import { internetChecksum, PROTOCOL_UDP } from "../../protocol/capture/ip.ts";
import { decodeNflog } from "../../protocol/capture/nflog.ts";
import { decodeUdp, type UdpDatagram } from "../../protocol/capture/udp.ts";
import type { CapturedPacket } from "../../protocol/ingest/frames.ts";

export interface MediaPacket {
  /** The kernel's time if it gave one, else the capture's; microseconds since the Unix epoch. */
  readonly micros: number;
  /** From the IP header on, as captured. */
  readonly octets: Buffer;
  readonly udp: UdpDatagram;
}

const UDP_HEADER_BYTES = 8;
const IPV6_HEADER_BYTES = 40;

/** @throws ProtocolError `ERR_CAPTURE_SYNTAX` for anything but a whole UDP datagram. */
export function decodeMediaPacket(captured: CapturedPacket): MediaPacket {
  const { payload, captureMicros } = decodeNflog(captured.nflog);
  return {
    micros: captureMicros ?? captured.captureMicros,
    octets: payload,
    udp: decodeUdp(payload),
  };
}

/**
 * The packet with another UDP payload: headers as captured, lengths and checksums made to fit.
 * The UDP checksum is left out where it may be (RFC 768), over IPv4.
 */
export function withPayload({ octets, udp }: MediaPacket, payload: Uint8Array): Buffer {
  const headBytes = udp.payload.byteOffset - octets.byteOffset;
  const udpBytes = UDP_HEADER_BYTES + payload.length;
  const packet = Buffer.concat([octets.subarray(0, headBytes), payload]);
  const udpAt = headBytes - UDP_HEADER_BYTES;
  packet.writeUInt16BE(udpBytes, udpAt + 4);
  packet.writeUInt16BE(0, udpAt + 6);
  if (packet.readUInt8(0) >> 4 === 4) return fitFour(packet, udpAt);
  return fitSix(packet, udpAt, udpBytes);
}

function fitFour(packet: Buffer, headerBytes: number): Buffer {
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(0, 10);
  packet.writeUInt16BE(internetChecksum([packet.subarray(0, headerBytes)]), 10);
  return packet;
}

/** RFC 8200 §8.1: over IPv6 the checksum must be there. */
function fitSix(packet: Buffer, udpAt: number, udpBytes: number): Buffer {
  packet.writeUInt16BE(packet.length - IPV6_HEADER_BYTES, 4);
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(udpBytes, 0);
  tail.writeUInt8(PROTOCOL_UDP, 7);
  const addresses = packet.subarray(8, IPV6_HEADER_BYTES);
  const sum = internetChecksum([addresses, tail, packet.subarray(udpAt)]);
  packet.writeUInt16BE(sum === 0 ? 0xffff : sum, udpAt + 6);
  return packet;
}

/** Where a packet goes: the key by which a stream is found. */
export function destinationKey(address: string, port: number): string {
  return `${address}|${port}`;
}
