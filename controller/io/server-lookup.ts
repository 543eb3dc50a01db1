/**
 * Where a SIP URI leads, by DNS (RFC 3263): with the transports and address families that we have
 * ourselves. Asks DNS.
 */
import { randomBytes } from "node:crypto";
import { isProtocolError } from "../../protocol/errors.ts";
import { parseAddress } from "../../protocol/net/address.ts";
import type { Target } from "../../protocol/sip/flow.ts";
import { locateServer } from "../../protocol/sip/locate-server.ts";
import { DnsResolver } from "../../runtime/dns-resolver.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { ControllerConfig } from "../config.ts";

export class ServerLookup {
  readonly #setting: Omit<Parameters<typeof locateServer>[1], "random">;
  readonly #log: Logger;

  constructor({ dns, listen }: Pick<ControllerConfig, "dns" | "listen">, log: Logger) {
    this.#log = log;
    this.#setting = {
      resolver: new DnsResolver({ servers: dns?.servers ?? [] }),
      supported: [...new Set(listen.map(({ transport }) => transport))],
      // An address of a family that no listener has would be waited for until Timer B.
      families: [...new Set(listen.map(({ address }) => parseAddress(address).family))],
    };
  }

  /** None for a name that leads nowhere; never rejects. */
  async targetsOf(uri: string): Promise<readonly Target[]> {
    try {
      const located = await locateServer(uri, { ...this.#setting, random: randomBytes });
      return located.kind === "found" ? located.targets : [];
    } catch (error) {
      if (!isProtocolError(error)) this.#log.error({ error: String(error) }, "DNS");
      return [];
    }
  }
}
