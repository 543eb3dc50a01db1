/**
 * Where a request may go next, as its fork wants it (RFC 3261 §16.5-16.6, RFC 3327 §5.3). Pure.
 */
import type { FlowId, Target } from "../../protocol/sip/flow.ts";
import type { Alternatives } from "../../protocol/sip/response-context.ts";
import { forkGroups, reachOf } from "./binding-reach.ts";
import type { Binding } from "./bindings.ts";
import type { Neighbour } from "./neighbourhood.ts";
import type { Trunk } from "./sip-policy.ts";

/** Who is asked: one of our users, a trunk's domain, or anybody else. */
export interface Whom {
  readonly aor?: string;
  readonly trunk?: Trunk;
}

export interface NextHop {
  readonly to: FlowId | Target;
  /** Where that is, for our Via and Record-Route. */
  readonly toward: Neighbour;
  /** The Request-URI there, where it is another. */
  readonly uri?: string;
  /** Route values to put on top. */
  readonly path: readonly string[];
  readonly whom: Whom;
}

export type HopGroups = readonly (readonly Alternatives<NextHop>[])[];

export type RoutePlan =
  | { readonly kind: "groups"; readonly groups: HopGroups }
  /** One branch, whose servers DNS knows. */
  | { readonly kind: "locate"; readonly uri: string; readonly whom: Whom };

const NO_PATH: readonly string[] = [];

export const hopTo = (target: Target, whom: Whom): NextHop => ({
  to: target,
  toward: target,
  path: NO_PATH,
  whom,
});

/** A plan of one branch with one server. */
export const singleHop = (hop: NextHop): RoutePlan => ({ kind: "groups", groups: [[[hop]]] });

/** The servers that DNS gave, one after the other. */
export const locatedGroups = (targets: readonly Target[], whom: Whom): HopGroups =>
  targets.length === 0 ? [] : [[targets.map((target) => hopTo(target, whom))]];

/** To a trunk by what its route says. */
export function trunkPlan(trunk: Trunk): RoutePlan {
  const { place, transport, domain } = trunk;
  if (place.kind === "address") {
    const { address, port } = place;
    const secured = transport === "tls" ? { serverName: domain } : {};
    return singleHop(hopTo({ transport, address, port, ...secured }, { trunk }));
  }
  const port = place.port === undefined ? "" : `:${place.port}`;
  return {
    kind: "locate",
    uri: `sip:${place.host}${port};transport=${transport}`,
    whom: { trunk },
  };
}

/**
 * To all phones of a user (RFC 3261 §16.6): groups of equal q, branches by phone, each with its
 * flows. `locate` gives the target of a URI without asking DNS.
 */
export function bindingGroups(
  bindings: readonly Binding[],
  locate: (uri: string) => Target | undefined,
): HopGroups {
  const alternativesOf = (branch: readonly Binding[]) =>
    branch.flatMap((binding) => bindingHop(binding, locate) ?? []);
  return forkGroups(bindings)
    .map((group) => group.map(alternativesOf).filter((branch) => branch.length > 0))
    .filter((group) => group.length > 0);
}

function bindingHop(
  binding: Binding,
  locate: (uri: string) => Target | undefined,
): NextHop | undefined {
  const { contact: uri, path, aor, received } = binding;
  const reach = reachOf(binding);
  const whom = { aor };
  if (reach.kind === "dead") return undefined;
  if (reach.kind === "flow") {
    const { transport, address } = received;
    return { to: reach.flow, toward: { transport, address }, uri, path, whom };
  }
  const target = locate(reach.uri);
  return target === undefined ? undefined : { to: target, toward: target, uri, path, whom };
}
