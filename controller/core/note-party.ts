/**
 * Where the parties of a dialog are found (RFC 3261 §12.1.2): by their responses and by their later
 * requests. Pure but for what it notes.
 */
import type { FlowId } from "../../protocol/sip/flow.ts";
import { firstValue, type SipMessage, type SipResponse } from "../../protocol/sip/message.ts";
import { messageTag, parseNameAddr } from "../../protocol/sip/name-addr.ts";
import type { Arrival } from "../../protocol/sip/transaction-events.ts";
import { parseSipUri } from "../../protocol/sip/uri.ts";
import { type DialogSet, type Leg, MAX_CALLEES } from "./dialog-table.ts";
import type { NextHop } from "./next-hops.ts";
import type { Owner } from "./owner.ts";
import { canonicalAddress } from "./sip-policy.ts";
import type { Passing } from "./triage.ts";
import { parsed } from "./verdict.ts";

/** Who answered a request that makes dialogs, and from where. */
export function noteCallee(
  owner: Owner,
  response: SipResponse,
  hop: NextHop,
  arrival: Arrival,
): void {
  const set = dialogsOfOwner(owner);
  if (set === undefined) return;
  const tag = messageTag(response, "To") ?? "";
  const { callees } = set;
  const contact = contactHost(response);
  const known = callees.get(tag);
  if (known !== undefined) {
    known.contact = contact ?? known.contact;
    known.flow = arrival.flow;
  } else if (callees.size < MAX_CALLEES)
    callees.set(tag, legOf(hop, arrival.flow, arrival, contact));
}

/** The sender of an authenticated request of a dialog: the connection that it uses now. */
export function noteSender({ request, place }: Passing, arrival: Arrival): void {
  const { set, side, tag } = place;
  const known = side === "caller" ? set.caller : set.callees.get(tag);
  if (known === undefined) {
    const [asked] = set.asked;
    if (asked !== undefined && set.callees.size < MAX_CALLEES)
      set.callees.set(tag, { ...asked, flow: arrival.flow, peer: arrival.peer });
    return;
  }
  known.flow = arrival.flow;
  known.peer = arrival.peer;
  known.contact = contactHost(request) ?? known.contact;
}

function dialogsOfOwner(owner: Owner): DialogSet | undefined {
  switch (owner.kind) {
    case "invite":
      return owner.record.dialogs;
    case "relay":
      return owner.dialogs;
    case "request":
      return undefined;
  }
}

const legOf = (
  { whom }: NextHop,
  flow: FlowId,
  { peer }: Arrival,
  contact: string | undefined,
): Leg => ({ whom, flow, peer, contact });

/** Canonical host of the Contact. */
export function contactHost(message: SipMessage): string | undefined {
  const value = firstValue(message, "Contact");
  if (value === undefined) return undefined;
  const host = parsed(() => parseSipUri(parseNameAddr(value).uri).host);
  return host.ok ? canonicalAddress(host.value) : undefined;
}
