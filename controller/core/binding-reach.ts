/**
 * How a registered phone is reached, and in which order several are (RFC 3261 §16.6, RFC 3327 §5.3,
 * RFC 5626 §7). Pure.
 */
import { parseAddress } from "../../protocol/net/address.ts";
import { type FlowId, isReliableHop } from "../../protocol/sip/flow.ts";
import { parseNameAddr } from "../../protocol/sip/name-addr.ts";
import { DEFAULT_PORTS } from "../../protocol/sip/next-hop.ts";
import { parseSipUri, uriParam } from "../../protocol/sip/uri.ts";
import type { Binding } from "./bindings.ts";
import { parsed } from "./verdict.ts";

export type Reach =
  /** Down the flow that it registered by. */
  | { readonly kind: "flow"; readonly flow: FlowId }
  /** By way of a SIP URI: the topmost Path's, or else the contact itself. */
  | { readonly kind: "uri"; readonly uri: string }
  /** Its flow is gone and nothing else leads there: 430 (RFC 5626 §5.3, §11.5). */
  | { readonly kind: "dead" };

/** How a request gets to the contact; its Route is the binding's Path in any case. */
export function reachOf(binding: Binding): Reach {
  const { contact, path, direct, flow, regId, received } = binding;
  const [edge] = path;
  if (edge !== undefined) return { kind: "uri", uri: parseNameAddr(edge).uri };
  const itself = { kind: "uri", uri: contact } as const;
  if (!direct) return itself;
  const place = placeOf(binding);
  const atSource = place?.address === received.address;
  if (flow === undefined) return regId === undefined && atSource ? itself : { kind: "dead" };
  const elsewhere = !isReliableHop(flow) && atSource && place.port !== received.port;
  return elsewhere && regId === undefined ? itself : { kind: "flow", flow };
}

/**
 * Bindings as a fork wants them: groups of equal q, one after the other; within a group one branch
 * a phone, in parallel; within a branch the flows of one instance, each tried when the one before
 * it is dead (RFC 5626 §7: never two of them at a time).
 */
export function forkGroups(
  bindings: readonly Binding[],
): readonly (readonly (readonly Binding[])[])[] {
  const groups = Map.groupBy(byInstance(bindings), ([first]) => first?.q ?? 0);
  return [...groups].sort(([one], [other]) => other - one).map(([, branches]) => branches);
}

function byInstance(bindings: readonly Binding[]): readonly (readonly Binding[])[] {
  const branches = Map.groupBy(bindings, ({ instance, regId, key }) =>
    regId === undefined ? `contact ${key}` : `instance ${instance}`,
  );
  return [...branches.values()];
}

/** The best first: by q, then the latest. */
export const byPreference = (one: Binding, other: Binding): number =>
  other.q - one.q || other.updatedAt - one.updatedAt;

/** Address and port of a contact that names them itself. */
function placeOf({ contact, received }: Binding): { address: string; port: number } | undefined {
  const place = parsed(() => {
    const uri = parseSipUri(contact);
    const { text } = parseAddress(uriParam(uri, "maddr") ?? uri.host);
    return { address: text, port: uri.port ?? DEFAULT_PORTS[received.transport] };
  });
  return place.ok ? place.value : undefined;
}
