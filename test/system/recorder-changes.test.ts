/** A call that changes its media while it is recorded: what its re-INVITEs bring, from the order to the sound. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { CapturedPacket } from "../../protocol/ingest/frames.ts";
import type { OrderStream } from "../../protocol/ingest/order.ts";
import { encodeRtp } from "../../protocol/rtp/rtp-packet.ts";
import type { SrtpSender } from "../../protocol/srtp/srtp-sender.ts";
import {
  ALICE,
  BOB,
  PACKET_SAMPLES,
  RecorderHarness,
  senderUnder,
  type TestAgent,
  TestCall,
  toward,
} from "./recorder-harness.ts";
import {
  assertSounds,
  channelsOf,
  endOfCall,
  expectedSpeech,
  speechOf,
} from "./recorder-speech.ts";

const ANOTHER_KEY = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB";
const MOVED = { ...BOB, port: 32_000 };
const CAMERA = { ...BOB, port: 34_000 };
const SUITE = "AES_CM_128_HMAC_SHA1_80";
const harness = new RecorderHarness(60_000);
let agent: TestAgent;

before(async () => {
  await harness.start();
  agent = await harness.connect();
});
after(() => harness.close());

const anew = { kind: "srtp", suite: SUITE, masterKeySalt: ANOTHER_KEY } as const;
const speech = toward(BOB, "caller");
const moved: OrderStream = { ...speech, destination: MOVED, rtcpPort: MOVED.port + 1 };
const video: OrderStream = {
  ...{ ...speech, media: "video", destination: CAMERA, rtcpPort: CAMERA.port + 1 },
  payloads: [{ type: 96, codec: "H264", clockHz: 90_000, channels: 1 }],
};
const fax: OrderStream = {
  ...{ label: "caller", media: "image", destination: MOVED },
  ...{ payloads: [], protection: { kind: "pending" } },
};

/** 20 ms of the caller. */
const rtp = (at: number, ssrc = 0x1111, payloadType = 0): Buffer =>
  encodeRtp({
    ...{ marker: false, payloadType, sequenceNumber: at, timestamp: at * PACKET_SAMPLES },
    ...{ ssrc, csrcs: [], payload: speechOf("caller", at) },
  });

test("it moves, is keyed anew, shows a film and sends a fax, and every packet is where it belongs", async () => {
  const call = new TestCall(harness);
  const [first, second] = [senderUnder(speechKey()), senderUnder(ANOTHER_KEY)];
  const film = senderUnder(ANOTHER_KEY);
  const said = (from: number, to: number, by: SrtpSender, place: typeof BOB) =>
    Array.from({ length: to - from }, (_, index) =>
      call.packet(ALICE, place, from + index, by.protectRtp(rtp(from + index))),
    );
  const send = (packets: readonly CapturedPacket[]) => agent.send({ kind: "batch", packets });
  const order = async (revision: number, ...streams: readonly OrderStream[]) => {
    agent.send(call.order(revision, streams));
    const reply = await agent.next();
    assert.ok(reply?.kind === "order-reply" && reply.result === "accepted");
  };
  await order(1, speech);
  send(said(0, 10, first, BOB));
  await order(2, moved);
  send(said(10, 20, first, MOVED));
  send(said(20, 22, second, MOVED)); // it overtakes the answer with its key
  await order(3, { ...moved, protection: anew }, { ...video, protection: anew });
  send(said(22, 40, second, MOVED));
  const frames = Array.from({ length: 5 }, (_, n) => film.protectRtp(rtp(20 + n, 0x3333, 96)));
  send(frames.map((octets, n) => call.packet(ALICE, CAMERA, 30 + n, octets)));
  await order(4, fax);
  const udptl = Buffer.from([0x80, 0x00, 0x06, ...Array<number>(40).fill(9)]);
  send(Array.from({ length: 20 }, (_, n) => call.packet(ALICE, MOVED, 40 + n, udptl)));
  await order(5, { ...moved, protection: anew });
  send(said(60, 70, second, MOVED));
  agent.send(call.close());
  const report = await endOfCall(agent, call);
  assert.deepEqual(report.verdict, { kind: "complete" });
  const stored = report.streams.map(({ media, rtp: { authenticated, clear } }: Stream) => [
    ...[media, authenticated, clear],
  ]);
  assert.deepEqual(stored, [
    ["audio", 10, 0],
    ["audio+image", 40, 20],
    ["video", 5, 0],
  ]);
  assert.equal((await harness.json("verify", call.recording)).ok, true);
  const [left] = await channelsOf(harness, call);
  const silent = Array.from({ length: 20 }, (_, n) => 40 + n);
  assertSounds(left, expectedSpeech("caller", silent, 70));
});

interface Stream {
  readonly media: string;
  readonly rtp: { readonly authenticated: number; readonly clear: number };
}

function speechKey(): string {
  const { protection } = speech;
  assert.ok(protection.kind === "srtp");
  return protection.masterKeySalt;
}
