/**
 * When two Contact URIs name the same place (RFC 3261 §19.1.4). Pure.
 * The relation is not transitive, so it cannot be a map's key: bindings are compared one by one.
 */
import type { Param } from "../../protocol/sip/grammar.ts";
import { type SipUri, unescapeUri } from "../../protocol/sip/uri.ts";

/** Parameters that make a difference even if only one of the two has them. */
const DECISIVE: ReadonlySet<string> = new Set(["user", "ttl", "method", "maddr"]);

/** True for URIs that are equal by the rules of RFC 3261 §19.1.4. */
export function isSameUri(one: SipUri, other: SipUri): boolean {
  return (
    one.scheme === other.scheme &&
    unescaped(one.user) === unescaped(other.user) &&
    unescaped(one.password) === unescaped(other.password) &&
    one.host.toLowerCase() === other.host.toLowerCase() &&
    one.port === other.port &&
    areParamsSame(one.params, other.params) &&
    headersOf(one) === headersOf(other)
  );
}

const unescaped = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : unescapeUri(text);

function areParamsSame(one: readonly Param[], other: readonly Param[]): boolean {
  const [left, right] = [paramsOf(one), paramsOf(other)];
  const names = new Set([...left.keys(), ...right.keys()]);
  return [...names].every((name) => {
    const both = left.has(name) && right.has(name);
    return both ? left.get(name) === right.get(name) : !DECISIVE.has(name);
  });
}

const paramsOf = (params: readonly Param[]): Map<string, string> =>
  new Map(
    params.map(({ name, value }) => [
      unescapeUri(name).toLowerCase(),
      unescapeUri(value ?? "").toLowerCase(),
    ]),
  );

/** Header components in any order are the same. */
const headersOf = ({ headers }: SipUri): string =>
  (headers ?? "").split("&").map(unescapeUri).sort().join("&");
