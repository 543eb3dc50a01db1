/**
 * The session description that a message brings, found by its Content-Type alone: the body itself,
 * or a part of a multipart (RFC 3261 §7.4.1, §23; RFC 5621; RFC 8551 §3). Pure.
 */
import { parseContentType } from "../../protocol/mime/content-type.ts";
import {
  type MimeEntity,
  mimeHeaderValue,
  parseEntity,
  partsOf,
  serializeEntity,
} from "../../protocol/mime/entity.ts";
import { headerValue, type SipMessage } from "../../protocol/sip/message.ts";
import { parsed } from "./verdict.ts";

export type SessionBody =
  /** No description at all, which includes bodies that are none of our business. */
  | { readonly kind: "absent" }
  | { readonly kind: "sealed" }
  /** A description that anybody can read; undefined: there is one, and it cannot be told which. */
  | { readonly kind: "clear"; readonly sdp: Buffer | undefined };

const ABSENT: SessionBody = { kind: "absent" };
const SEALED: ReadonlySet<string> = new Set(["application/pkcs7-mime", "application/x-pkcs7-mime"]);
const SDP = "application/sdp";

/** Finds it; costs nothing for a message without a body. */
export function sessionBody(message: SipMessage): SessionBody {
  const { body } = message;
  if (body.length === 0) return ABSENT;
  const written = headerValue(message, "Content-Type") ?? SDP;
  const name = written.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (SEALED.has(name)) return { kind: "sealed" };
  if (name === SDP) return ofSdp(message);
  return name.startsWith("multipart/") ? ofMultipart(written, body) : ABSENT;
}

/** Media of an early session (RFC 3959) is agreed on apart from the call's own. */
function ofSdp(message: SipMessage): SessionBody {
  const disposition = headerValue(message, "Content-Disposition");
  if (!isSession(disposition)) return ABSENT;
  const isCoded = !isIdentity(headerValue(message, "Content-Encoding"));
  return { kind: "clear", sdp: isCoded ? undefined : message.body };
}

function ofMultipart(type: string, body: Buffer): SessionBody {
  const found = parsed(() => {
    parseContentType(type);
    return descriptionsIn(parseEntity(serializeEntity([["Content-Type", type]], body)));
  });
  if (!found.ok) return { kind: "clear", sdp: undefined };
  const [sdp, ...more] = found.value;
  if (sdp === undefined) return ABSENT;
  return { kind: "clear", sdp: more.length > 0 ? undefined : sdp };
}

/** Every description in there: two of them are two readings, and which one counts is not said. */
function descriptionsIn(entity: MimeEntity): readonly (Buffer | undefined)[] {
  const { type } = entity.contentType;
  if (type.startsWith("multipart/")) return partsOf(entity).flatMap(descriptionsIn);
  if (type !== SDP || !isSession(mimeHeaderValue(entity, "Content-Disposition"))) return [];
  return [isIdentity(mimeHeaderValue(entity, "Content-Encoding")) ? entity.body : undefined];
}

function isSession(disposition: string | undefined): boolean {
  const name = disposition?.split(";", 1)[0]?.trim().toLowerCase();
  return name === undefined || name === "session";
}

const isIdentity = (coding: string | undefined): boolean =>
  coding === undefined || coding.trim().toLowerCase() === "identity";
