/**
 * Everything a call needs but the phones: the network, the gateway's programs, Kamailio, probes.
 */
import { join } from "node:path";
import { startProgram } from "./gateway.ts";
import { type HostileHop, openHostileHop, type Tamper } from "./hostile-hop.ts";
import { startKamailio } from "./kamailio.ts";
import type { LabProcess } from "./lab-process.ts";
import { createNetwork, type Network } from "./network.ts";
import { openProbes, type Probes } from "./probe.ts";
import { createSite, type GatewayProgram, type Site, type SiteOptions } from "./site.ts";
import { openSlowRelay, type SlowRelay } from "./slow-relay.ts";

export interface StageOptions extends SiteOptions {
  /** Programs that are not started. */
  readonly without?: readonly GatewayProgram[];
  /** What the controller says to the agent arrives this much later. */
  readonly agentDelayMs?: number;
  /** Puts a hostile hop between Kamailio and bob. */
  readonly tamper?: Tamper;
  /** Told of each thing that stands, as soon as it does. */
  readonly onStep?: (what: StageStep) => void;
}

export type StageStep = "network" | "keys" | GatewayProgram | "kamailio";

export interface Stage {
  readonly network: Network;
  readonly site: Site;
  readonly programs: Readonly<Partial<Record<GatewayProgram, LabProcess>>>;
  readonly kamailio: LabProcess;
  readonly probes: Probes;
  readonly hop: HostileHop | undefined;
  /** Asks every program to end, once, and returns the exit codes of the gateway's. */
  stop(): Promise<ExitCodes>;
  /** As `stop`, and removes the site with its keys, store and logs. */
  close(): Promise<ExitCodes>;
}

type ExitCodes = Readonly<Partial<Record<GatewayProgram, number | null>>>;

/** They are ended in this order, and started all at once: each waits for the others it needs. */
const PROGRAMS = ["controller", "agent", "recorder"] as const;

/** Sets everything up at once. @throws Error, with nothing left behind, if a part does not start. */
export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const onStep = options.onStep ?? (() => {});
  const network = createNetwork();
  onStep("network");
  let site: Site | undefined;
  let parts: Parts | undefined;
  try {
    site = createSite(options);
    onStep("keys");
    parts = await startParts(network, site, options);
    onStep("kamailio");
    const programs: Partial<Record<GatewayProgram, LabProcess>> = {};
    await startPrograms({ network, site, programs }, options);
    return assembleStage({ ...parts, network, site, programs });
  } catch (error) {
    parts?.relay?.close();
    await parts?.hop?.close();
    network.close();
    site?.remove();
    throw error;
  }
}

type Parts = Pick<Stage, "kamailio" | "probes" | "hop"> & {
  readonly relay: SlowRelay | undefined;
};

async function startParts(
  network: Network,
  site: Site,
  { agentDelayMs, tamper }: StageOptions,
): Promise<Parts> {
  const relay =
    agentDelayMs === undefined
      ? undefined
      : await openSlowRelay(site.controllerAgentSocket, site.controlSocket, agentDelayMs);
  const hop = tamper === undefined ? undefined : await openHostileHop(network, tamper);
  const directory = join(site.directory, "kamailio");
  const next = hop === undefined ? {} : { nextHop: hop.nextHop };
  const [kamailio, probes] = await Promise.all([
    startKamailio(network, { directory, ...next }),
    openProbes(network),
  ]);
  return { relay, hop, kamailio, probes };
}

type Running = Pick<Stage, "network" | "site"> & {
  readonly programs: Partial<Record<GatewayProgram, LabProcess>>;
};

async function startPrograms(
  running: Running,
  { without = [], onStep = () => {} }: StageOptions,
): Promise<void> {
  const { network, site, programs } = running;
  const wanted = PROGRAMS.filter((program) => !without.includes(program));
  await Promise.all(
    wanted.map(async (program) => {
      programs[program] = await startProgram(network, site, program);
      onStep(program);
    }),
  );
  if (wanted.includes("agent")) await programs.controller?.event({ msg: "agent there" });
}

function assembleStage(stage: Running & Parts): Stage {
  const { network, site, programs, kamailio, probes, hop } = stage;
  let stopped: Promise<ExitCodes> | undefined;
  const stop = (): Promise<ExitCodes> => {
    stopped ??= stopStage(stage);
    return stopped;
  };
  return {
    ...{ network, site, programs, kamailio, probes, hop, stop },
    async close() {
      const codes = await stop();
      site.remove();
      return codes;
    },
  };
}

async function stopStage(stage: Running & Parts): Promise<ExitCodes> {
  const codes: Partial<Record<GatewayProgram, number | null>> = {};
  for (const program of PROGRAMS) {
    const running = stage.programs[program];
    if (running !== undefined) codes[program] = (await running.stop()).code;
  }
  stage.relay?.close();
  await Promise.all([stage.kamailio.stop(), stage.probes.close(), stage.hop?.close()]);
  stage.network.close();
  return codes;
}
