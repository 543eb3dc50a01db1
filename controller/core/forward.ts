/**
 * A request as it leaves, and the refusals made here (RFC 3261 §16.6, §20.43, RFC 5658). Pure.
 * The body is the received object, octet for octet.
 */
import { ownVia } from "../../protocol/sip/create-request.ts";
import { createResponse } from "../../protocol/sip/create-response.ts";
import { parseAuthValue } from "../../protocol/sip/credentials.ts";
import type { Peer } from "../../protocol/sip/flow.ts";
import { canonicalName } from "../../protocol/sip/header-name.ts";
import { proxyBranch } from "../../protocol/sip/loop.ts";
import type { SipRequest, SipResponse } from "../../protocol/sip/message.ts";
import { forwardRequest, recordRoutes } from "../../protocol/sip/proxy.ts";
import { serializeWarning } from "../../protocol/sip/warning.ts";
import { listenerOf, listenerUri, type SipPolicy } from "./sip-policy.ts";
import { parsed, type Refusal } from "./verdict.ts";

/** Who stands at the other end of a hop. */
export type Neighbour = Pick<Peer, "transport" | "address" | "localAddress">;

export interface Leaving {
  readonly request: SipRequest;
  readonly policy: SipPolicy;
  readonly random: (size: number) => Buffer;
  /** Who sent it. */
  readonly from: Neighbour;
  /** Who gets it. */
  readonly to: Neighbour;
  /** Whether the requests of its dialog are to come by here as well. */
  readonly recordRoute: boolean;
}

/** The request for the next hop; undefined if no listener of ours has its transport. */
export function leavingRequest(leaving: Leaving): SipRequest | undefined {
  const { request, policy, random, from, to, recordRoute } = leaving;
  const outgoing = listenerOf(policy, to);
  const incoming = listenerOf(policy, from);
  if (outgoing === undefined || incoming === undefined) return undefined;
  const { transport, address, port } = outgoing;
  const via = ownVia(transport, address, port, proxyBranch(request, random));
  const routes = recordRoutes(listenerUri(incoming), listenerUri(outgoing));
  return forwardRequest(withoutOwnCredentials(request, policy), {
    via,
    ...(recordRoute ? { recordRoutes: routes } : {}),
  });
}

/** Credentials for our realms end here (RFC 3261 §22.3). */
function withoutOwnCredentials(request: SipRequest, { domains }: SipPolicy): SipRequest {
  const headers = request.headers.filter(
    ({ name, value }) =>
      canonicalName(name) !== "proxy-authorization" || !domains.includes(realmOf(value) ?? ""),
  );
  return headers.length === request.headers.length ? request : { ...request, headers };
}

/** The realm however it is spaced and quoted; undefined for what are no credentials. */
function realmOf(credentials: string): string | undefined {
  const read = parsed(() => parseAuthValue(credentials));
  return read.ok ? read.value.params.get("realm") : undefined;
}

export interface RefusalParts {
  /** Name of the warning agent. */
  readonly name: string;
  readonly toTag: string;
  /** DER; goes with 496, so that the sender can seal for us. */
  readonly certificate: Uint8Array;
}

const PROXY_UNDECIPHERABLE = 496;

/** The response that refuses a request. */
export function refusalResponse(
  request: SipRequest,
  { status, reason, warning, retryAfterS }: Refusal,
  { name, toTag, certificate }: RefusalParts,
): SipResponse {
  const undecipherable = status === PROXY_UNDECIPHERABLE;
  const headers: (readonly [string, string])[] = [];
  if (warning !== undefined)
    headers.push(["Warning", serializeWarning({ ...warning, agent: name })]);
  if (retryAfterS !== undefined) headers.push(["Retry-After", String(retryAfterS)]);
  if (undecipherable) headers.push(["Content-Type", "application/pkix-cert"]);
  const body = undecipherable ? { body: certificate } : {};
  return createResponse(request, status, { toTag, reason, headers, ...body });
}
