/**
 * A request as it leaves, and the refusals made here (RFC 3261 §16.6, §20.43, RFC 5658). Pure.
 * The body is the received object, octet for octet.
 */
import { newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { parseAuthValue } from "../../protocol/sip/credentials.ts";
import { proxyBranch } from "../../protocol/sip/loop.ts";
import type { HeaderRow, SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { messageTag } from "../../protocol/sip/name-addr.ts";
import { forwardRequest } from "../../protocol/sip/proxy.ts";
import { serializeWarning } from "../../protocol/sip/warning.ts";
import type { Door, Neighbour, Neighbourhood } from "./neighbourhood.ts";
import { parsed, type Refusal } from "./verdict.ts";

export interface Leaving {
  readonly request: SipRequest;
  readonly neighbourhood: Neighbourhood;
  readonly random: (size: number) => Buffer;
  /** Who sent it. */
  readonly from: Neighbour;
  /** Who gets it. */
  readonly to: Neighbour;
  readonly uri?: string | undefined;
  /** Route values to put on top. */
  readonly path?: readonly string[];
  /** Whether the requests of its dialog are to come by here as well. */
  readonly recordRoute: boolean;
  /** By which transport it leaves, where that is not the one that its dialog goes on with. */
  readonly over?: Neighbour["transport"] | undefined;
  /** Rows of other names than credentials that end here, and rows that begin. */
  readonly isWithheld?: ((canonical: string) => boolean) | undefined;
  readonly added?: readonly HeaderRow[] | undefined;
}

/** The request for the next hop; undefined if no listener of ours has the transport it needs. */
export function leavingRequest(leaving: Leaving): SipRequest | undefined {
  const { request, neighbourhood, random, from, to, uri, path, over, isWithheld, added } = leaving;
  const outgoing = neighbourhood.doorTo(to);
  const sending = over === undefined ? outgoing : neighbourhood.doorTo({ ...to, transport: over });
  const incoming = neighbourhood.doorTo(from);
  if (outgoing === undefined || incoming === undefined || sending === undefined) return undefined;
  if (isSipsUri(uri ?? request.uri) && sending.transport !== "tls") return undefined;
  const { transport, address, port } = sending;
  const via = ownVia(transport, address, port, branchFor(request, random));
  const isDropped = (name: string, value: string) =>
    (name === "proxy-authorization" && isOurs(value, neighbourhood)) || isWithheld?.(name) === true;
  return forwardRequest(request, {
    via,
    uri,
    routes: path,
    recordRoutes: leaving.recordRoute
      ? routesBack([request.uri, uri ?? ""], incoming, outgoing)
      : undefined,
    isDropped,
    added,
  });
}

/** Only what makes a new way can make a circle: a dialog's own runs where its first request ran. */
const branchFor = (request: SipRequest, random: (size: number) => Buffer): string =>
  messageTag(request, "To") === undefined ? proxyBranch(request, random) : newBranch(random);

/** Both doors where they differ, the outgoing on top (RFC 5658 §6); SIPS stays so (§16.6 item 4). */
function routesBack(uris: readonly string[], incoming: Door, outgoing: Door): readonly string[] {
  const route = uris.some(isSipsUri) ? "secureRoute" : "route";
  return incoming === outgoing ? [incoming[route]] : [outgoing[route], incoming[route]];
}

/** A SIPS URI, which promises TLS on every hop (§26.2.2). */
export const isSipsUri = (uri: string): boolean => /^sips:/i.test(uri);

/** Credentials for our realms end here (RFC 3261 §22.3). */
function isOurs(credentials: string, neighbourhood: Neighbourhood): boolean {
  const read = parsed(() => parseAuthValue(credentials));
  const realm = read.ok ? read.value.params.get("realm") : undefined;
  return realm !== undefined && neighbourhood.isOwnDomain(realm);
}

export interface RefusalParts {
  /** Name of the warning agent. */
  readonly name: string;
  readonly toTag: string;
  /** DER; goes with 493 and 496, so that the sender can seal for us. */
  readonly certificate: Uint8Array;
}

/** RFC 3261 §21.4.27, draft-ietf-sip-e2m-sec-06 §4.1. */
const UNDECIPHERABLE: ReadonlySet<number> = new Set([493, 496]);

/** The response that refuses a request. */
export function refusalResponse(
  request: SipRequest,
  { status, reason, warning, retryAfterS }: Refusal,
  { name, toTag, certificate }: RefusalParts,
): SipResponse {
  const undecipherable = UNDECIPHERABLE.has(status);
  const headers: (readonly [string, string])[] = [];
  if (warning !== undefined)
    headers.push(["Warning", serializeWarning({ ...warning, agent: name })]);
  if (retryAfterS !== undefined) headers.push(["Retry-After", String(retryAfterS)]);
  if (undecipherable) headers.push(["Content-Type", "application/pkix-cert"]);
  const body = undecipherable ? { body: certificate } : {};
  return createResponse(request, status, { toTag, reason, headers, ...body });
}
