/**
 * What a configuration makes of the proxy, replaced as a whole when it is read again. Pure.
 */

import type { AuthorityPolicy } from "./authority-policy.ts";
import type { Gatekeeper } from "./gatekeeper.ts";
import type { MediaPolicy } from "./media-policy.ts";
import type { Neighbourhood } from "./neighbourhood.ts";
import type { SipPolicy } from "./sip-policy.ts";

export interface Site {
  readonly policy: SipPolicy;
  readonly neighbourhood: Neighbourhood;
  readonly gatekeeper: Gatekeeper;
  /** Absent: there is no gateway, and nothing is opened. */
  readonly media: MediaPolicy | undefined;
  /** Absent: no certificates are given. */
  readonly authority?: AuthorityPolicy | undefined;
}
