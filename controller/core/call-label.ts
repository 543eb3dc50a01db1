/**
 * What a call is named by in logs: a digest, since a Call-ID may hold a host or a user name. Pure.
 */
import { createHash } from "node:crypto";
import { headerValue, type SipMessage } from "../../protocol/sip/message.ts";

const LABEL_CHARS = 12;

export function callLabel(message: SipMessage): string {
  const callId = headerValue(message, "Call-ID") ?? "";
  return createHash("sha256").update(callId, "latin1").digest("hex").slice(0, LABEL_CHARS);
}
