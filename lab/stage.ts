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
  /** Starts one of the programs anew, after a test has ended it. */
  restart(program: GatewayProgram): Promise<LabProcess>;
  /** Asks every program to end, once, and returns the exit codes of the gateway's. */
  stop(): Promise<ExitCodes>;
  /** As `stop`, and removes the site with its keys, store and logs. */
  close(): Promise<ExitCodes>;
}

type ExitCodes = Readonly<Partial<Record<GatewayProgram, number | null>>>;

/** They are ended in this order, and started all at once: each waits for the others it needs. */
const PROGRAMS = ["controller", "agent", "recorder"] as const;

export async function openStage(options: StageOptions = {}): Promise<Stage> {
  const { onStep = () => {}, without = [], agentDelayMs, tamper } = options;
  const network = createNetwork();
  onStep("network");
  try {
    const site = createSite(options);
    onStep("keys");
    const relay =
      agentDelayMs === undefined
        ? undefined
        : await openSlowRelay(site.controllerAgentSocket, site.controlSocket, agentDelayMs);
    const hop = tamper === undefined ? undefined : await openHostileHop(network, tamper);
    const [kamailio, probes] = await Promise.all([
      startKamailio(network, {
        directory: join(site.directory, "kamailio"),
        ...(hop === undefined ? {} : { nextHop: hop.nextHop }),
      }),
      openProbes(network),
    ]);
    onStep("kamailio");
    const programs: Partial<Record<GatewayProgram, LabProcess>> = {};
    const start = async (program: GatewayProgram): Promise<LabProcess> => {
      const running = await startProgram(network, site, program);
      programs[program] = running;
      return running;
    };
    const wanted = PROGRAMS.filter((program) => !without.includes(program));
    await Promise.all(
      wanted.map(async (program) => {
        await start(program);
        onStep(program);
      }),
    );
    if (wanted.includes("agent")) await programs.controller?.event({ msg: "agent there" });
    const parts = { network, site, programs, kamailio, probes, hop };
    let stopped: Promise<ExitCodes> | undefined;
    const stop = (): Promise<ExitCodes> => {
      stopped ??= stopStage({ ...parts, relay });
      return stopped;
    };
    return {
      ...{ ...parts, restart: start, stop },
      async close() {
        const codes = await stop();
        site.remove();
        return codes;
      },
    };
  } catch (error) {
    network.close();
    throw error;
  }
}

type Stopping = Pick<Stage, "network" | "programs" | "kamailio" | "probes" | "hop"> & {
  readonly relay: SlowRelay | undefined;
};

async function stopStage(stage: Stopping): Promise<ExitCodes> {
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
