import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CapturedPacket } from "../../../protocol/ingest/frames.ts";
import type { PinholeCount } from "../../../protocol/ingest/messages.ts";
import type { OrderStream } from "../../../protocol/ingest/order.ts";
import type { PcapngPacket } from "../../../protocol/pcapng/encode-pcapng.ts";
import type { SrtpSender } from "../../../protocol/srtp/srtp-sender.ts";
import { type Completeness, completenessSchema } from "../../../recorder/core/completeness.ts";
import { PENDING_MS } from "../../../recorder/core/media-stream.ts";
import type { Metadata } from "../../../recorder/core/metadata.ts";
import { Recorder } from "../../../recorder/core/recorder.ts";
import type { RecorderEffect } from "../../../recorder/core/recorder-messages.ts";
import { GRACE_MS } from "../../../recorder/core/stream-receivers.ts";
import { layTimeline } from "../../../recorder/core/timeline.ts";
import {
  ALICE,
  BOB,
  calleeStream,
  callerStream,
  capturedOf,
  NOW,
  OTHER_KEY,
  orderOf,
  RECORDING,
  rtpOf,
  STRANGER,
  senderOf,
  srtp,
} from "./call-fixture.ts";

const SECOND = RECORDING.replace("0b", "0c");
const THIRD_KEY = "A".repeat(40);
const MOVED = { address: BOB.address, port: 31_000 };
const VIDEO_PORT = { address: BOB.address, port: 30_002 };
const PENDING = { kind: "pending" } as const;
const PLAIN = { kind: "rtp" } as const;
const UDPTL = Buffer.from([0x80, 0x00, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);

/** One call after the other at a recorder; what the kernel let through is counted beside. */
class Call {
  readonly recorder: Recorder;
  readonly session: string;
  readonly recording: string;
  readonly packets: PcapngPacket[] = [];
  metadata: Metadata | undefined;
  #revision = 0;
  #report: Completeness | undefined;
  readonly #admitted = new Map<string, PinholeCount>();

  constructor(recorder = new Recorder(), recording = RECORDING) {
    this.recorder = recorder;
    this.recording = recording;
    this.session = `s-${recording}`;
  }

  order(streams: readonly OrderStream[], now = NOW, revision = ++this.#revision) {
    const { recorder, session, recording } = this;
    const order = orderOf(streams, { revision, recording });
    const input = {
      kind: "order",
      connection: 1,
      id: revision,
      session,
      recording,
      order,
    } as const;
    const effects = this.take(recorder.handle(input, now));
    if (revision > 1) return effects;
    return this.take(recorder.handle({ kind: "opened", recording }, now));
  }

  pass(octets: Uint8Array, { from = ALICE, to = BOB, ms = 0 } = {}): readonly RecorderEffect[] {
    this.admit(to);
    return this.take(this.batch([capturedOf(octets, { from, to, ms })], NOW + ms));
  }

  admit(to: typeof BOB): void {
    const name = `${to.address}:${to.port}`;
    const packets = (this.#admitted.get(name)?.packets ?? 0) + 1;
    this.#admitted.set(name, { packets, bytes: 0, to });
  }

  batch(packets: readonly CapturedPacket[], now = NOW): readonly RecorderEffect[] {
    return this.recorder.handle({ kind: "batch", packets }, now);
  }

  take(effects: readonly RecorderEffect[]): readonly RecorderEffect[] {
    for (const effect of effects) {
      if (!("recording" in effect) || effect.recording !== this.recording) continue;
      if (effect.kind === "write-packets") this.packets.push(...effect.packets);
      if ("metadata" in effect) this.metadata = effect.metadata;
      if (effect.kind === "finish") this.#report = effect.completeness;
    }
    return effects;
  }

  close(now = NOW + 60_000): Completeness {
    const { recorder, session } = this;
    const counters = Object.fromEntries(this.#admitted);
    const close = { kind: "close", session, reason: "bye", counters, exact: true } as const;
    this.take(recorder.handle(close, now));
    this.take(recorder.handle({ kind: "tick" }, now + 10_000));
    assert.ok(this.#report);
    return completenessSchema.parse(this.#report);
  }
}

const COMPLETE = { kind: "complete" };
const seal = (sender: SrtpSender, at: number, ssrc = 0x1111) =>
  sender.protectRtp(rtpOf(at, { ssrc }));

describe("a call that changes its media", () => {
  it("streams come and go", () => {
    const [call, voice, video] = [new Call(), senderOf(), senderOf(THIRD_KEY)];
    const camera = callerStream({
      media: "video",
      destination: VIDEO_PORT,
      rtcpPort: VIDEO_PORT.port + 1,
      payloads: [{ type: 0, codec: "PCMU", clockHz: 8000, channels: 1 }],
      protection: srtp(THIRD_KEY),
    });
    call.order([callerStream()]);
    call.pass(seal(voice, 1));
    call.order([callerStream(), camera]);
    call.pass(seal(voice, 2));
    call.pass(seal(video, 1), { to: VIDEO_PORT });
    call.order([callerStream()]);
    call.pass(seal(video, 2), { to: VIDEO_PORT });
    call.pass(seal(voice, 3));
    const { streams, verdict } = call.close();
    assert.deepEqual(verdict, COMPLETE);
    assert.deepEqual(
      streams.map(({ media, rtp }) => [media, rtp.stored]),
      [
        ["audio", 3],
        ["video", 2],
      ],
    );
    assert.ok(call.metadata);
    const { sound, undecoded } = layTimeline(call.packets, call.metadata);
    assert.equal(sound.channels[0]?.length, 3 * 160, "no video in the sound, whatever its codec");
    assert.deepEqual(undecoded, { "video PCMU": 2 });
  });

  it("a stream moves, and its rollover counter with it or not", () => {
    for (const keeps of [true, false]) {
      const [call, before] = [new Call(), senderOf()];
      call.order([callerStream()]);
      let at = 0;
      for (; at < 4 * 65_536; at += 20_000) call.pass(seal(before, at));
      call.order([callerStream({ destination: MOVED, rtcpPort: MOVED.port + 1 })]);
      const after = keeps ? before : senderOf();
      call.pass(seal(after, at), { to: MOVED });
      const { streams, verdict } = call.close();
      assert.deepEqual(verdict, COMPLETE, keeps ? "kept" : "0 again");
      assert.equal(streams[1]?.rtp.authenticated, 1);
    }
  });

  it("a stream moves and is keyed anew at once", () => {
    const [call, before, after] = [new Call(), senderOf(), senderOf(THIRD_KEY)];
    call.order([callerStream()]);
    call.pass(seal(before, 1));
    call.order([callerStream({ destination: MOVED, protection: srtp(THIRD_KEY) })]);
    call.pass(seal(before, 2));
    call.pass(seal(after, 3), { to: MOVED });
    assert.deepEqual(call.close().verdict, COMPLETE);
  });

  it("codecs change", () => {
    const [call, sender] = [new Call(), senderOf()];
    const payloads = [{ type: 8, codec: "PCMA", clockHz: 8000, channels: 1 }];
    call.order([callerStream()]);
    call.pass(seal(sender, 1));
    call.order([callerStream({ payloads })]);
    call.pass(sender.protectRtp(rtpOf(2, { payloadType: 8 })), { ms: 20 });
    assert.deepEqual(call.close().verdict, COMPLETE);
    assert.ok(call.metadata);
    const { sound, undecoded } = layTimeline(call.packets, call.metadata);
    assert.deepEqual([sound.channels[0]?.length, undecoded], [320, {}]);
  });

  it("a call on hold has no gap", () => {
    const [call, alice, bob] = [new Call(), senderOf(), senderOf(OTHER_KEY)];
    const both = [callerStream(), calleeStream()];
    call.order(both);
    call.pass(seal(alice, 1));
    call.pass(seal(bob, 1, 2), { from: BOB, to: ALICE });
    call.order(both);
    call.pass(seal(bob, 2, 2), { from: BOB, to: ALICE, ms: 30_000 });
    call.order(both);
    call.pass(seal(alice, 2), { ms: 59_000 });
    const { verdict, gaps, streams } = call.close();
    assert.deepEqual([verdict, gaps], [COMPLETE, []]);
    assert.deepEqual(
      streams.map(({ lost }) => lost),
      [0, 0],
    );
  });

  it("a re-INVITE's media may come before its answer, and old media after it", () => {
    const [call, bob, anew] = [new Call(), senderOf(OTHER_KEY), senderOf(THIRD_KEY)];
    const back = { from: BOB, to: ALICE };
    call.order([calleeStream()]);
    call.pass(seal(bob, 1), back);
    call.order([calleeStream(), calleeStream({ protection: PENDING })]);
    call.pass(seal(bob, 2), back);
    call.pass(seal(anew, 3), back);
    call.order([calleeStream({ protection: srtp(THIRD_KEY) })]);
    call.pass(seal(bob, 4), back);
    call.pass(seal(anew, 5), back);
    const { verdict, streams } = call.close();
    assert.deepEqual(verdict, COMPLETE);
    assert.equal(streams[0]?.rtp.authenticated, 5);
  });

  it("a plain call is encrypted from then on", () => {
    const [call, sender] = [new Call(), senderOf()];
    const source = { address: ALICE.address };
    call.order([callerStream({ protection: PLAIN, source })]);
    call.pass(rtpOf(1));
    call.order([callerStream({ source })]);
    call.pass(rtpOf(2));
    call.pass(seal(sender, 3));
    const { verdict, streams } = call.close();
    assert.deepEqual(verdict, COMPLETE);
    assert.deepEqual([streams[0]?.rtp.clear, streams[0]?.rtp.authenticated], [2, 1]);
  });

  it("speech becomes fax at the same port: all of it is stored, none of it is heard", () => {
    const [call, sender] = [new Call(), senderOf()];
    const { rtcpPort: _none, ...alone } = callerStream();
    call.order([callerStream()]);
    call.pass(seal(sender, 1));
    call.order([callerStream(), { ...alone, media: "image", payloads: [], protection: PENDING }]);
    call.pass(UDPTL);
    call.order([{ ...alone, media: "image", payloads: [], protection: PENDING }]);
    for (let n = 0; n < 600; n += 1) call.pass(UDPTL, { ms: GRACE_MS + n });
    const { verdict, streams } = call.close();
    assert.deepEqual(verdict, COMPLETE);
    assert.equal(streams[0]?.rtp.stored, 602);
    assert.equal(call.packets.length, 602);
    assert.ok(call.metadata);
    assert.equal(layTimeline(call.packets, call.metadata).sound.channels[0]?.length, 160);
  });

  it("an order put again after the controller's restart is taken, and changes nothing", () => {
    const [call, sender] = [new Call(), senderOf()];
    call.order([callerStream()]);
    call.order([callerStream(), calleeStream()]);
    call.pass(seal(sender, 1));
    const again = call.order([callerStream(), calleeStream()], NOW + 1000, 2);
    assert.deepEqual(
      again.map(({ kind }) => kind),
      ["reply"],
    );
    call.pass(seal(sender, 2));
    const { verdict, streams } = call.close();
    assert.deepEqual(verdict, COMPLETE);
    assert.equal(streams[0]?.rtp.authenticated, 2);
  });
});

describe("two calls at one destination", () => {
  const from = (address: string, key: string) =>
    calleeStream({ source: { address }, protection: srtp(key) });
  const toAlice = (sender: typeof BOB) => ({ from: sender, to: ALICE });

  it("early dialogs are told apart by their keys", () => {
    const first = new Call();
    const second = new Call(first.recorder, SECOND);
    const [one, other] = [senderOf(OTHER_KEY), senderOf(THIRD_KEY)];
    first.order([from(BOB.address, OTHER_KEY)]);
    second.order([from(STRANGER.address, THIRD_KEY)], NOW + 10);
    const mixed = [
      capturedOf(seal(one, 1), { ...toAlice(BOB), ms: 20 }),
      capturedOf(seal(other, 1, 2), { ...toAlice(STRANGER), ms: 21 }),
      capturedOf(seal(one, 2), { ...toAlice(BOB), ms: 22 }),
      // From behind one address translator: the key alone can tell.
      capturedOf(seal(other, 2, 2), { ...toAlice(BOB), ms: 23 }),
    ];
    const effects = first.batch(mixed, NOW + 30);
    for (const call of [first, second]) {
      call.take(effects);
      for (let n = 0; n < 2; n += 1) call.admit(ALICE);
      const { verdict, streams } = call.close();
      assert.deepEqual(verdict, COMPLETE);
      assert.equal(streams[0]?.rtp.authenticated, 2);
    }
  });

  it("a replay is counted where the key proves it, and is nobody else's forgery", () => {
    const first = new Call();
    const second = new Call(first.recorder, SECOND);
    first.order([from(BOB.address, OTHER_KEY)]);
    second.order([from(STRANGER.address, THIRD_KEY)]);
    const repeated = seal(senderOf(THIRD_KEY), 1);
    // From the first one's source: by that alone it would be his.
    for (const ms of [20, 21]) second.pass(repeated, { ...toAlice(BOB), ms });
    const [counts, others] = [second.close().streams[0]?.rtp, first.close().streams[0]?.rtp];
    assert.deepEqual(
      [counts?.authenticated, counts?.rejected.replay, counts?.keptApart],
      [1, 1, 1],
    );
    assert.deepEqual([others?.captured, others?.rejected.authentication], [0, 0]);
  });

  it("what no key opens is the signalled source's, or the one's that has no key yet", () => {
    const first = new Call();
    const second = new Call(first.recorder, SECOND);
    first.order([from(BOB.address, OTHER_KEY)]);
    second.order([calleeStream({ protection: PENDING, source: { address: STRANGER.address } })]);
    const key = senderOf(THIRD_KEY);
    const late = [capturedOf(seal(key, 1), toAlice(STRANGER)), capturedOf(rtpOf(9), toAlice(BOB))];
    first.batch(late);
    second.admit(ALICE);
    first.admit(ALICE);
    second.order([from(STRANGER.address, THIRD_KEY)]);
    assert.equal(second.close().streams[0]?.rtp.authenticated, 1);
    assert.equal(first.close().streams[0]?.rtp.rejected.authentication, 1);
  });

  it("plain calls are told apart by source", () => {
    const first = new Call();
    const second = new Call(first.recorder, SECOND);
    for (const [call, address] of [
      [first, BOB.address],
      [second, STRANGER.address],
    ] as const)
      call.order([calleeStream({ source: { address }, protection: PLAIN })]);
    first.batch([
      capturedOf(rtpOf(1), toAlice(BOB)),
      capturedOf(rtpOf(1, { ssrc: 2 }), toAlice(STRANGER)),
    ]);
    for (const call of [first, second]) {
      call.admit(ALICE);
      assert.equal(call.close().streams[0]?.rtp.clear, 1);
    }
  });

  it("a port that one call left is the other's, though that one is older", () => {
    const older = new Call();
    const younger = new Call(older.recorder, SECOND);
    older.order([callerStream({ protection: PLAIN })]);
    younger.order([callerStream({ protection: PLAIN, destination: MOVED })], NOW + 10);
    younger.order([callerStream({ protection: PLAIN, destination: VIDEO_PORT })], NOW + 20);
    older.order([callerStream({ protection: PLAIN, destination: MOVED })], NOW + 30);
    const packets = [rtpOf(1), rtpOf(2)].map((octets, at) =>
      capturedOf(octets, { to: MOVED, ms: 15 + 30 * at }),
    );
    const effects = older.batch(packets, NOW + 50);
    const whose = effects.flatMap((effect) =>
      effect.kind === "write-packets" ? [effect.recording] : [],
    );
    assert.deepEqual(whose.sort(), [RECORDING, SECOND]);
  });

  it("what is for nobody's key waits once, with one of them", () => {
    const first = new Call();
    const second = new Call(first.recorder, SECOND);
    for (const call of [first, second]) call.order([from(BOB.address, OTHER_KEY)]);
    first.batch([capturedOf(rtpOf(1), toAlice(BOB))]);
    const expired = first.recorder.handle({ kind: "tick" }, NOW + PENDING_MS);
    assert.equal(expired.filter(({ kind }) => kind === "write-packets").length, 1);
  });
});
