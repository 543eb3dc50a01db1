/**
 * Branches that show a loop (RFC 3261 §16.6 item 8 as corrected by RFC 5393 §4.2). Pure.
 * A branch is the cookie, random octets, and a digest over what decides where a request goes. A
 * request that comes back with one of our branches and the same digest has gone in a circle; one
 * that comes back changed spirals, which is allowed. The topmost Via is left out of the digest: it
 * decides nothing, and on each round through others it carries a new branch, which would hide the
 * loop.
 */
import { hash } from "node:crypto";
import { newBranch } from "./create-request.ts";
import { messageCSeq } from "./cseq.ts";
import { headerValue, headerValues, type SipRequest } from "./message.ts";
import { messageTag } from "./name-addr.ts";
import { parseVia, type Via, viaBranch } from "./via.ts";

const DIGEST_CHARACTERS = 16;

/** A fresh branch for forwarding the request as it was received. */
export const proxyBranch = (received: SipRequest, random: (size: number) => Buffer): string =>
  `${newBranch(random)}.${loopDigest(received)}`;

/** Whether a request that now comes in was forwarded from here just like this before. */
export function isLoop(received: SipRequest, isOwn: (via: Via) => boolean): boolean {
  const ours = headerValues(received, "Via").map(parseVia).filter(isOwn);
  if (ours.length === 0) return false;
  const digest = loopDigest(received);
  return ours.some((via) => viaBranch(via)?.endsWith(`.${digest}`) === true);
}

/** The method is left out, so that CANCEL and ACK follow their INVITE. */
function loopDigest(request: SipRequest): string {
  const deciding = [
    request.uri,
    messageTag(request, "To"),
    messageTag(request, "From"),
    headerValue(request, "Call-ID"),
    messageCSeq(request).number,
    headerValues(request, "Route"),
    headerValues(request, "Proxy-Require"),
    headerValues(request, "Proxy-Authorization"),
  ];
  return hash("sha256", JSON.stringify(deciding), "hex").slice(0, DIGEST_CHARACTERS);
}
