/**
 * Calls by the hundred: a pair of sipps, one in alice's host that calls and one in bob's that
 * answers, with the scenarios of `lab/sipp`. sipp's own statistics say what became of the calls.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LabProcess } from "./lab-process.ts";
import { untilListening } from "./listening.ts";
import type { Network } from "./network.ts";
import { PROMPT } from "./prompt.ts";
import { LEAVES } from "./topology.ts";
import type { UdpEndpoint } from "./udp-frame.ts";

export interface SippOptions {
  /** An own folder for scenarios, statistics and error messages. */
  readonly directory: string;
  /** Where the caller sends its requests. */
  readonly proxy: UdpEndpoint;
  readonly callsPerSecond: number;
  readonly calls: number;
  readonly transport?: "udp" | "tcp";
  /** False: an INVITE without an offer, and answers without bodies. */
  readonly sdp?: boolean;
  /** How long the caller stays to answer a BYE again; needed where packets get lost. */
  readonly lingerMs?: number;
}

/** What one side says of its calls. */
export interface SippFigures {
  readonly calls: number;
  readonly successful: number;
  /** Those that had not ended when the time was up among them. */
  readonly failed: number;
  readonly retransmissions: number;
}

export interface SippResult {
  readonly caller: SippFigures;
  readonly callee: SippFigures;
  /** The first words of either about a call that failed; empty if none did. */
  readonly complaint: string;
}

type Side = "caller" | "callee";

const SIP_PORT = 5060;
const SIPP_MODES = { udp: "u1", tcp: "t1" } as const;
/** Transaction timer B or F, and time to spare. */
const END_TIMEOUT_MS = 40_000;
/** No time at all would be no limit to sipp. */
const MIN_LINGER_MS = 1;
const STATISTICS_PERIOD_S = 1;
const COMPLAINT_CHARACTERS = 600;
const SCENARIOS = new URL("./sipp/", import.meta.url);
/** The lines of a scenario that make up its SDP. */
const SDP_LINES = /^ +(?:Content-Type: application\/sdp|[vosctma]=.*)\n/gm;

/** Places the calls and returns when the last one has ended. @throws Error if sipp itself fails. */
export async function runSipp(network: Network, options: SippOptions): Promise<SippResult> {
  mkdirSync(options.directory, { recursive: true });
  const callee = start(network, "callee", options, []);
  await untilListening(network, "bob", callee, SIP_PORT);
  const caller = start(network, "caller", options, [
    `${options.proxy.address}:${options.proxy.port}`,
    ...["-r", String(options.callsPerSecond), "-m", String(options.calls)],
    // Never fewer calls at once than the rate asks for.
    ...["-l", String(options.calls)],
  ]);
  const runMs = (options.calls / options.callsPerSecond) * 1000 + (options.lingerMs ?? 0);
  await ended(caller, runMs + END_TIMEOUT_MS);
  callee.signal("SIGUSR1"); // ends when its last call has
  await ended(callee, END_TIMEOUT_MS);
  return {
    caller: readFigures(options.directory, "caller"),
    callee: readFigures(options.directory, "callee"),
    complaint: readComplaint(options.directory),
  };
}

/** Every call went well on both sides, and none was cut short. */
export function isAllSuccessful({ caller, callee }: SippResult, calls: number): boolean {
  return [caller, callee].every(({ successful, failed }) => successful === calls && failed === 0);
}

function start(
  network: Network,
  side: Side,
  options: SippOptions,
  more: readonly string[],
): LabProcess {
  const { directory, transport = "udp" } = options;
  const host = side === "caller" ? "alice" : "bob";
  const scenario = join(directory, `${side}.xml`);
  writeFileSync(scenario, scenarioText(side, options));
  const argv = [
    ...[...PROMPT, "sipp", "-sf", scenario, "-t", SIPP_MODES[transport], "-nostdin"],
    ...["-i", LEAVES[host].address, "-p", String(SIP_PORT), "-buff_size", "1048576"],
    ...["-trace_stat", "-stf", statisticsFile(directory, side), "-fd", String(STATISTICS_PERIOD_S)],
    ...["-trace_err", "-error_file", errorFile(directory, side)],
    ...more,
  ];
  const child = network.spawn(host, argv, { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
  return new LabProcess(`sipp ${side}`, child);
}

function scenarioText(side: Side, { sdp = true, lingerMs = 0 }: SippOptions): string {
  const text = readFileSync(new URL(`${side}.xml`, SCENARIOS), "utf8");
  const whole = text.replaceAll("[linger]", String(Math.max(lingerMs, MIN_LINGER_MS)));
  return sdp ? whole : whole.replace(SDP_LINES, "");
}

async function ended(sipp: LabProcess, timeoutMs: number): Promise<void> {
  const timer = setTimeout(() => sipp.signal("SIGKILL"), timeoutMs);
  const { code, signal } = await sipp.exited;
  clearTimeout(timer);
  // 1: some calls failed, which the figures say; so they do of calls that do not end.
  if (code !== 0 && code !== 1 && signal !== "SIGKILL")
    throw new Error(`${sipp.name} ended (${code ?? signal})`);
}

const statisticsFile = (directory: string, side: Side): string => join(directory, `${side}.csv`);
const errorFile = (directory: string, side: Side): string => join(directory, `${side}.err`);

/** The last row of the statistics, by the names of the first. */
function readFigures(directory: string, side: Side): SippFigures {
  const rows = readFileSync(statisticsFile(directory, side), "utf8").trim().split("\n");
  const names = rows[0]?.split(";") ?? [];
  const values = rows.at(-1)?.split(";") ?? [];
  const figure = (name: string): number => {
    const value = values[names.indexOf(name)];
    if (value === undefined) throw new Error(`sipp's statistics have no ${name}`);
    return Number(value);
  };
  return {
    calls: figure("TotalCallCreated"),
    successful: figure("SuccessfulCall(C)"),
    failed: figure("FailedCall(C)") + figure("CurrentCall"),
    retransmissions: figure("Retransmissions(C)"),
  };
}

function readComplaint(directory: string): string {
  const texts = (["caller", "callee"] as const).map((side) => {
    try {
      return readFileSync(errorFile(directory, side), "utf8");
    } catch {
      return ""; // sipp had none to write
    }
  });
  const aborted = texts.flatMap((text) => {
    const at = text.indexOf("Aborting");
    return at < 0 ? [] : [text.slice(at, at + COMPLAINT_CHARACTERS)];
  });
  return aborted.join("\n");
}
