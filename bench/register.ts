/**
 * Registrations with issuance: a running controller with `[state]` and `[authority]` on disk, pinned
 * to one processor with all its threads, beside the limit that `openssl speed` finds on the same
 * processor. In P-256 authority, controller and phones have P-256 keys, in RSA all have RSA-2048.
 *
 * One registration, all of it in the controller: read from TCP and parsed; digest (SHA-256) checked;
 * the AuthEnvelopedData opened with the controller's key; the PKCS#10's own signature verified; the
 * certificate issued and recorded in SQLite; the binding stored in SQLite; the 200 sealed under the
 * request's first key, signed, written. The phone's part is done before the clock starts.
 *
 * The limit counts the signatures that this needs and nothing else: **two made** (the certificate by
 * the authority, the 200 by the controller) and **one verified** (the request, by the phone's key):
 * 1 / (2 / signs a second + 1 / verifies a second). The private-key operation that opens the
 * envelope (ECDH, RSA-OAEP) is no signature and not in it, though it costs about as much as one:
 * `limitWithOpening` has it too, and that no program can pass.
 *
 * `perSecond` is a second of processor time, the controller's user and system time together, with 16
 * registrations of different users under way: `openssl speed` counts likewise, and a busy machine
 * disturbs neither. `elapsed` has the same by the clock on the wall, `p99Ms` the time that a phone
 * waits when they come one after the other. Figures are medians over rounds, in each of which all
 * contenders had their turn.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { LabProcess } from "../lab/lab-process.ts";
import { cpuMs } from "../lab/process-cost.ts";
import { programArgv } from "../lab/program-argv.ts";
import { median, rounded } from "./interleave.ts";
import { LOOPBACK, makeRegistrar, type Registrar } from "./registrar-site.ts";
import { RegistrationLoad } from "./registration-load.ts";

const ROUNDS = 5;
/** Of each contender in each round. */
const REGISTRATIONS = 400;
const SEQUENTIAL = 150;
/** Outside the figures: code gets compiled. */
const WARM_UP = 1200;
const IN_FLIGHT = 16;
const CPU = "0";
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

const KINDS = ["p256", "rsa2048"] as const;
type Kind = (typeof KINDS)[number];
type Figures = Readonly<Record<Kind, number>>;

interface Round {
  readonly perSecond: Figures;
  readonly elapsed: Figures;
  readonly p99Ms: Figures;
  readonly limit: Figures;
  readonly limitWithOpening: Figures;
}

interface Contender {
  readonly load: RegistrationLoad;
  readonly pid: number;
}
type Contenders = Readonly<Record<Kind, Contender>>;

export async function benchRegister(): Promise<object> {
  const directory = mkdtempSync(join(tmpdir(), "keyhole-bench-"));
  const running: LabProcess[] = [];
  const loads: RegistrationLoad[] = [];
  const enter = async (kind: Kind): Promise<Contender> => {
    const site = await makeRegistrar(join(directory, kind), kind);
    const controller = await startPinned(site);
    running.push(controller);
    const load = await RegistrationLoad.open(site);
    loads.push(load);
    await load.prepare(WARM_UP);
    await load.run(WARM_UP, IN_FLIGHT);
    return { load, pid: controller.pid };
  };
  try {
    const contenders = { p256: await enter("p256"), rsa2048: await enter("rsa2048") };
    const rounds: Round[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      rounds.push(await measureRound(contenders));
      process.stderr.write(`\rround ${round} of ${ROUNDS}${round === ROUNDS ? "\n" : ""}`);
    }
    return summarise(rounds);
  } finally {
    for (const load of loads) load.close();
    await Promise.all(running.map((program) => program.stop()));
    rmSync(directory, { recursive: true });
  }
}

async function startPinned({ configFile, port }: Registrar): Promise<LabProcess> {
  const argv = programArgv(["controller", "--config", configFile]);
  const child = spawn("taskset", ["--cpu-list", CPU, ...argv], {
    cwd: "/",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const controller = new LabProcess("controller", child);
  for (const giveUpAt = Date.now() + READY_TIMEOUT_MS; !(await isListening(port)); )
    if (Date.now() > giveUpAt || controller.exit !== undefined)
      throw new Error(`the controller does not serve: ${controller.tail()}`);
  return controller;
}

/** A log of warnings does not say when it serves. */
async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, LOOPBACK);
  const isThere = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  if (!isThere) await delay(POLL_MS);
  return isThere;
}

async function measureRound(contenders: Contenders): Promise<Round> {
  const limits = measureLimits();
  const perSecond = { p256: 0, rsa2048: 0 };
  const elapsed = { p256: 0, rsa2048: 0 };
  const p99Ms = { p256: 0, rsa2048: 0 };
  for (const kind of KINDS) {
    const { load, pid } = contenders[kind];
    await load.prepare(REGISTRATIONS + SEQUENTIAL);
    const from = cpuMs(pid);
    const busy = await load.run(REGISTRATIONS, IN_FLIGHT);
    perSecond[kind] = (REGISTRATIONS * 1000) / (cpuMs(pid) - from);
    elapsed[kind] = (REGISTRATIONS * 1000) / busy.tookMs;
    const calm = await load.run(SEQUENTIAL, 1);
    p99Ms[kind] = percentile(calm.latenciesMs, 0.99);
  }
  return { perSecond, elapsed, p99Ms, ...limits };
}

/** Registrations a second, if they were made of their operations with private and public keys alone. */
function measureLimits(): Pick<Round, "limit" | "limitWithOpening"> {
  const speed = ["openssl", "speed", "-seconds", "1", "-mr", "ecdsap256", "rsa2048", "ecdhp256"];
  const { status, stdout, stderr } = spawnSync("taskset", ["--cpu-list", CPU, ...speed], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`openssl speed: ${stderr}`);
  // `+F4:index:bits:signs a second:verifies a second`; RSA is F2, ECDH F5 with one figure and its inverse.
  const ratesOf = (mark: string, bits: string): readonly [number, number] => {
    const row = new RegExp(`^\\+${mark}:\\d+:${bits}:([\\d.]+):([\\d.]+)$`, "m").exec(stdout);
    return [Number(row?.[1]), Number(row?.[2])];
  };
  const perSecond = (signs: number, verifies: number, opens = Number.POSITIVE_INFINITY): number =>
    1 / (2 / signs + 1 / verifies + 1 / opens);
  const [p256, rsa2048, [agrees]] = [
    ratesOf("F4", "256"),
    ratesOf("F2", "2048"),
    ratesOf("F5", "256"),
  ];
  return {
    limit: { p256: perSecond(...p256), rsa2048: perSecond(...rsa2048) },
    limitWithOpening: {
      p256: perSecond(...p256, agrees),
      rsa2048: perSecond(...rsa2048, rsa2048[0]),
    },
  };
}

function summarise(rounds: readonly Round[]): object {
  const medians = (pick: (round: Round) => Figures): Figures => ({
    p256: rounded(median(rounds.map((round) => pick(round).p256))),
    rsa2048: rounded(median(rounds.map((round) => pick(round).rsa2048))),
  });
  const ratio = (kind: Kind) => (round: Round) => round.perSecond[kind] / round.limit[kind];
  const told = {
    elapsed: medians(({ elapsed }) => elapsed),
    p99Ms: medians(({ p99Ms }) => p99Ms),
    limitPerSecond: medians(({ limit }) => limit),
    limitWithOpening: medians(({ limitWithOpening }) => limitWithOpening),
  };
  process.stdout.write(`${JSON.stringify(told)}\n`);
  return {
    perSecond: medians(({ perSecond }) => perSecond),
    ofLimit: {
      p256: rounded(median(rounds.map(ratio("p256")))),
      rsa2048: rounded(median(rounds.map(ratio("rsa2048")))),
    },
  };
}

function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
