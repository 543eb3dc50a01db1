/**
 * What the frames of the ingest socket say (`frames.ts`), as checked objects. Pure.
 *
 * The agent begins with `hello`. A close says what the kernel counted for each pinhole and where
 * that pinhole led, so that the recorder can lay its own counts beside it.
 */

import { z } from "zod";
import { assertNever, ProtocolError } from "../errors.ts";
import { MAX_SEALED_ORDER_BYTES } from "../sealing/order.ts";
import { addressField } from "./address-field.ts";
import {
  type CapturedPacket,
  decodeBatch,
  encodeBatch,
  encodeFrame,
  FRAME_KINDS,
  type Frame,
} from "./frames.ts";

/** Octets of JSON in one frame. */
export const MAX_INGEST_JSON_BYTES = 64 * 1024;

const name = z.string().min(1).max(256);
const reason = z.string().max(256);
const count = z.int().min(0);
const micros = z.int().min(0);
const base64Length = (bytes: number) => Math.ceil(bytes / 3) * 4;

const hello = z.strictObject({ version: z.literal(1) });
const order = z.strictObject({
  id: z.union([z.int(), name]),
  session: name,
  recording: z.uuid(),
  sealedOrder: z.base64().max(base64Length(MAX_SEALED_ORDER_BYTES)),
});
const pinholeCount = z.strictObject({
  packets: count,
  bytes: count,
  to: z.strictObject({
    address: addressField,
    port: z.int().min(1).max(65_535),
  }),
});
const close = z.strictObject({
  session: name,
  reason,
  counters: z.record(name, pinholeCount),
  /** False: the kernel's last word on a pinhole was missed, the counts may be low. */
  exact: z.boolean(),
});
const gap = z.strictObject({ reason, fromMicros: micros, toMicros: micros });
const orderReply = z.strictObject({
  id: z.union([z.int(), name]),
  result: z.union([z.literal("accepted"), z.strictObject({ refused: reason })]),
});
const closed = z.strictObject({
  session: name,
  recording: z.uuid(),
  /** The completeness report, as the recording stores it. */
  completeness: z.record(z.string(), z.unknown()),
});

/** What the kernel let through one pinhole, and where that pinhole led. */
export type PinholeCount = Readonly<z.infer<typeof pinholeCount>>;
export type OrderId = z.infer<typeof order>["id"];

export type AgentMessage =
  | ({ readonly kind: "hello" } & Readonly<z.infer<typeof hello>>)
  | ({ readonly kind: "order" } & Readonly<z.infer<typeof order>>)
  | { readonly kind: "batch"; readonly packets: readonly CapturedPacket[] }
  | ({ readonly kind: "close" } & Readonly<z.infer<typeof close>>)
  | ({ readonly kind: "gap" } & Readonly<z.infer<typeof gap>>);

export type RecorderMessage =
  | ({ readonly kind: "order-reply" } & Readonly<z.infer<typeof orderReply>>)
  | ({ readonly kind: "closed" } & Readonly<z.infer<typeof closed>>);

/**
 * What the agent says in this frame.
 * @throws ProtocolError `ERR_INGEST_SYNTAX` (unknown kind, not JSON, a bad field, named by its
 *   path), `ERR_INGEST_LIMIT`.
 */
export function decodeAgentMessage(frame: Frame): AgentMessage {
  switch (frame.kind) {
    case FRAME_KINDS.hello:
      return { kind: "hello", ...checked(hello, frame) };
    case FRAME_KINDS.order:
      return { kind: "order", ...checked(order, frame) };
    case FRAME_KINDS.batch:
      return { kind: "batch", packets: decodeBatch(frame.payload) };
    case FRAME_KINDS.close:
      return { kind: "close", ...checked(close, frame) };
    case FRAME_KINDS.gap:
      return { kind: "gap", ...checked(gap, frame) };
    default:
      throw new ProtocolError("ERR_INGEST_SYNTAX", `frame kind ${frame.kind}`);
  }
}

/** What the recorder says in this frame. @throws ProtocolError as `decodeAgentMessage`. */
export function decodeRecorderMessage(frame: Frame): RecorderMessage {
  switch (frame.kind) {
    case FRAME_KINDS.orderReply:
      return { kind: "order-reply", ...checked(orderReply, frame) };
    case FRAME_KINDS.closed:
      return { kind: "closed", ...checked(closed, frame) };
    default:
      throw new ProtocolError("ERR_INGEST_SYNTAX", `frame kind ${frame.kind}`);
  }
}

/** The frame that says this. @throws RangeError beyond the limits of `frames.ts`. */
export function encodeAgentMessage(message: AgentMessage): Buffer {
  switch (message.kind) {
    case "hello":
    case "order":
    case "close":
    case "gap":
      return encodeJson(FRAME_KINDS[message.kind], message);
    case "batch":
      return encodeFrame(FRAME_KINDS.batch, encodeBatch(message.packets));
    default:
      return assertNever(message);
  }
}

/** The frame that says this. @throws RangeError for JSON over `MAX_INGEST_JSON_BYTES`. */
export function encodeRecorderMessage(message: RecorderMessage): Buffer {
  switch (message.kind) {
    case "order-reply":
      return encodeJson(FRAME_KINDS.orderReply, message);
    case "closed":
      return encodeJson(FRAME_KINDS.closed, message);
    default:
      return assertNever(message);
  }
}

function encodeJson(kind: number, message: { readonly kind: string }): Buffer {
  const { kind: _kind, ...fields } = message;
  const json = Buffer.from(JSON.stringify(fields), "utf8");
  if (json.length > MAX_INGEST_JSON_BYTES) throw new RangeError(`${json.length} octets of JSON`);
  return encodeFrame(kind, json);
}

function checked<T>(schema: z.ZodType<T>, frame: Frame): T {
  if (frame.payload.length > MAX_INGEST_JSON_BYTES)
    throw new ProtocolError("ERR_INGEST_LIMIT", "too much JSON in a frame");
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(frame.payload));
  } catch {
    throw new ProtocolError("ERR_INGEST_SYNTAX", "payload is not JSON");
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const path = result.error.issues[0]?.path.join(".") ?? "";
  throw new ProtocolError("ERR_INGEST_SYNTAX", `bad field: ${path === "" ? "(whole)" : path}`);
}
