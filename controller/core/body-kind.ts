/**
 * What a message's body is to the controller, by its Content-Type alone (RFC 3261 §7.4.1, §23;
 * RFC 8551 §3). Pure.
 */
import { headerValue, type SipMessage } from "../../protocol/sip/message.ts";

/** `clear`: a session description that anybody can read. `other`: none of our business. */
export type BodyKind = "absent" | "sealed" | "clear" | "other";

const SEALED: ReadonlySet<string> = new Set(["application/pkcs7-mime", "application/x-pkcs7-mime"]);

export function bodyKind(message: SipMessage): BodyKind {
  if (message.body.length === 0) return "absent";
  const type = headerValue(message, "Content-Type") ?? "application/sdp";
  const name = mediaType(type);
  if (SEALED.has(name)) return "sealed";
  return name === "application/sdp" ? "clear" : "other";
}

/** Type and subtype of a Content-Type or an Accept value, in lower case. */
export const mediaType = (value: string): string =>
  value.split(";", 1)[0]?.trim().toLowerCase() ?? "";
