/**
 * Lines of the control socket: octets to checked messages and back. Pure.
 * A line is UTF-8 JSON of at most 64 KiB, its newline not counted.
 */
import type { z } from "zod";
import {
  type AgentMessage,
  agentMessageSchema,
  type ControlRequest,
  controlRequestSchema,
  type ErrorReply,
} from "./messages.ts";

export const MAX_CONTROL_LINE_BYTES = 65_536;

/** The message, or the reply that a peer who sent this line is owed. */
export type Decoded<Message> =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly reply: ErrorReply };

/**
 * Decodes what a controller sent, without its newline. Never throws: the error reply is
 * `ERR_CONTROL_LIMIT`, `ERR_CONTROL_SYNTAX` (no JSON object) or `ERR_CONTROL_VALUE` with the field's path.
 */
export function decodeControlLine(line: Uint8Array): Decoded<ControlRequest> {
  return decodeLine(line, controlRequestSchema);
}

/** Decodes what an agent sent, without its newline; faults as in `decodeControlLine`. */
export function decodeAgentLine(line: Uint8Array): Decoded<AgentMessage> {
  return decodeLine(line, agentMessageSchema);
}

/**
 * Encodes one message with its newline.
 * @throws RangeError for a message whose line would exceed the limit.
 */
export function encodeControlLine(message: ControlRequest | AgentMessage): Buffer {
  const line = Buffer.from(`${JSON.stringify(message)}\n`, "utf8");
  if (line.length > MAX_CONTROL_LINE_BYTES + 1)
    throw new RangeError(`a control line of ${line.length} octets`);
  return line;
}

/** The reply to a line that was too long to be kept. */
export function oversizedLineReply(): ErrorReply {
  return fault(null, "ERR_CONTROL_LIMIT", `a line exceeds ${MAX_CONTROL_LINE_BYTES} octets`);
}

function decodeLine<Message>(line: Uint8Array, schema: z.ZodType<Message>): Decoded<Message> {
  if (line.length > MAX_CONTROL_LINE_BYTES) return { ok: false, reply: oversizedLineReply() };
  const value = parseJsonObject(line);
  if (value === undefined)
    return { ok: false, reply: fault(null, "ERR_CONTROL_SYNTAX", "not a JSON object in UTF-8") };
  const result = schema.safeParse(value);
  if (result.success) return { ok: true, message: result.data };
  const { path, message } = firstIssue(result.error.issues);
  return { ok: false, reply: fault(requestIdOf(value), "ERR_CONTROL_VALUE", message, path) };
}

function parseJsonObject(line: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? { ...value }
      : undefined;
  } catch {
    return undefined;
  }
}

function requestIdOf({ id }: Readonly<Record<string, unknown>>): string | null {
  return typeof id === "string" && id.length >= 1 && id.length <= 64 ? id : null;
}

/** The first fault; an unknown field is named itself, not its parent. */
function firstIssue(issues: readonly z.core.$ZodIssue[]): { path: string; message: string } {
  const issue = issues[0];
  const keys = issue?.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
  const path = [...(issue?.path ?? []), ...keys].map(String).join(".");
  const message = keys.length > 0 ? "unknown field" : (issue?.message ?? "not valid");
  return { path: path.slice(0, 256), message: message.slice(0, 512) };
}

function fault(id: string | null, code: string, message: string, path?: string): ErrorReply {
  const error = path === undefined || path === "" ? { code, message } : { code, path, message };
  return { kind: "reply", id, ok: false, error };
}
