/**
 * What an opened recording holds, put together from its segments: one metadata, the reports, and
 * the packets in the order of their times (docs/recording-format.md §3). Pure.
 */

import type { z } from "zod";
import { isProtocolError, ProtocolError } from "../../protocol/errors.ts";
import { decodePcapng } from "../../protocol/pcapng/decode-pcapng.ts";
import type { PcapngPacket } from "../../protocol/pcapng/encode-pcapng.ts";
import type { BlockType } from "../../protocol/sealing/container-format.ts";
import type { OpenedContainer, OpenedSegment } from "../../protocol/sealing/container-reader.ts";
import { type Completeness, completenessSchema } from "./completeness.ts";
import { type Metadata, metadataSchema } from "./metadata.ts";

export interface SegmentContents {
  /** False: its recorder was interrupted. */
  readonly isEnded: boolean;
  readonly packets: readonly PcapngPacket[];
  readonly completeness?: Completeness;
}

export interface RecordingContents {
  readonly recording: string;
  /** As last written; begun when the first segment was. Undefined if no order was ever stored. */
  readonly metadata: Metadata | undefined;
  /** The last report: the one that the ledger knows. */
  readonly completeness: Completeness;
  readonly segments: readonly SegmentContents[];
}

/** @throws ProtocolError `ERR_RECORDING_SYNTAX`, `ERR_PCAPNG_SYNTAX`. */
export function readContents(container: OpenedContainer): RecordingContents {
  const segments = container.segments.map(readSegment);
  const completeness = segments.at(-1)?.completeness;
  if (completeness === undefined)
    throw new ProtocolError("ERR_RECORDING_SYNTAX", "the recording ends without a report");
  return {
    recording: container.recording,
    metadata: joinMetadata(
      container.segments.flatMap((segment) => jsonOf(segment, "metadata", metadataSchema)),
    ),
    completeness,
    segments,
  };
}

/** All packets of the recording, earliest first. */
export function packetsInTime({ segments }: RecordingContents): readonly PcapngPacket[] {
  const packets = segments.flatMap((segment) => segment.packets);
  return packets.toSorted((one, other) => one.micros - other.micros);
}

/** What the first block of a recording says. @throws ProtocolError `ERR_RECORDING_SYNTAX`. */
export function readMetadata(octets: Uint8Array): Metadata {
  return parseJson(octets, metadataSchema);
}

function readSegment(segment: OpenedSegment): SegmentContents {
  const completeness = jsonOf(segment, "completeness", completenessSchema).at(-1);
  const packets = packetsOf(segment);
  return { isEnded: segment.isEnded, packets, ...(completeness && { completeness }) };
}

/** A segment that was interrupted may end inside a block; what is before it stands. */
function packetsOf(segment: OpenedSegment): readonly PcapngPacket[] {
  const packets: PcapngPacket[] = [];
  try {
    for (const block of decodePcapng(Buffer.concat(octetsOf(segment, "pcapng"))))
      if (block.kind === "packet") packets.push(block.packet);
  } catch (error) {
    if (segment.isEnded || !isProtocolError(error, "ERR_PCAPNG_SYNTAX")) throw error;
  }
  return packets;
}

const octetsOf = ({ blocks }: OpenedSegment, type: BlockType): readonly Buffer[] =>
  blocks.flatMap((block) => (block.type === type ? [block.octets] : []));

const jsonOf = <T>(segment: OpenedSegment, type: BlockType, schema: z.ZodType<T>): readonly T[] =>
  octetsOf(segment, type).map((octets) => parseJson(octets, schema));

function parseJson<T>(octets: Uint8Array, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(octets));
  } catch {
    throw new ProtocolError("ERR_RECORDING_SYNTAX", "the recording holds JSON that is none");
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const path = result.error.issues[0]?.path.join(".") ?? "";
  throw new ProtocolError("ERR_RECORDING_SYNTAX", `the recording's JSON is not known: ${path}`);
}

/** A recording that was gone on with has metadata of its own in each segment. */
function joinMetadata(all: readonly Metadata[]): Metadata | undefined {
  const [first, last] = [all[0], all.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const { startedAt } = first.recording;
  return { ...last, recording: { ...last.recording, startedAt } };
}
