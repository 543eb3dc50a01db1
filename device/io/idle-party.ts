/** A phone that takes no calls: who answers the other requests that come. Touches nothing. */
import { randomBytes } from "node:crypto";
import type { Target } from "../../protocol/sip/flow.ts";
import type { DeviceConfig } from "../config.ts";
import type { CallParty } from "../core/call.ts";

export function idleParty({ aor, address }: DeviceConfig, nextHop: Target): CallParty {
  const { transport, port } = nextHop;
  return {
    ...{ aor, transport, host: address, port, random: randomBytes },
    endpoint: { address, rtpPort: 0 },
  };
}
