/**
 * UDP datagrams inside captured IP packets (RFC 768). Pure.
 */
import { ProtocolError } from "../errors.ts";
import { parseAddress } from "../net/address.ts";
import { decodeIp, encodeIp, internetChecksum, PROTOCOL_UDP } from "./ip.ts";

export interface UdpDatagram {
  /** Canonical text, as `parseAddress` gives it. */
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** A view into the octets decoded. */
  readonly payload: Buffer;
}

const HEADER_BYTES = 8;

/**
 * Decodes a whole IP packet that carries a UDP datagram; the checksum is not checked (see `ip.ts`).
 * @throws ProtocolError `ERR_CAPTURE_SYNTAX`, also for another protocol, a fragment or a packet cut short.
 */
export function decodeUdp(octets: Uint8Array): UdpDatagram {
  const { source, destination, protocol, payload } = decodeIp(octets);
  if (protocol !== PROTOCOL_UDP) throw syntax("another protocol");
  if (payload.length < HEADER_BYTES) throw syntax("cut in its header");
  const length = payload.readUInt16BE(4);
  if (length < HEADER_BYTES || length > payload.length) throw syntax("its length does not fit");
  return {
    source,
    destination,
    sourcePort: payload.readUInt16BE(0),
    destinationPort: payload.readUInt16BE(2),
    payload: payload.subarray(HEADER_BYTES, length),
  };
}

/**
 * Encodes the datagram as a whole IP packet with good checksums.
 * @throws ProtocolError `ERR_ADDRESS`; RangeError for a bad port, two families or an oversized payload.
 */
export function encodeUdp(datagram: UdpDatagram): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(datagram.sourcePort, 0);
  header.writeUInt16BE(datagram.destinationPort, 2);
  header.writeUInt16BE(HEADER_BYTES + datagram.payload.length, 4);
  const sum = internetChecksum([pseudoHeader(datagram), header, datagram.payload]);
  header.writeUInt16BE(sum === 0 ? 0xffff : sum, 6);
  const { source, destination } = datagram;
  const payload = Buffer.concat([header, datagram.payload]);
  return encodeIp({ source, destination, protocol: PROTOCOL_UDP, payload });
}

/** RFC 768 for IPv4, RFC 8200 §8.1 for IPv6: same sum, as the added octets of the latter are zero. */
function pseudoHeader(datagram: UdpDatagram): Buffer {
  const tail = Buffer.from([0, PROTOCOL_UDP, 0, 0]);
  tail.writeUInt16BE(HEADER_BYTES + datagram.payload.length, 2);
  const { source, destination } = datagram;
  return Buffer.concat([parseAddress(source).octets, parseAddress(destination).octets, tail]);
}

function syntax(what: string): ProtocolError {
  return new ProtocolError("ERR_CAPTURE_SYNTAX", `UDP datagram: ${what}`);
}
