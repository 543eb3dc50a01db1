/** One call between two baresips, with the links tapped and the pinholes tried, step by step. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Baresip } from "../../lab/baresip.ts";
import { type Capture, startCapture } from "../../lab/capture.ts";
import { DOMAIN, type Exchange } from "../../lab/exchange.ts";
import { ownMedia } from "../../lab/phone-trace.ts";
import {
  isMatrixAsPromised,
  type MediaPorts,
  type Phase,
  PROMISED,
  probeMatrix,
} from "../../lab/pinhole-matrix.ts";
import { type RecordedSound, readRecordedSound } from "../../lab/recording.ts";
import { commonSamples, isWholeOf, readRtp, soundOf } from "../../lab/rtp-capture.ts";
import { LEAVES } from "../../lab/topology.ts";

export const BOB = `sip:bob@${DOMAIN}`;
const SAMPLES_PER_SECOND = 8000;
const PINHOLE_TIMEOUT_MS = 2000;

export interface Parties {
  readonly caller: Baresip;
  readonly callee: Baresip;
}

/** The links of both phones, whose other end is the gateway: what is seen there has passed it. */
export interface Taps {
  readonly atAlice: Capture;
  readonly atBob: Capture;
}

export async function tapLinks({ stage }: Exchange, name: string): Promise<Taps> {
  const file = (host: string): string => join(stage.site.directory, `${name}-${host}.pcap`);
  const [atAlice, atBob] = await Promise.all([
    startCapture(stage.network, "alice", file("alice"), "udp"),
    startCapture(stage.network, "bob", file("bob"), "udp"),
  ]);
  return { atAlice, atBob };
}

/** Returns the Call-ID once both know that it rings. */
export async function ring({ caller, callee }: Parties, uri = BOB): Promise<string> {
  await caller.tell("dial", uri);
  await callee.event("CALL_INCOMING");
  const { id } = await caller.event("CALL_RINGING");
  assert.ok(id);
  return id;
}

export async function answer({ caller, callee }: Parties): Promise<void> {
  await callee.tell("accept");
  await Promise.all([caller.event("CALL_ESTABLISHED"), callee.event("CALL_ESTABLISHED")]);
}

/** A phone asks for other media, and both have agreed. */
export async function change(by: Baresip, command: "hold" | "resume"): Promise<void> {
  await by.tell(command);
  await by.event("CALL_REMOTE_SDP");
}

export async function hangUp(by: Baresip, other: Baresip): Promise<void> {
  await by.tell("hangup");
  await other.event("CALL_CLOSED");
}

export const talk = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** Tries every sender, port and direction, and again for a while: a BYE does not wait for the kernel. */
export async function assertPinholes(
  { stage }: Exchange,
  phase: Phase,
  ports: MediaPorts,
): Promise<void> {
  const deadline = performance.now() + PINHOLE_TIMEOUT_MS;
  let matrix = await probeMatrix(stage.probes, ports);
  while (!isMatrixAsPromised(phase, matrix) && performance.now() < deadline)
    matrix = await probeMatrix(stage.probes, ports);
  assert.deepEqual(matrix, PROMISED[phase]);
}

/** `callId` is of the leg that the recording names: the caller's. */
export async function readSound(
  { stage }: Exchange,
  callId: string,
): Promise<RecordedSound & { readonly callId: string }> {
  const results = join(stage.site.directory, `results-${callId}`);
  return { callId, ...(await readRecordedSound(stage.site, callId, results)) };
}

/** What each party said and had passed the gateway, by the octets on the wire. */
export async function passedSound(
  { atAlice, atBob }: Taps,
  { caller, callee }: Parties,
): Promise<Readonly<Record<keyof Parties, Int16Array>>> {
  const pcaps = { alice: await atAlice.stop(), bob: await atBob.stop() };
  const sound = (speaker: Baresip): Int16Array => {
    const { address, rtpPort, key } = ownMedia(speaker);
    const far = address === LEAVES.alice.address ? pcaps.bob : pcaps.alice;
    return soundOf(readRtp(far, { address, port: rtpPort }, key));
  };
  return { caller: sound(caller), callee: sound(callee) };
}

/** A channel of the recording is all that passed, sample for sample. */
export function assertRecorded(channel: Int16Array, sound: Int16Array, seconds: number): void {
  assert.ok(sound.length > seconds * SAMPLES_PER_SECOND, `${sound.length} samples passed`);
  assert.ok(isWholeOf(channel, sound));
}

/** What a phone heard until its media first changed is what the other had said. */
export function assertHeard(listener: Baresip, sound: Int16Array, seconds: number): void {
  const [first = new Int16Array()] = listener.heard();
  const common = commonSamples(first, sound) ?? 0;
  assert.ok(common > seconds * SAMPLES_PER_SECOND, `${common} samples in common`);
}
