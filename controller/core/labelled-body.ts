/**
 * Whether the body that a label names is there (draft-ietf-sip-e2m-sec-06 §4.1). Pure.
 */
import { stripContentId } from "../../protocol/sip/inspection-label.ts";
import { headerValue, type SipRequest } from "../../protocol/sip/message.ts";

/** The body's own Content-ID, where it has one, is among those that the label names. */
export function namesBody(request: SipRequest, cids: readonly string[]): boolean {
  const contentId = headerValue(request, "Content-ID");
  return contentId === undefined || cids.includes(stripContentId(contentId));
}
