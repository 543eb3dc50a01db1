/**
 * The controller under a steady load of calls, for as long as is asked: how many succeed, how often
 * a message had to be sent again, how much memory it holds. The scenario of `bench/sip.ts`; with
 * `--loss`, on links that lose and overtake (`lab/impairment.ts`).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { countImpairments, impairLinks } from "../lab/impairment.ts";
import { createNetwork } from "../lab/network.ts";
import { PLAIN_PROXIES, startPlainController } from "../lab/plain-proxy.ts";
import { cpuMs, residentMb } from "../lab/process-cost.ts";
import { runSipp } from "../lab/sipp.ts";
import type { HostName } from "../lab/topology.ts";
import { rounded } from "./interleave.ts";

const HOSTS: readonly HostName[] = ["alice", "gateway", "bob"];
/** Late ones to a hundred, where there is loss. */
const LATE_PERCENT = 10;
/** A BYE is sent for the seventh time after 15.5 s. */
const LINGER_MS = 16_000;
const MEMORY_SAMPLES = 30;

export async function benchSipLoad(): Promise<object> {
  const { seconds, rate, loss } = readOptions();
  const directory = mkdtempSync(join(tmpdir(), "keyhole-load-"));
  const network = createNetwork();
  try {
    const { pid } = await startPlainController(network, directory, "udp");
    const impairment = { lossPercent: loss, latePercent: LATE_PERCENT };
    if (loss > 0) impairLinks(network, HOSTS, impairment);
    const cpuBeforeMs = cpuMs(pid);
    const rssMb: number[] = [residentMb(pid)];
    const sampler = setInterval(
      () => rssMb.push(residentMb(pid)),
      (seconds * 1000) / MEMORY_SAMPLES,
    );
    const { caller, callee, complaint } = await runSipp(network, {
      directory: join(directory, "sipp"),
      proxy: PLAIN_PROXIES.keyhole,
      callsPerSecond: rate,
      calls: rate * seconds,
      lingerMs: loss > 0 ? LINGER_MS : 0,
    }).finally(() => clearInterval(sampler));
    if (complaint !== "") process.stderr.write(`${complaint}\n`);
    return {
      calls: caller.calls,
      successful: Math.min(caller.successful, callee.successful),
      failed: Math.max(caller.failed, callee.failed),
      retransmissions: caller.retransmissions + callee.retransmissions,
      impaired: loss > 0 ? countImpairments(network, HOSTS) : { lost: 0, late: 0 },
      cpuMsPerCall: rounded((cpuMs(pid) - cpuBeforeMs) / caller.calls),
      rssMb,
    };
  } finally {
    network.close();
    rmSync(directory, { recursive: true });
  }
}

function readOptions(): { seconds: number; rate: number; loss: number } {
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: {
      seconds: { type: "string", default: "60" },
      rate: { type: "string", default: "300" },
      loss: { type: "string", default: "0" },
    },
  });
  return {
    seconds: Number(values.seconds),
    rate: Number(values.rate),
    loss: Number(values.loss),
  };
}
