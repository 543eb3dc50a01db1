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
    const foundAt = (ports: readonly number[]) =>
      ports.map((port) => found.get(at(port)) ?? NOTHING).reduce(add, NOTHING);
    const { label, destination, rtcpPort, formerRtcpPorts = [] } = stream;
    const rtp = compare(`${label} RTP`, stream.rtp, foundAt([destination.port]));
    if (rtcpPort === undefined) return rtp;
    const rtcp = foundAt([...formerRtcpPorts, rtcpPort]);
    return [...rtp, ...compare(`${label} RTCP`, stream.rtcp, rtcp)];
  });
  return differences;
}

interface Found {
  stored: number;
  keptApart: number;
}

const NOTHING: Readonly<Found> = { stored: 0, keptApart: 0 };

const add = (one: Readonly<Found>, other: Readonly<Found>): Readonly<Found> => ({
  stored: one.stored + other.stored,
  keptApart: one.keptApart + other.keptApart,
});

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

function compare(name: string, said: PortCounts, found: Readonly<Found>): readonly string[] {
  const differences: string[] = [];
  if (said.stored !== found.stored)
    differences.push(`${name}: ${found.stored} packets lie in it, the report says ${said.stored}`);
  if (said.keptApart !== found.keptApart)
    differences.push(`${name}: ${found.keptApart} kept apart, the report says ${said.keptApart}`);
  return differences;
}
