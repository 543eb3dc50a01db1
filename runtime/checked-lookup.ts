/**
 * Looks names up with the system's resolver, but learns only addresses that names may lead to:
 * whoever owns a name chooses its addresses. Touches the resolver.
 */
import { type LookupOptions, lookup } from "node:dns";
import type { LookupFunction } from "node:net";

/** Whether a name that somebody else chose may lead to an address. */
export type MayLeadTo = (address: string) => boolean;

/** A `lookup` for sockets; a name without any address that it may lead to is not found. */
export function checkedLookup(mayLeadTo: MayLeadTo): LookupFunction {
  return (name, options: LookupOptions, answer) =>
    lookup(name, { ...options, all: true }, (error, found) => {
      const allowed = error === null ? found.filter(({ address }) => mayLeadTo(address)) : [];
      const [first] = allowed;
      if (first === undefined) answer(error ?? notFound(), "");
      else if (options.all === true) answer(null, allowed);
      else answer(null, first.address, first.family);
    });
}

const notFound = (): NodeJS.ErrnoException =>
  Object.assign(new Error("no address that the name may lead to"), { code: "ENOTFOUND" });
