/**
 * The stage for other people's phones: users of the gateway's own domain who have passwords and no
 * certificates, reached over UDP, TCP and TLS at the gateway's address on their own link.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Baresip, type BaresipOptions, startBaresip } from "./baresip.ts";
import { type InnerSockets, openInnerSockets } from "./inner-sockets.ts";
import type { Config } from "./site-config.ts";
import { openStage, type Stage, type StageOptions } from "./stage.ts";
import { LEAVES } from "./topology.ts";

export const DOMAIN = "atlanta.example.com";
const USERS = ["alice", "bob"] as const;
const PASSWORD = "open-sesame";
const SIP_PORTS = { udp: 5060, tcp: 5060, tls: 5061 } as const;

/** What is not said of a phone: the user is its host's, and its proxy the gateway on its link. */
export type PhoneOptions = Pick<BaresipOptions, "host" | "transport"> & Partial<BaresipOptions>;

export interface Exchange {
  readonly stage: Stage;
  /** Starts a phone, registered unless it is not to register. */
  startPhone(options: PhoneOptions): Promise<Baresip>;
  /** Ends the phones that still run, then everything else. */
  close(): Promise<void>;
}

export async function openExchange(options: StageOptions = {}): Promise<Exchange> {
  const stage = await openStage({
    ...options,
    changeController,
    controllerFiles: Object.fromEntries(USERS.map((user) => [`${user}.ha1`, ha1(user)])),
  });
  const { network, site } = stage;
  const sockets: Record<"alice" | "bob", InnerSockets> = {
    alice: await openInnerSockets(network, "alice"),
    bob: await openInnerSockets(network, "bob"),
  };
  const phones: Baresip[] = [];
  let count = 0;
  return {
    stage,
    async startPhone(phone) {
      const { host, transport } = phone;
      const full: BaresipOptions = {
        directory: join(site.directory, `phone-${++count}`),
        user: host,
        domain: DOMAIN,
        password: PASSWORD,
        outbound: { address: LEAVES[host].router, port: SIP_PORTS[transport] },
        anchors: join(site.keys, "ca.pem"),
        ...phone,
      };
      const started = await startBaresip(network, sockets[host], full);
      phones.push(started);
      if (full.register !== false) await started.registered();
      return started;
    },
    async close() {
      await Promise.all(phones.map((phone) => phone.stop()));
      await Promise.all(Object.values(sockets).map((each) => each.close()));
      await stage.close();
    },
  };
}

/** baresip 1.0 gives up at a challenge that is not MD5, even if another stands beside it. */
function changeController(config: Config): Config {
  const listeners = (["alice", "bob"] as const).flatMap((host) =>
    (["udp", "tcp", "tls"] as const).map((transport) => ({
      ...{ transport, address: LEAVES[host].router, port: SIP_PORTS[transport] },
    })),
  );
  const given = config["listen"] as readonly { readonly address: string }[];
  return {
    ...config,
    listen: [
      ...listeners,
      ...given.filter(({ address }) => address === LEAVES.biloxi.router),
      { transport: "udp", address: LEAVES.biloxi.router, port: SIP_PORTS.udp },
    ],
    // Their signalling may come by way of a proxy, their media does not.
    user: USERS.map((user) => ({
      aor: `sip:${user}@${DOMAIN}`,
      ha1: `${user}.ha1`,
      addresses: [LEAVES[user].address],
    })),
    digest: { algorithms: ["MD5"] },
  };
}

/** H(user:realm:password), once for each algorithm (RFC 7616 §3.4.2). */
function ha1(user: string): string {
  const hash = (algorithm: string): string =>
    createHash(algorithm).update(`${user}:${DOMAIN}:${PASSWORD}`).digest("hex");
  return `${hash("sha256")}\n${hash("md5")}\n`;
}
