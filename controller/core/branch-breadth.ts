/**
 * Max-Breadth of the branches of a fork (RFC 5393 §5.3). Pure.
 */
import type { IdentityChange } from "../../protocol/sip/asserted-identity.ts";
import { maxBreadth, shareBreadth } from "../../protocol/sip/max-breadth.ts";
import { headerValue, type SipRequest } from "../../protocol/sip/message.ts";
import type { HopGroups } from "./next-hops.ts";
import { parsed } from "./verdict.ts";

const NO_CHANGE: Partial<IdentityChange> = {};
export const NO_BREADTHS: readonly number[] = [];
const MAX_BREADTH = "max-breadth";

/** The breadth of each branch, in the order in which they begin; undefined if it does not suffice. */
export function breadthsOf(request: SipRequest, groups: HopGroups): readonly number[] | undefined {
  const isNamed = headerValue(request, MAX_BREADTH) !== undefined;
  if (!isNamed && groups.every((group) => group.length < 2)) return NO_BREADTHS;
  const breadth = parsed(() => maxBreadth(request));
  if (!breadth.ok) return undefined;
  const breadths: number[] = [];
  for (const { length } of groups) {
    const shares = shareBreadth(breadth.value, length);
    if (shares === undefined) return undefined;
    breadths.push(...shares);
  }
  return breadths;
}

/** What a branch changes, with its share of the breadth. */
export function withBreadth(
  change: IdentityChange | undefined,
  breadth: number | undefined,
): Partial<IdentityChange> {
  if (breadth === undefined) return change ?? NO_CHANGE;
  const { isWithheld, added = [] } = change ?? NO_CHANGE;
  return {
    isWithheld: (name) => name === MAX_BREADTH || isWithheld?.(name) === true,
    added: [...added, { name: "Max-Breadth", value: String(breadth) }],
  };
}
