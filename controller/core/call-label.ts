/**
 * What a call is named by in logs: a digest, since a Call-ID may hold a host or a user name. Pure.
 */
import { hash } from "node:crypto";
import { headerValue, type SipMessage } from "../../protocol/sip/message.ts";

const LABEL_CHARS = 12;

export const callLabel = (message: SipMessage): string =>
  labelOf(headerValue(message, "Call-ID") ?? "");

export const labelOf = (callId: string): string =>
  hash("sha256", Buffer.from(callId, "latin1"), "hex").slice(0, LABEL_CHARS);
