/**
 * Finds the first copied packet to each destination that someone waits for. Of a packet it reads IP and UDP header,
 * and that only while anyone waits. Pure.
 */
import { decodeNflog } from "../../protocol/capture/nflog.ts";
import { decodeUdp } from "../../protocol/capture/udp.ts";
import { isProtocolError } from "../../protocol/errors.ts";
import { parseAddress } from "../../protocol/net/address.ts";
import type { PacketEnds } from "./agent-effect.ts";

const NFLOG_HEAD_BYTES = 4;
const PAYLOAD_ATTRIBUTE = 9;

export class FirstPackets {
  /** Destinations as octets of address and port, in latin1. */
  readonly #watched = new Set<string>();

  watch(address: string, port: number): void {
    this.#watched.add(destinationKey(address, port));
  }

  unwatch(address: string, port: number): void {
    this.#watched.delete(destinationKey(address, port));
  }

  /** True if nobody waits, so that nothing need be read. */
  isIdle(): boolean {
    return this.#watched.size === 0;
  }

  /** The packet's ends if it is the first to a watched destination; it is watched no longer. */
  take(nflog: Buffer): PacketEnds | undefined {
    const key = readDestination(nflog);
    if (key === undefined || !this.#watched.delete(key)) return undefined;
    try {
      const { payload: _payload, ...ends } = decodeUdp(decodeNflog(nflog).payload);
      return ends;
    } catch (error) {
      if (isProtocolError(error)) return undefined;
      throw error;
    }
  }
}

function destinationKey(address: string, port: number): string {
  const { octets } = parseAddress(address);
  return octets.toString("latin1") + String.fromCharCode(port >> 8, port & 0xff);
}

/** Address and port from fixed offsets: a packet with IPv6 extension headers is passed over. */
function readDestination(nflog: Buffer): string | undefined {
  const start = payloadStart(nflog);
  if (start === undefined || start + 28 > nflog.length) return undefined;
  const first = nflog.readUInt8(start);
  const isFour = first >> 4 === 4;
  const udp = start + (isFour ? (first & 0x0f) * 4 : 40);
  if (udp + 4 > nflog.length) return undefined;
  const [from, to] = isFour ? [start + 16, start + 20] : [start + 24, start + 40];
  return nflog.toString("latin1", from, to) + nflog.toString("latin1", udp + 2, udp + 4);
}

function payloadStart(nflog: Buffer): number | undefined {
  let offset = NFLOG_HEAD_BYTES;
  while (offset + 4 <= nflog.length) {
    const length = nflog.readUInt16LE(offset);
    if (nflog.readUInt16LE(offset + 2) === PAYLOAD_ATTRIBUTE) return offset + 4;
    if (length < 4) return undefined;
    offset += (length + 3) & ~3;
  }
  return undefined;
}
