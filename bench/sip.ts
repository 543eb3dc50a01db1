/**
 * CPU time a call: the controller beside Kamailio, both stateful and record-routing, both as a plain
 * proxy between two hosts over UDP: INVITE with an offer, 100, 180, 200 with an answer, ACK, BYE from
 * the callee, 200. The same sipp scenario against each in turn; the idle one stays up. CPU time is
 * user and system time of all processes of a proxy, as the kernel accounts it.
 *
 * Kamailio: one UDP worker, no logging. Controller: one process, two trunks, no `[media]`, so that it
 * opens no pinholes and reads no bodies; log level `warn`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LabProcess } from "../lab/lab-process.ts";
import { createNetwork, type Network } from "../lab/network.ts";
import { PLAIN_PROXIES, startPlainController, startPlainKamailio } from "../lab/plain-proxy.ts";
import { cpuMs } from "../lab/process-cost.ts";
import { runSipp } from "../lab/sipp.ts";
import { median, rounded } from "./interleave.ts";

const ROUNDS = 5;
const CALLS_PER_SECOND = 300;
const CALLS = 1500;
/** Outside the figures: processes fork, code gets compiled. */
const WARM_UP_CALLS = 3000;
/** For what a proxy does after a call's last message. */
const SETTLE_MS = 500;

type ProxyName = keyof typeof PLAIN_PROXIES;

interface Round {
  readonly cpuMsPerCall: number;
  readonly failed: number;
}

export async function benchSip(): Promise<object> {
  const directory = mkdtempSync(join(tmpdir(), "keyhole-bench-"));
  const network = createNetwork();
  try {
    const programs: Record<ProxyName, LabProcess> = {
      keyhole: await startPlainController(network, directory, "udp"),
      kamailio: await startPlainKamailio(network, directory),
    };
    const measure = (name: ProxyName, calls: number): Promise<Round> =>
      measureRound(network, join(directory, "sipp"), programs[name].pid, name, calls);
    await measure("keyhole", WARM_UP_CALLS);
    await measure("kamailio", WARM_UP_CALLS);
    const rounds: Record<ProxyName, Round[]> = { keyhole: [], kamailio: [] };
    for (let round = 1; round <= ROUNDS; round += 1) {
      rounds.keyhole.push(await measure("keyhole", CALLS));
      rounds.kamailio.push(await measure("kamailio", CALLS));
      process.stderr.write(`\rround ${round} of ${ROUNDS}${round === ROUNDS ? "\n" : ""}`);
    }
    return compare(rounds);
  } finally {
    network.close();
    rmSync(directory, { recursive: true });
  }
}

async function measureRound(
  network: Network,
  directory: string,
  pid: number,
  name: ProxyName,
  calls: number,
): Promise<Round> {
  const from = cpuMs(pid);
  const proxy = PLAIN_PROXIES[name];
  const options = { directory, proxy, calls, callsPerSecond: CALLS_PER_SECOND };
  const { caller, callee, complaint } = await runSipp(network, options);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const failed = calls - Math.min(caller.successful, callee.successful);
  if (failed > 0) process.stderr.write(`${name}: ${failed} calls failed. ${complaint}\n`);
  return { cpuMsPerCall: (cpuMs(pid) - from) / calls, failed };
}

function compare(rounds: Readonly<Record<ProxyName, readonly Round[]>>): object {
  const cost = (name: ProxyName): number =>
    median(rounds[name].map(({ cpuMsPerCall }) => cpuMsPerCall));
  const [keyhole, kamailio] = [cost("keyhole"), cost("kamailio")];
  const all = [...rounds.keyhole, ...rounds.kamailio];
  return {
    cpuMsPerCall: { keyhole: rounded(keyhole), kamailio: rounded(kamailio) },
    ratio: rounded(keyhole / kamailio),
    failed: all.reduce((sum, { failed }) => sum + failed, 0),
  };
}
