/** What GStreamer's srtpenc (libsrtp) sends, the real recorder decrypts, stores and gives back. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { decodeMuLaw, encodeMuLaw } from "../../protocol/audio/g711.ts";
import { decodeTelephoneWav } from "../../protocol/audio/wav.ts";
import { arrived, gstreamer, HOST, listen, TIMEOUT_MS } from "../interop/gstreamer-command.ts";
import { mediaKeyHex, PACKET_SAMPLES, RecorderHarness, TestCall } from "./recorder-harness.ts";
import { assertSounds, beginCall, channelsOf, endOfCall } from "./recorder-speech.ts";

const PACKETS = 60;
const FIRST_SEQUENCE_NUMBER = 65_500; // the rollover counter moves on within the call
const VOICE = new URL("../../lab/voices/alice.wav", import.meta.url);

/** SRTP of the caller's speech, made with his key. */
async function speak(speech: Uint8Array): Promise<readonly Buffer[]> {
  const folder = mkdtempSync(join(tmpdir(), "kh-gstreamer-"));
  const source = join(folder, "speech.ul");
  writeFileSync(source, speech);
  const { socket, port, packets } = await listen();
  const pipeline = gstreamer(
    `filesrc location=${source} blocksize=1600`,
    "! rawaudioparse use-sink-caps=false format=mulaw sample-rate=8000 num-channels=1",
    "! rtppcmupay pt=0 min-ptime=20000000 max-ptime=20000000",
    `ssrc=4711 seqnum-offset=${FIRST_SEQUENCE_NUMBER}`,
    `! srtpenc key=${mediaKeyHex("caller")} rtp-cipher=aes-128-icm rtp-auth=hmac-sha1-80`,
    `rtcp-cipher=aes-128-icm rtcp-auth=hmac-sha1-80 ! udpsink host=${HOST} port=${port}`,
  );
  try {
    await arrived(packets, PACKETS);
    await pipeline.finished();
  } finally {
    await pipeline.stop();
    socket.close();
    rmSync(folder, { recursive: true });
  }
  return packets;
}

test("the WAV is what GStreamer was given, sample for sample, and every packet is accounted for", {
  timeout: 2 * TIMEOUT_MS,
}, async () => {
  const samples = decodeTelephoneWav(readFileSync(VOICE)).subarray(0, PACKETS * PACKET_SAMPLES);
  const speech = encodeMuLaw(samples);
  const srtp = await speak(speech);
  const harness = new RecorderHarness(0);
  try {
    await harness.start();
    const agent = await harness.connect();
    const call = new TestCall(harness);
    await beginCall(agent, call);
    const packets = srtp.map((packet, at) => call.foreign("caller", at, packet));
    agent.send({ kind: "batch", packets });
    agent.send(call.close());
    const { verdict, streams } = await endOfCall(agent, call);
    agent.end();

    assert.deepEqual(verdict, { kind: "complete" });
    const [caller] = streams.filter(({ label }: { label: string }) => label === "caller");
    const { admitted, captured, authenticated, stored } = caller.rtp;
    assert.deepEqual([admitted, captured, authenticated, stored], Array(4).fill(PACKETS));
    const [left] = await channelsOf(harness, call);
    assertSounds(left, decodeMuLaw(speech));
  } finally {
    harness.close();
  }
});
