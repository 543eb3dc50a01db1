/** Packets of a recording as a pcapng file for other programs. Pure. */

import {
  encodePacket,
  encodeSection,
  type PcapngPacket,
} from "../../protocol/pcapng/encode-pcapng.ts";
import { INTERFACES } from "./media-stream.ts";

/** The interfaces of every recording's pcapng; packets name them by number (`INTERFACES`). */
export const RECORDING_INTERFACES = [
  { name: "media", description: "media, authenticated and decrypted" },
  { name: "kept-apart", description: "not authenticated or not decrypted, as captured" },
] as const;

/**
 * One section with the packets in the order given.
 * @param withKeptApart Also those that were not authenticated, on an interface of their own.
 */
export function exportPcapng(packets: readonly PcapngPacket[], withKeptApart: boolean): Buffer {
  const interfaces = withKeptApart ? RECORDING_INTERFACES : RECORDING_INTERFACES.slice(0, 1);
  const chosen = packets.filter(
    ({ interfaceId }) => withKeptApart || interfaceId === INTERFACES.media,
  );
  return Buffer.concat([encodeSection("keyhole", interfaces), ...chosen.map(encodePacket)]);
}
