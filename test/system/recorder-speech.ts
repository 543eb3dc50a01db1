/** What the phones of the recorder's system tests say, and how it must sound. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { decodeMuLaw } from "../../protocol/audio/g711.ts";
import { decodeWav } from "../../protocol/audio/wav.ts";
import type { CapturedPacket } from "../../protocol/ingest/frames.ts";
import {
  PACKET_SAMPLES,
  type RecorderHarness,
  type TestAgent,
  type TestCall,
} from "./recorder-harness.ts";

/** Packets of a whole call. */
export const PACKETS = 100;
/** So many packets later than the caller the callee begins to speak. */
export const LATER = 7;

type Speaker = "caller" | "callee";

/** Octets that differ from packet to packet and party to party: one in the wrong place is seen. */
export function speechOf(speaker: Speaker, at: number): Buffer {
  const offset = at * 31 + (speaker === "caller" ? 0 : 101);
  return Buffer.from(Array.from({ length: PACKET_SAMPLES }, (_, i) => (offset + i * 7) & 0xff));
}

/** Both parties' packets of these 20 ms, in the order of their capture. */
export function bothWays(call: TestCall, from: number, to: number): CapturedPacket[] {
  return Array.from({ length: to - from }, (_, index) => from + index).flatMap((at) => [
    call.speech("caller", at, speechOf("caller", at)),
    ...(at >= LATER ? [call.speech("callee", at, speechOf("callee", at))] : []),
  ]);
}

/** Offer and answer, both accepted. */
export async function beginCall(agent: TestAgent, call: TestCall): Promise<void> {
  for (const revision of [1, 2]) {
    agent.send(call.order(revision));
    const id = `order-${revision}`;
    assert.deepEqual(await agent.next(), { kind: "order-reply", id, result: "accepted" });
  }
}

/** The report that the recorder sends when the recording is closed. */
// biome-ignore lint/suspicious/noExplicitAny: a test looks into it field by field
export async function endOfCall(agent: TestAgent, call: TestCall): Promise<any> {
  const message = await agent.next();
  assert.ok(message?.kind === "closed");
  assert.equal(message.recording, call.recording);
  return message.completeness;
}

/** A speaker's channel as it must be, silent where packets are missing. */
export function expectedSpeech(
  speaker: Speaker,
  lacks: readonly number[] = [],
  packets = PACKETS,
): Int16Array {
  const samples = new Int16Array(packets * PACKET_SAMPLES);
  for (let at = speaker === "caller" ? 0 : LATER; at < packets; at++)
    if (!lacks.includes(at)) samples.set(decodeMuLaw(speechOf(speaker, at)), at * PACKET_SAMPLES);
  return samples;
}

/** Exports the recording and reads its channels, caller first. */
export async function channelsOf(
  harness: RecorderHarness,
  call: TestCall,
): Promise<readonly Int16Array[]> {
  const wav = harness.path(`${call.recording}.wav`);
  await harness.json("export", call.recording, "--wav", wav);
  return decodeWav(readFileSync(wav)).channels;
}

/** Equal sample for sample; says where not, instead of printing both. */
export function assertSounds(actual: Int16Array | undefined, expected: Int16Array): void {
  const at = expected.findIndex((sample, index) => sample !== actual?.[index]);
  const place = `packet ${Math.floor(at / PACKET_SAMPLES)}, sample ${at % PACKET_SAMPLES}`;
  assert.equal(at, -1, `differs in ${place}: ${actual?.[at]}, not ${expected[at]}`);
  assert.equal(actual?.length, expected.length);
}
