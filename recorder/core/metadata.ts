/**
 * What a recording says of its call: the classes of SIPREC metadata (RFC 7865 §6) as plain JSON,
 * and every revision of the order, without keys (docs/recording-format.md §3.2). Pure.
 */

import { z } from "zod";
import type { OrderStream, RecordingOrder } from "../../protocol/ingest/order.ts";

const address = z.string();
const port = z.int().min(1).max(65_535);
const stream = z.strictObject({
  /** Who speaks in it: the id of a participant. */
  label: z.enum(["caller", "callee"]),
  media: z.string(),
  source: z.strictObject({ address }).optional(),
  destination: z.strictObject({ address, port }),
  rtcpPort: port.optional(),
  payloads: z.array(
    z.strictObject({
      type: z.int(),
      codec: z.string(),
      clockHz: z.int(),
      channels: z.int(),
    }),
  ),
  /** How the media was protected on the wire; never a key. */
  protection: z.strictObject({
    kind: z.enum(["srtp", "rtp", "pending"]),
    suite: z.string().optional(),
  }),
});

export const metadataSchema = z.strictObject({
  version: z.literal(1),
  recording: z.strictObject({
    id: z.uuid(),
    policy: z.literal("decrypted"),
    startedAt: z.iso.datetime(),
    /** Absent until the recording has ended. */
    endedAt: z.iso.datetime().optional(),
  }),
  session: z.strictObject({
    id: z.string(),
    callId: z.string(),
    /** When the call began, as the controller said. */
    startedAt: z.iso.datetime({ offset: true }),
    /** The recording of the call that this one replaces, or was referred by. */
    linked: z.uuid().optional(),
    /** Why it ended; absent until then. */
    reason: z.string().optional(),
  }),
  participants: z.array(z.strictObject({ id: z.enum(["caller", "callee"]), nameId: z.string() })),
  /** The streams as the last revision has them. */
  streams: z.array(stream),
  revisions: z.array(
    z.strictObject({ revision: z.int(), at: z.iso.datetime(), streams: z.array(stream) }),
  ),
});

export type Metadata = z.infer<typeof metadataSchema>;
type MetadataStream = z.infer<typeof stream>;

/** Revisions of one recording that its metadata keeps. */
export const MAX_REVISIONS_KEPT = 64;

/** The metadata of a recording that begins. @param at RFC 3339, UTC. */
export function beginMetadata(order: RecordingOrder, at: string): Metadata {
  const streams = order.streams.map(describeStream);
  return {
    version: 1,
    recording: { id: order.recording, policy: order.policy, startedAt: at },
    session: {
      id: order.session,
      callId: order.callId,
      startedAt: order.startedAt,
      ...(order.linked === undefined ? {} : { linked: order.linked }),
    },
    participants: [
      { id: "caller", nameId: order.from },
      { id: "callee", nameId: order.to },
    ],
    streams,
    revisions: [{ revision: order.revision, at, streams }],
  };
}

/** The same with one revision more. */
export function reviseMetadata(metadata: Metadata, order: RecordingOrder, at: string): Metadata {
  const streams = order.streams.map(describeStream);
  const revisions = [...metadata.revisions, { revision: order.revision, at, streams }];
  return { ...metadata, streams, revisions: withoutOneTooMany(revisions) };
}

/** First and last stay; of the others the latest goes that names nothing of its own, if there is one. */
function withoutOneTooMany(revisions: Metadata["revisions"]): Metadata["revisions"] {
  if (revisions.length <= MAX_REVISIONS_KEPT) return revisions;
  const names = revisions.map(({ streams }) => new Set(streams.map(nameOf)));
  const isNeeded = (at: number) =>
    [...(names[at] ?? [])].some((name) =>
      names.every((set, other) => other === at || !set.has(name)),
    );
  const inner = revisions.map((_, at) => at).slice(1, -1);
  const gone = inner.findLast((at) => !isNeeded(at)) ?? inner.at(-1);
  return revisions.filter((_, at) => at !== gone);
}

/** What a reader must know of a stream to make sense of its packets. */
const nameOf = ({ label, media, destination, payloads }: MetadataStream): string =>
  JSON.stringify([label, media, destination, payloads]);

/** The same, ended. */
export function endMetadata(metadata: Metadata, reason: string, at: string): Metadata {
  return {
    ...metadata,
    recording: { ...metadata.recording, endedAt: at },
    session: { ...metadata.session, reason },
  };
}

function describeStream({ protection, ...rest }: OrderStream): MetadataStream {
  const suite = protection.kind === "srtp" ? { suite: protection.suite } : {};
  return { ...rest, protection: { kind: protection.kind, ...suite } };
}
