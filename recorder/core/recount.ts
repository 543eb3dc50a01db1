/** Counts a recording's packets anew and lays the numbers beside its report. Pure. */

import { decodeUdp } from "../../protocol/capture/udp.ts";
import type { PortCounts } from "./completeness.ts";
import { destinationKey } from "./media-packet.ts";
import { INTERFACES } from "./media-stream.ts";
import type { RecordingContents } from "./recording-contents.ts";

/**
 * Where the packets that lie in the recording are not those that the report counts. Only the last
 * segment has a report with counts: one that was interrupted took them along.
 */
export function findMiscounts({ segments, completeness }: RecordingContents): readonly string[] {
  if (completeness.streams.length === 0) return [];
  const found = countPackets(segments.at(-1)?.packets ?? []);
  const differences = completeness.streams.flatMap((stream) => {
    const at = (port: number) => destinationKey(stream.destination.address, port);
    const rtp = compare(`${stream.label} RTP`, stream.rtp, found.get(at(stream.destination.port)));
    if (stream.rtcpPort === undefined) return rtp;
    return [
      ...rtp,
      ...compare(`${stream.label} RTCP`, stream.rtcp, found.get(at(stream.rtcpPort))),
    ];
  });
  return differences;
}

interface Found {
  stored: number;
  keptApart: number;
}

function countPackets(
  packets: readonly { readonly interfaceId: number; readonly octets: Uint8Array }[],
): ReadonlyMap<string, Found> {
  const counts = new Map<string, Found>();
  for (const { interfaceId, octets } of packets) {
    const { destination, destinationPort } = decodeUdp(octets);
    const key = destinationKey(destination, destinationPort);
    const count = counts.get(key) ?? { stored: 0, keptApart: 0 };
    if (interfaceId === INTERFACES.media) count.stored += 1;
    else count.keptApart += 1;
    counts.set(key, count);
  }
  return counts;
}

function compare(
  name: string,
  said: PortCounts,
  found: Found = { stored: 0, keptApart: 0 },
): readonly string[] {
  const differences: string[] = [];
  if (said.stored !== found.stored)
    differences.push(`${name}: ${found.stored} packets lie in it, the report says ${said.stored}`);
  if (said.keptApart !== found.keptApart)
    differences.push(`${name}: ${found.keptApart} kept apart, the report says ${said.keptApart}`);
  return differences;
}
