/**
 * The recording order: what the controller tells the recorder about a call, through an agent that
 * cannot read it (`protocol/sealing/order.ts`). It alone carries media keys. Pure.
 *
 * Revision 1 comes with the offer, higher ones replace it whole. An offer's key protects what
 * goes from offerer to answerer (RFC 4568 §5.1), so a stream is known by its *destination*.
 */

import { z } from "zod";
import { ProtocolError } from "../errors.ts";
import { addressField } from "./address-field.ts";

/** Streams that one order may name. */
export const MAX_ORDER_STREAMS = 16;
/** Payload types that one stream may name (RFC 3551: seven bits). */
export const MAX_ORDER_PAYLOADS = 32;
/** Octets of an order's JSON. */
export const MAX_ORDER_BYTES = 32 * 1024;

const port = z.int().min(1).max(65_535);
const address = addressField;
/** Characters of a name or Call-ID. */
export const MAX_ORDER_TEXT = 1024;
const text = z.string().min(1).max(MAX_ORDER_TEXT);

const payload = z.strictObject({
  type: z.int().min(0).max(127),
  codec: z.string().regex(/^[A-Za-z0-9][\w.+-]{0,31}$/),
  clockHz: z.int().min(1).max(1_000_000),
  channels: z.int().min(1).max(8),
});

const protection = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("srtp"),
    /** Name as in `a=crypto` (RFC 4568 §6.2, RFC 7714 §14). */
    suite: z.string().regex(/^[A-Z0-9_]{1,64}$/),
    /** Base64 of master key and master salt, one after the other (RFC 4568 §6.1). */
    masterKeySalt: z.base64().min(4).max(128),
  }),
  z.strictObject({ kind: z.literal("rtp") }),
  z.strictObject({ kind: z.literal("pending") }),
]);

const stream = z.strictObject({
  /** Who speaks in it. */
  label: z.enum(["caller", "callee"]),
  media: z.string().regex(/^[a-z]{1,16}$/),
  source: z.strictObject({ address }).optional(),
  destination: z.strictObject({ address, port }),
  /** Where its RTCP goes; absent: to the RTP port (RFC 5761). */
  rtcpPort: port.optional(),
  payloads: z.array(payload).max(MAX_ORDER_PAYLOADS),
  protection,
});

const recordingOrder = z.strictObject({
  version: z.literal(1),
  /** In lower case, as files and ledger have it. */
  recording: z.uuid().lowercase(),
  session: z.string().min(1).max(256),
  revision: z.int().min(1),
  callId: text,
  from: text,
  to: text,
  startedAt: z.iso.datetime({ offset: true }),
  /** The recording of the call that this one replaces (RFC 3891), or was referred by (RFC 3515). */
  linked: z.uuid().lowercase().optional(),
  /** What is stored: the media after decryption. */
  policy: z.literal("decrypted"),
  streams: z.array(stream).max(MAX_ORDER_STREAMS),
});

export type RecordingOrder = Readonly<z.infer<typeof recordingOrder>>;
export type OrderStream = Readonly<z.infer<typeof stream>>;
export type OrderPayload = Readonly<z.infer<typeof payload>>;
export type OrderProtection = Readonly<z.infer<typeof protection>>;

/**
 * Checks an order field by field; unknown fields are refused.
 * @throws ProtocolError `ERR_ORDER`, naming the first bad field, never its value.
 */
export function checkOrder(value: unknown): RecordingOrder {
  const result = recordingOrder.safeParse(value);
  if (result.success) return result.data;
  const path = result.error.issues[0]?.path.join(".") ?? "";
  throw new ProtocolError("ERR_ORDER", `recording order: ${path === "" ? "not an object" : path}`);
}

/** The order as UTF-8 JSON. @throws ProtocolError `ERR_ORDER` for one that could not be read back. */
export function serializeOrder(order: RecordingOrder): Buffer {
  const octets = Buffer.from(JSON.stringify(checkOrder(order)), "utf8");
  if (octets.length > MAX_ORDER_BYTES)
    throw new ProtocolError("ERR_ORDER", `recording order: over ${MAX_ORDER_BYTES} octets`);
  return octets;
}

/** Reads what `serializeOrder` wrote. @throws ProtocolError `ERR_ORDER`. */
export function parseOrder(octets: Uint8Array): RecordingOrder {
  if (octets.length > MAX_ORDER_BYTES)
    throw new ProtocolError("ERR_ORDER", `recording order: over ${MAX_ORDER_BYTES} octets`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(octets));
  } catch {
    throw new ProtocolError("ERR_ORDER", "recording order: not JSON");
  }
  return checkOrder(value);
}
