/**
 * Where the callees of a call are to be found, by their Contact (RFC 3261 §12.1.2): the requests
 * of a dialog may come straight from there. Pure.
 */
import { firstValue, type SipResponse } from "../../protocol/sip/message.ts";
import { messageTag, parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { parseSipUri } from "../../protocol/sip/uri.ts";
import { MAX_DIALOGS } from "./call-dialogs.ts";
import type { CallRecord } from "./call-table.ts";
import { canonicalAddress } from "./sip-policy.ts";
import { parsed } from "./verdict.ts";

/** Remembers the Contact of a response to the INVITE, of as many dialogs as a call may have. */
export function noteContact({ contacts }: CallRecord, response: SipResponse): void {
  const tag = messageTag(response, "To") ?? "";
  const contact = parsed(() => {
    const { uri } = parseNameAddr(firstValue(response, "Contact") ?? "");
    return canonicalAddress(parseSipUri(uri).host);
  });
  const hasRoom = contacts.has(tag) || contacts.size < MAX_DIALOGS;
  if (response.status < 300 && contact.ok && hasRoom) contacts.set(tag, contact.value);
}
