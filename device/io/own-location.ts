/**
 * Where we are reached: where we listen, or else our end of the connection to the next hop. Touches
 * that connection.
 */
import type { Target } from "../../protocol/sip/flow.ts";
import { parseSipUri, serializeSipUri } from "../../protocol/sip/uri.ts";
import type { DeviceConfig } from "../config.ts";
import type { OwnEnd } from "../core/own-end.ts";
import type { OwnContact } from "../core/registration-port.ts";

/** Asks the next hop how it sees us. */
export type FindOwnEnd = (aor: string, address: string, target: Target) => Promise<OwnEnd>;

export class OwnLocation {
  readonly #config: DeviceConfig;
  readonly #nextHop: Target;
  readonly #findOwnEnd: FindOwnEnd;

  constructor(config: DeviceConfig, nextHop: Target, findOwnEnd: FindOwnEnd) {
    this.#config = config;
    this.#nextHop = nextHop;
    this.#findOwnEnd = findOwnEnd;
  }

  /** Rejects if the next hop cannot be reached or does not tell. */
  async find(): Promise<OwnContact> {
    const { aor, address, listen } = this.#config;
    if (listen !== undefined)
      return contactAt(aor, listen.transport, { host: address, port: listen.port }, false);
    const end = await this.#findOwnEnd(aor, address, this.#nextHop);
    return contactAt(aor, this.#nextHop.transport, end, true);
  }
}

/** The location that was registered before. */
export function contactOf(uri: string, isFlow: boolean): OwnContact {
  const { host, port = 5061 } = parseSipUri(uri);
  return { uri, host, port, isFlow };
}

function contactAt(aor: string, transport: string, end: OwnEnd, isFlow: boolean): OwnContact {
  const { user } = parseSipUri(aor);
  const params = [{ name: "transport", value: transport }];
  const uri = { scheme: "sip" as const, ...(user !== undefined && { user }), ...end, params };
  return { uri: serializeSipUri(uri), ...end, isFlow };
}
