/**
 * Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3, RFC 2543 peers included),
 * and the stamp that a server puts on the Via it received (§18.2.1, RFC 3581 §4). Pure.
 */
import { messageCSeq } from "./cseq.ts";
import type { Peer } from "./flow.ts";
import { findParam, withParam } from "./grammar.ts";
import { headerValue, type SipMessage, type SipRequest, withFirstValue } from "./message.ts";
import { messageTag } from "./name-addr.ts";
import { serializeHostPort } from "./uri.ts";
import { serializeVia, topVia, viaBranch } from "./via.ts";

/**
 * The client transaction of a request about to be sent or of a response received; undefined if
 * the top Via carries no branch of RFC 3261.
 */
export function clientKey(message: SipMessage): string | undefined {
  const branch = viaBranch(topVia(message));
  return branch === undefined ? undefined : `c|${branch}|${messageCSeq(message).method}`;
}

/**
 * The server transaction of a request; ACK and CANCEL may ask for their INVITE's. The peer's
 * address is part of it: nobody else's CANCEL ends a call.
 */
export function serverKey(request: SipRequest, peer: Peer, method = request.method): string {
  const via = topVia(request);
  const branch = viaBranch(via) ?? oldStyleBranch(request);
  const sentBy = serializeHostPort(via.host.toLowerCase(), via.port);
  const wanted = method === "ACK" ? "INVITE" : method;
  return `s|${branch}|${sentBy}|${wanted}|${peer.address}`;
}

/** What RFC 2543 goes by instead of a branch; To is left out since the ACK's has grown a tag. */
function oldStyleBranch(request: SipRequest): string {
  const parts = [
    request.uri,
    headerValue(request, "Call-ID"),
    messageTag(request, "From"),
    messageCSeq(request).number,
    findParam(topVia(request).params, "branch")?.value,
  ];
  return JSON.stringify(parts);
}

/** Notes in the top Via where the request came from in truth. */
export function stampVia(request: SipRequest, peer: Peer): SipRequest {
  const via = topVia(request);
  const asksPort = findParam(via.params, "rport") !== undefined;
  const hasReceived = findParam(via.params, "received") !== undefined;
  if (!asksPort && !hasReceived && via.host === peer.address) return request;
  const received = withParam(via.params, "received", peer.address);
  const params = asksPort ? withParam(received, "rport", String(peer.port)) : received;
  return withFirstValue(request, "Via", serializeVia({ ...via, params }));
}
