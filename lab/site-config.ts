/**
 * The configuration files of the demo network, as objects. Pure.
 * Each program's keys and certificates lie beside its file under the names used here.
 */
import { LEAVES } from "./topology.ts";

export const CONTROLLER_NAME = "ss1.atlanta.example.com";
export const AORS = {
  alice: "sip:alice@atlanta.example.com",
  bob: "sip:bob@biloxi.example.com",
} as const;
export const MEDIA_PORTS = { alice: 20_000, bob: 30_000 } as const;

/** The users and groups of the gateway's programs: numbers that nothing else uses. */
export const IDENTITIES = {
  controller: { uid: 6101, gid: 6101, groups: [6110] },
  agent: { uid: 6102, gid: 6102, groups: [6110, 6111] },
  recorder: { uid: 6103, gid: 6103, groups: [6111] },
} as const;
export const SOCKET_GROUPS = { control: 6110, ingest: 6111 } as const;

export interface SitePaths {
  readonly controlSocket: string;
  readonly ingestSocket: string;
  readonly store: string;
}

export type Config = Readonly<Record<string, unknown>>;

export function controllerConfig(agentSocket: string, level: string): Config {
  const credentials = { certificate: "ss1.pem", key: "ss1.key", anchors: ["ca.pem"] };
  return {
    name: CONTROLLER_NAME,
    domains: ["atlanta.example.com"],
    process: IDENTITIES.controller,
    log: { level },
    tls: credentials,
    body: credentials,
    listen: [
      { transport: "tls", address: LEAVES.alice.router, port: 5061 },
      { transport: "tcp", address: LEAVES.biloxi.router, port: 5060 },
    ],
    route: [
      {
        domain: "biloxi.example.com",
        transport: "tcp",
        address: LEAVES.biloxi.address,
        port: 5060,
      },
    ],
    user: [{ aor: AORS.alice }],
    agent: { socket: agentSocket, applyTimeoutMs: 2000 },
    media: { protectedPrefixes: ["10.10.0.0/24"], ports: [16_384, 65_535] },
    recording: { orderKey: "order.key", recorder: "recorder.pub" },
  };
}

export function agentConfig({ controlSocket, ingestSocket }: SitePaths, level: string): Config {
  return {
    socket: controlSocket,
    process: IDENTITIES.agent,
    log: { level },
    ingest: { socket: ingestSocket },
    realm: { prefixes: ["10.10.0.0/24"], ports: [16_384, 65_535] },
  };
}

export function recorderConfig({ ingestSocket, store }: SitePaths, level: string): Config {
  return {
    socket: ingestSocket,
    store,
    key: "recorder.key",
    controllers: ["order.pub"],
    archives: ["archive.pub"],
    ledgerKey: "ledger.key",
    process: IDENTITIES.recorder,
    log: { level },
  };
}

export interface PhoneSealing {
  readonly form?: "rfc3185" | "patent";
  /** False: SDP in clear, for the control call of the search. */
  readonly enabled?: boolean;
}

export function aliceConfig(sealing: PhoneSealing): Config {
  return {
    aor: AORS.alice,
    address: LEAVES.alice.address,
    identity: { certificate: "alice.pem", key: "alice.key" },
    trust: { anchors: ["ca.pem"] },
    outbound: {
      transport: "tls",
      address: LEAVES.alice.router,
      port: 5061,
      serverName: CONTROLLER_NAME,
    },
    sealing: { ...sealing, controllers: ["ss1.pem"] },
    contact: [{ aor: AORS.bob, certificate: "bob.pem" }],
    media: { rtpPort: MEDIA_PORTS.alice },
  };
}

export function bobConfig(sealing: PhoneSealing): Config {
  return {
    aor: AORS.bob,
    address: LEAVES.bob.address,
    identity: { certificate: "bob.pem", key: "bob.key" },
    trust: { anchors: ["ca.pem"] },
    listen: { transport: "tcp", port: 5060 },
    sealing,
    contact: [{ aor: AORS.alice, certificate: "alice.pem" }],
    media: { rtpPort: MEDIA_PORTS.bob },
  };
}
