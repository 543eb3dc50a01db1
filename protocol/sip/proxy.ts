/**
 * The steps of a proxy between transactions: check, strip its own routes, forward, hand back
 * (RFC 3261 §16). Pure. Bodies pass as the same object; rows that need no change keep their octets.
 */
import { DEFAULT_MAX_FORWARDS } from "./create-request.ts";
import { canonicalName } from "./header-name.ts";
import {
  firstValue,
  type HeaderRow,
  headerRows,
  headerValue,
  headerValues,
  type SipRequest,
  type SipResponse,
  withFirstValue,
  withoutHeader,
  withValues,
} from "./message.ts";
import { parseNameAddr } from "./name-addr.ts";
import { isSipScheme, parseSipUri, type SipUri, uriParam } from "./uri.ts";
import { serializeVia, type Via } from "./via.ts";

/** How a request is refused; `createResponse` makes it a response. An ACK is just dropped. */
export interface Refusal {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface ProxySupport {
  /** Option tags understood in Proxy-Require. */
  readonly optionTags: readonly string[];
  /** Whether a URI of another scheme than sip and sips leads somewhere: `urn:service:sos`. */
  readonly isKnownUri?: (uri: string) => boolean;
  /** True when the request went through here before, unchanged (`isLoop`). */
  readonly looped: boolean;
}

/** Whether a well-formed request may be proxied (§16.3 items 2-5); undefined if it may. */
export function validateRequest(request: SipRequest, support: ProxySupport): Refusal | undefined {
  const refuse = (status: number, ...headers: Refusal["headers"]): Refusal => ({ status, headers });
  if (!isSipScheme(request.uri) && support.isKnownUri?.(request.uri) !== true) return refuse(416);
  if (Number(headerValue(request, "Max-Forwards") ?? DEFAULT_MAX_FORWARDS) === 0)
    return refuse(483);
  if (support.looped) return refuse(482);
  if (request.method === "ACK" || request.method === "CANCEL") return undefined; // §8.2.2.3
  const required = headerValues(request, "Proxy-Require");
  if (required.length === 0) return undefined;
  const known = support.optionTags.map((tag) => tag.toLowerCase());
  const unknown = required.filter((tag) => !known.includes(tag.toLowerCase()));
  return unknown.length === 0 ? undefined : refuse(420, ["Unsupported", unknown.join(", ")]);
}

export interface Unrouted {
  readonly request: SipRequest;
  /** The URIs of ours that were taken off, in order: two of them after a double Record-Route. */
  readonly ownRoutes: readonly SipUri[];
}

/**
 * Takes this proxy off the Route (§16.4): the one or two rows of its own on top, and the traces
 * of a strict router, which puts our URI into the Request-URI and the target at the end of Route.
 */
export function removeOwnRoute(request: SipRequest, isOwn: (uri: SipUri) => boolean): Unrouted {
  const ownRoutes: SipUri[] = [];
  let current = undoStrictRouting(request, isOwn);
  for (let count = 0; count < 2; count += 1) {
    const uri = sipUriOf(firstValue(current, "Route"));
    if (uri === undefined || !isOwn(uri)) break;
    ownRoutes.push(uri);
    current = withFirstValue(current, "Route", undefined);
  }
  return { request: current, ownRoutes };
}

function undoStrictRouting(request: SipRequest, isOwn: (uri: SipUri) => boolean): SipRequest {
  if (!isSipScheme(request.uri) || firstValue(request, "Route") === undefined) return request;
  const uri = parseSipUri(request.uri);
  const routes = headerValues(request, "Route");
  const last = routes.at(-1);
  if (last === undefined || uriParam(uri, "lr") === undefined || !isOwn(uri)) return request;
  const target = { ...request, uri: parseNameAddr(last).uri };
  return routes.length === 1
    ? withoutHeader(target, "Route")
    : withValues(target, "Route", routes.slice(0, -1));
}

function sipUriOf(value: string | undefined): SipUri | undefined {
  if (value === undefined) return undefined;
  const { uri } = parseNameAddr(value);
  return isSipScheme(uri) ? parseSipUri(uri) : undefined;
}

export interface Forwarding {
  /** Ours, with a branch of its own (`proxyBranch`). */
  readonly via: Via;
  /** The new Request-URI, where the target is another. */
  readonly uri?: string | undefined;
  /** Record-Route values to add, topmost first (`recordRoutes`). */
  readonly recordRoutes?: readonly string[] | undefined;
  /** Route values to add, topmost first: the Path of a registered contact (RFC 3327 §5.3). */
  readonly routes?: readonly string[] | undefined;
  /** Rows that end here, by their canonical name: our own credentials, identities not to be told. */
  readonly isDropped?: (canonical: string, value: string) => boolean;
  /** Rows to add at the end. */
  readonly added?: readonly HeaderRow[] | undefined;
}

/** The request as it leaves for the next hop (§16.6 items 1-4, 6, 8), made in one pass. */
export function forwardRequest(request: SipRequest, forwarding: Forwarding): SipRequest {
  const { via, uri, recordRoutes = NONE, routes = NONE, isDropped, added = NO_ROWS } = forwarding;
  const headers: HeaderRow[] = [{ name: "Via", value: serializeVia(via) }];
  let afterVia = 1;
  let recordAt = -1;
  let routeAt = -1;
  let hasHops = false;
  for (const row of request.headers) {
    const name = canonicalName(row.name);
    if (isDropped?.(name, row.value) === true) continue;
    if (name === "max-forwards") {
      if (hasHops) continue;
      hasHops = true;
      headers.push({ name: row.name, value: String(Number(row.value) - 1) });
      continue;
    }
    if (name === "record-route" && recordAt < 0) recordAt = headers.length;
    else if (name === "route" && routeAt < 0) routeAt = headers.length;
    headers.push(row);
    if (name === "via") afterVia = headers.length;
  }
  if (!hasHops) headers.push({ name: "Max-Forwards", value: String(DEFAULT_MAX_FORWARDS) });
  if (added.length > 0) headers.push(...added);
  const recordPlace = recordAt < 0 ? afterVia : recordAt;
  const routePlace = routeAt < 0 ? afterVia : routeAt;
  // The later place first, so that the other one stays where it is.
  if (routePlace > recordPlace) insertRows(headers, routePlace, "Route", routes);
  insertRows(headers, recordPlace, "Record-Route", recordRoutes);
  if (routePlace <= recordPlace) insertRows(headers, routePlace, "Route", routes);
  const made = { ...request, uri: uri ?? request.uri, headers };
  return routeAt < 0 && routes.length === 0 ? made : doStrictRouting(made);
}

function insertRows(
  headers: HeaderRow[],
  at: number,
  name: string,
  values: readonly string[],
): void {
  if (values.length > 0) headers.splice(at, 0, ...values.map((value) => ({ name, value })));
}

const NONE: readonly string[] = [];
const NO_ROWS: readonly HeaderRow[] = [];

/** A next hop without `lr` wants to be the Request-URI (§16.6 item 6). */
function doStrictRouting(request: SipRequest): SipRequest {
  const first = firstValue(request, "Route");
  const uri = sipUriOf(first);
  if (first === undefined || uri === undefined || uriParam(uri, "lr") !== undefined) return request;
  const [, ...others] = headerValues(request, "Route");
  const routed = withValues(request, "Route", [...others, `<${request.uri}>`]);
  return { ...routed, uri: parseNameAddr(first).uri };
}

/**
 * Record-Route values for a request that came in by one URI of ours and leaves by another: both,
 * the outgoing on top (RFC 5658 §6), or the only one.
 */
export function recordRoutes(incomingUri: string, outgoingUri: string): readonly string[] {
  const incoming = `<${incomingUri};lr>`;
  const outgoing = `<${outgoingUri};lr>`;
  return incoming === outgoing ? [incoming] : [outgoing, incoming];
}

/** The response without our Via (§16.7 item 3); undefined when it was meant for us alone. */
export function forwardResponse(response: SipResponse): SipResponse | undefined {
  const stripped = withFirstValue(response, "Via", undefined);
  return headerRows(stripped, "Via").length === 0 ? undefined : stripped;
}
