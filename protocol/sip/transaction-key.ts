/**
 * Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3, RFC 2543 peers included),
 * and the stamp that a server puts on the Via it received (§18.2.1, RFC 3581 §4). Pure.
 */
import { messageCSeq } from "./cseq.ts";
import type { Peer } from "./flow.ts";
import { findParam, withParam } from "./grammar.ts";
import { headerValue, type SipMessage, type SipRequest, withFirstValue } from "./message.ts";
import { messageTag } from "./name-addr.ts";
import { serializeVia, topVia, type Via, viaBranch } from "./via.ts";

/**
 * The client transaction of a request about to be sent or of a response received; undefined if
 * the top Via carries no branch of RFC 3261.
 */
export function clientKey(message: SipMessage): string | undefined {
  const branch = viaBranch(topVia(message));
  return branch === undefined ? undefined : `c|${branch}|${messageCSeq(message).method}`;
}

/** True for the key of a client transaction, false for that of a server's. */
export const isClientKey = (key: string): boolean => key.startsWith("c|");

/**
 * The server transaction of a request with that top Via; ACK and CANCEL may ask for their
 * INVITE's. The peer's address is part of it: nobody else's CANCEL ends a call.
 */
export function serverKey(
  request: SipRequest,
  via: Via,
  peer: Peer,
  method = request.method,
): string {
  const branch = viaBranch(via) ?? oldStyleBranch(request, via);
  const wanted = method === "ACK" ? "INVITE" : method;
  return `s|${branch}|${via.host.toLowerCase()}|${via.port ?? ""}|${wanted}|${peer.address}`;
}

/** What RFC 2543 goes by instead of a branch; To is left out since the ACK's has grown a tag. */
function oldStyleBranch(request: SipRequest, via: Via): string {
  const parts = [
    request.uri,
    headerValue(request, "Call-ID"),
    messageTag(request, "From"),
    messageCSeq(request).number,
    findParam(via.params, "branch")?.value,
  ];
  return JSON.stringify(parts);
}

/**
 * What copies of one request share that came by different ways (RFC 3261 §8.2.2.2); undefined for
 * a request inside a dialog, and for one without From tag.
 */
export function mergeKey(request: SipRequest): string | undefined {
  const from = messageTag(request, "From");
  if (from === undefined || messageTag(request, "To") !== undefined) return undefined;
  const { number, method } = messageCSeq(request);
  return JSON.stringify([headerValue(request, "Call-ID"), from, number, method]);
}

/** Notes in the top Via where the request came from in truth. */
export function stampVia(request: SipRequest, peer: Peer): SipRequest {
  const via = topVia(request);
  const stamped = stampedVia(via, peer);
  return stamped === via ? request : withFirstValue(request, "Via", serializeVia(stamped));
}

/** The Via with `received` and `rport`; itself where there is nothing to note. */
export function stampedVia(via: Via, peer: Peer): Via {
  const asksPort = findParam(via.params, "rport") !== undefined;
  const hasReceived = findParam(via.params, "received") !== undefined;
  if (!asksPort && !hasReceived && via.host === peer.address) return via;
  const received = withParam(via.params, "received", peer.address);
  const params = asksPort ? withParam(received, "rport", String(peer.port)) : received;
  return { ...via, params };
}
