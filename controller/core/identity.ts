/**
 * Who is told who somebody is: P-Asserted-Identity within the trust domain, and nowhere else
 * (RFC 3325 §5-7). Pure.
 */
import type { SipRequest } from "../../protocol/sip/message.ts";
import type { Amendment } from "./forwards.ts";
import type { Origin } from "./gatekeeper.ts";
import type { Whom } from "./next-hops.ts";

/** What is withheld from a next hop, and what is told to it beside. */
export type Amend = (request: SipRequest, origin: Origin) => (whom: Whom) => Amendment | undefined;

export const amendFor: Amend = () => () => undefined;
