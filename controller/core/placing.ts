/**
 * An INVITE that may become a call. Pure.
 */
import type { Target } from "../../protocol/sip/flow.ts";
import type { SipRequest } from "../../protocol/sip/message.ts";
import type { Route } from "./sip-policy.ts";

/** A call that may begin. `request` is without our own Route. */
export interface Placing {
  readonly request: SipRequest;
  readonly callerAor: string;
  readonly ownAddresses: readonly string[];
  readonly route: Route;
  readonly to: Target;
  readonly body: "sealed" | "passing";
  readonly labelled: boolean;
}
