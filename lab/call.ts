/**
 * One call from device to device through a stage, with everything watched that a proof needs:
 * probes at four moments, the kernel's counters, the clear signalling, the phones' own words.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type KernelCount, readKernelCounters } from "./kernel-counters.ts";
import type { JsonObject } from "./lab-process.ts";
import { type Phone, startAlice, startBob } from "./phones.ts";
import { PHASES, type Phase, type PinholeMatrix, probeMatrix } from "./pinhole-matrix.ts";
import type { PhoneName } from "./site.ts";
import { type Config, MEDIA_PORTS, type PhoneSealing } from "./site-config.ts";
import type { Stage } from "./stage.ts";
import type { TcpStream } from "./tcp-streams.ts";
import { LEAVES } from "./topology.ts";
import { startWireTap, type WireTap } from "./wire-tap.ts";

export interface CallOptions {
  /** An own folder for what the call leaves behind. */
  readonly results: string;
  readonly sealing?: PhoneSealing;
  /** False: no test packets, which only the pinholes' counters would miss. */
  readonly probe?: boolean;
  /** The SRTP packet of alice's, counted from 0, of which one octet is turned over on its way. */
  readonly alterPacket?: number;
  readonly hangUp?: PhoneName;
  readonly changeConfig?: (phone: PhoneName, config: Config) => Config;
  /** Waited for: what it does happens at that moment of the call. */
  readonly onStep?: (step: CallStep, details: JsonObject) => void | Promise<void>;
}

export type CallStep =
  | Phase
  | "calling"
  | "incoming"
  | "ringing"
  | "answered"
  | "mediaStarted"
  | "played"
  | "ended";

export interface CallReport {
  readonly callId: string;
  readonly phones: Readonly<Record<PhoneName, Phone>>;
  readonly bodySha256: Readonly<Record<PhoneName, string>>;
  readonly pinholes: Readonly<Record<Phase, PinholeMatrix>> | undefined;
  /** The kernel's own counts: of the open holes, just before the answer, and just before the BYE. */
  readonly kernel: {
    readonly beforeAnswer: readonly KernelCount[];
    readonly beforeBye: readonly KernelCount[];
  };
  /** What each phone says it sent and received. */
  readonly mediaEnded: Readonly<Record<PhoneName, JsonObject>>;
  /** The signalling on the links that are not trusted. */
  readonly signalling: readonly TcpStream[];
}

/** For the last packet, played a moment ago, to pass the gateway. */
const SETTLE_MS = 60;
/** UDP header (64 bits), RTP header (96 bits): the first octet of the payload. */
const ALTERED_BIT = 160;

/** Places a call that is expected to succeed. @throws Error as soon as a step fails. */
export async function placeCall(stage: Stage, options: CallOptions): Promise<CallReport> {
  mkdirSync(options.results, { recursive: true });
  const { matrices, probe } = matrixProber(stage, options);
  await probe("beforeCall");
  const taps = await startTaps(stage, options.results);
  alterPacket(stage, options.alterPacket);
  const phones = await startPhones(stage, options);
  const course = { stage, phones, probe, onStep: options.onStep ?? (() => {}) };
  const { incoming, beforeAnswer } = await ring(course);
  const beforeBye = await talk(course);
  const mediaEnded = await hangUp(course, options.hangUp ?? "alice");
  removeAlteration(stage, options.alterPacket);
  const calling = await phones.alice.event("calling");
  return {
    callId: String(calling["callId"]),
    phones,
    bodySha256: {
      alice: String(calling["bodySha256"]),
      bob: String(incoming["bodySha256"]),
    },
    pinholes: isWhole(matrices) ? matrices : undefined,
    kernel: { beforeAnswer, beforeBye },
    mediaEnded,
    signalling: (await Promise.all(taps.map((tap) => tap.stop()))).flat(),
  };
}

interface Course {
  readonly stage: Stage;
  readonly phones: Readonly<Record<PhoneName, Phone>>;
  readonly probe: (phase: Phase) => Promise<void>;
  readonly onStep: NonNullable<CallOptions["onStep"]>;
}

/** From the INVITE's arrival to just before the answer. */
async function ring({
  stage,
  phones: { alice, bob },
  probe,
  onStep,
}: Course): Promise<{ incoming: JsonObject; beforeAnswer: readonly KernelCount[] }> {
  const incoming = await bob.event("incoming");
  await onStep("incoming", incoming);
  bob.tell("ring");
  await onStep("ringing", await alice.event("ringing"));
  await probe("afterInvite");
  return { incoming, beforeAnswer: readKernelCounters(stage.network) };
}

/** From the answer to the end of what both have to say; returns what the kernel counted by then. */
async function talk({
  stage,
  phones: { alice, bob },
  probe,
  onStep,
}: Course): Promise<readonly KernelCount[]> {
  bob.tell("answer");
  await onStep("answered", await alice.event("answered"));
  await Promise.all([alice.event("media-started"), bob.event("media-started")]);
  await onStep("mediaStarted", {});
  await probe("afterAnswer");
  await Promise.all([alice.event("played"), bob.event("played")]);
  await onStep("played", {});
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return readKernelCounters(stage.network);
}

/** From the BYE to the end of both phones; returns what they counted. */
async function hangUp(
  { phones, probe, onStep }: Course,
  who: PhoneName,
): Promise<CallReport["mediaEnded"]> {
  const { alice, bob } = phones;
  phones[who].tell("hangup");
  await Promise.all([alice.event("ended"), bob.event("ended")]);
  await onStep("ended", {});
  await probe("afterBye");
  const mediaEnded = {
    alice: await alice.event("media-ended"),
    bob: await bob.event("media-ended"),
  };
  await Promise.all([alice.process.exited, bob.process.exited]);
  return mediaEnded;
}

function startTaps(stage: Stage, results: string): Promise<readonly WireTap[]> {
  const tap = (host: "biloxi" | "bob"): Promise<WireTap> =>
    startWireTap(stage.network, host, join(results, `signalling-${host}.pcap`));
  return Promise.all([tap("biloxi"), tap("bob")]);
}

/** Bob first, waiting; then alice, calling. */
export async function startPhones(
  stage: Stage,
  { results, sealing = {}, changeConfig = (_, config) => config, onStep }: CallOptions,
): Promise<Record<PhoneName, Phone>> {
  const options = (phone: PhoneName) => ({
    results,
    config: stage.site.phoneConfig(phone, sealing, (config) => changeConfig(phone, config)),
  });
  const bob = await startBob(stage.network, stage.site, options("bob"));
  const alice = startAlice(stage.network, stage.site, options("alice"));
  await onStep?.("calling", await alice.event("calling"));
  return { alice, bob };
}

type Matrices = Partial<Record<Phase, PinholeMatrix>>;

const isWhole = (matrices: Matrices): matrices is Record<Phase, PinholeMatrix> =>
  PHASES.every((phase) => matrices[phase] !== undefined);

function matrixProber(
  stage: Stage,
  { probe = true, onStep }: CallOptions,
): { matrices: Matrices; probe: Course["probe"] } {
  const matrices: Matrices = {};
  return {
    matrices,
    async probe(phase) {
      if (!probe) return;
      const matrix = await probeMatrix(stage.probes, MEDIA_PORTS);
      matrices[phase] = matrix;
      await onStep?.(phase, matrix);
    },
  };
}

/** `numgen inc` counts the packets that reach it: those of alice's toward bob's RTP port. */
function alterPacket(stage: Stage, packet: number | undefined): void {
  if (packet === undefined) return;
  const match = `udp sport ${MEDIA_PORTS.alice} udp dport ${MEDIA_PORTS.bob}`;
  const field = `@th,${ALTERED_BIT},8`;
  const rule = `${match} numgen inc mod 1000000 == ${packet} ${field} set ${field} ^ 0xff`;
  const chain = `chain out { type filter hook output priority 0; ip daddr ${LEAVES.bob.address} ${rule};\n }`;
  stage.network.run("alice", ["nft", "-f", "-"], `table ip alter {\n ${chain}\n}\n`);
}

function removeAlteration(stage: Stage, packet: number | undefined): void {
  if (packet !== undefined) stage.network.run("alice", ["nft", "delete", "table", "ip", "alter"]);
}
