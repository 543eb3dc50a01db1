/**
 * What controller and agent say to each other: one JSON object a line, both directions. The controller states what
 * a session should be; the agent makes it so and says when it is. Pure.
 *
 * The first line of a connection is `hello`; its `controller` names the owner of every session put on that connection.
 * Unknown fields are refused, in every message of either side.
 */
import { z } from "zod";

/** The one version of this protocol. */
export const CONTROL_VERSION = 1;
export const MAX_PINHOLES_PER_SESSION = 64;
/** Octets of one sealed recording order, in base64 characters. */
export const MAX_SEALED_ORDER_CHARS = 49_152;
/** Closed sessions that one reply names: their names must fit a line. */
export const MAX_CLOSED_NAMED = 512;
export const MIN_LEASE_MS = 1_000;
export const MAX_LEASE_MS = 86_400_000;

/** A session's or a recording's name in logs and in the kernel: never an identity, never a Call-ID. */
const sessionId = z.string().regex(/^[\w.:-]{1,64}$/, "1 to 64 of letters, digits, _ . : -");
const pinholeId = z
  .string()
  // Counters go by it, and of an object's keys this one is none.
  .regex(/^(?!__proto__$)[\w.:>-]{1,32}$/, "1 to 32 of letters, digits, _ . : > -");
const requestId = z.string().min(1).max(64);
const port = z.int().min(1).max(65_535);
const address = z.string().min(2).max(45);
const reason = z.string().min(1).max(128);
const count = z.int().nonnegative();

const pinholeSchema = z.strictObject({
  id: pinholeId,
  /** Who may send; an absent field is any. A port without an address is refused. */
  from: z.strictObject({ address: address.optional(), port: port.optional() }),
  to: z.strictObject({ address, port }),
  media: z.string().regex(/^[\w.-]{1,32}$/),
  component: z.enum(["rtp", "rtcp"]),
});

const recordingSchema = z.strictObject({
  recording: z.uuid(),
  sealedOrder: z.base64().min(1).max(MAX_SEALED_ORDER_CHARS),
  /** True: unless the recorder took the order and capture runs, no hole opens. */
  required: z.boolean().optional(),
});

const countersSchema = z.record(pinholeId, z.strictObject({ packets: count, bytes: count }));

const helloSchema = z.strictObject({
  kind: z.literal("hello"),
  id: requestId,
  version: z.literal(CONTROL_VERSION),
  controller: z.string().regex(/^[\w.:-]{1,253}$/, "a host name"),
});

/**
 * The whole wanted state of one session; it replaces what was put before, all of it or nothing.
 * Putting the same revision again, unchanged, renews the lease.
 */
const sessionPutSchema = z.strictObject({
  kind: z.literal("session.put"),
  id: requestId,
  session: sessionId,
  revision: z.int().positive(),
  leaseMs: z.int().min(MIN_LEASE_MS).max(MAX_LEASE_MS),
  pinholes: z.array(pinholeSchema).max(MAX_PINHOLES_PER_SESSION),
  recording: recordingSchema.optional(),
});

const sessionCloseSchema = z.strictObject({
  kind: z.literal("session.close"),
  id: requestId,
  session: sessionId,
  reason,
});

/** Opens a reconciliation: what of this controller's is not put before `sync.end` will be closed. */
const syncBeginSchema = z.strictObject({
  kind: z.literal("sync.begin"),
  id: requestId,
  epoch: z.string().min(1).max(64),
});

/** Ends it; `count` sessions were put since `sync.begin`, or nothing is closed and the reply is an error. */
const syncEndSchema = z.strictObject({ kind: z.literal("sync.end"), id: requestId, count });
const healthSchema = z.strictObject({ kind: z.literal("health"), id: requestId });

/** What the controller sends. */
export const controlRequestSchema = z.discriminatedUnion("kind", [
  helloSchema,
  sessionPutSchema,
  sessionCloseSchema,
  syncBeginSchema,
  syncEndSchema,
  healthSchema,
]);

const errorSchema = z.strictObject({
  code: z.string().regex(/^ERR_[A-Z_]{1,60}$/),
  /** The field at fault, such as `pinholes.0.to.port`. */
  path: z.string().max(256).optional(),
  message: z.string().max(512),
});

const orderOutcomeSchema = z.union([
  z.literal("accepted"),
  z.strictObject({ refused: z.string().max(256) }),
]);

const healthReportSchema = z.strictObject({
  firewall: z.boolean(),
  capture: z.boolean(),
  recorder: z.boolean(),
  sessions: count,
  pinholes: count,
});

const okReplySchema = z.strictObject({
  kind: z.literal("reply"),
  id: requestId,
  ok: z.literal(true),
  /** To `hello`. */
  version: z.literal(CONTROL_VERSION).optional(),
  /** To `session.put`: the revision that the kernel now has. */
  applied: z.int().positive().optional(),
  /** To `session.put` with a recording. */
  recording: orderOutcomeSchema.optional(),
  /** To `session.close`: the kernel's last counts by pinhole id, narrower successors included. */
  counters: countersSchema.optional(),
  /** To `session.close`: false if the kernel's last word was not heard and the counts may be low. */
  exact: z.boolean().optional(),
  /** To `sync.end`: the sessions that were closed as not named, or the first of very many. */
  closed: z.array(sessionId).max(MAX_CLOSED_NAMED).optional(),
  /** To `sync.end`: how many they are. */
  closedCount: count.optional(),
  health: healthReportSchema.optional(),
});

/** A refusal; `id` is null where the line did not yield one. Nothing was changed. */
const errorReplySchema = z.strictObject({
  kind: z.literal("reply"),
  id: requestId.nullable(),
  ok: z.literal(false),
  error: errorSchema,
});

const eventSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("pinhole.active"), session: sessionId, pinhole: pinholeId }),
  z.strictObject({
    kind: z.literal("session.expired"),
    session: sessionId,
    counters: countersSchema,
    exact: z.boolean(),
  }),
  z.strictObject({
    kind: z.literal("recording.closed"),
    session: sessionId,
    recording: z.uuid(),
    completeness: z.unknown(),
  }),
  /** Packets may have passed uncopied in this span of the kernel's time. */
  z.strictObject({
    kind: z.literal("loss"),
    session: sessionId,
    reason,
    fromMicros: count,
    toMicros: count,
  }),
  /** The recorder refused, later than in the reply, what it had taken or not yet answered. */
  z.strictObject({ kind: z.literal("refused"), session: sessionId, recording: z.uuid(), reason }),
]);

/** What the agent sends. */
export const agentMessageSchema = z.union([okReplySchema, errorReplySchema, eventSchema]);

export type Pinhole = z.infer<typeof pinholeSchema>;
export type RecordingRequest = z.infer<typeof recordingSchema>;
export type Counters = z.infer<typeof countersSchema>;
export type Hello = z.infer<typeof helloSchema>;
export type SessionPut = z.infer<typeof sessionPutSchema>;
export type SyncEnd = z.infer<typeof syncEndSchema>;
export type ControlRequest = z.infer<typeof controlRequestSchema>;
export type ControlError = z.infer<typeof errorSchema>;
export type OrderOutcome = z.infer<typeof orderOutcomeSchema>;
export type HealthReport = z.infer<typeof healthReportSchema>;
export type OkReply = z.infer<typeof okReplySchema>;
export type ErrorReply = z.infer<typeof errorReplySchema>;
export type ControlReply = OkReply | ErrorReply;
export type ControlEvent = z.infer<typeof eventSchema>;
export type AgentMessage = ControlReply | ControlEvent;
