import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeALaw, decodeMuLaw } from "../../../protocol/audio/g711.ts";
import { encodeUdp } from "../../../protocol/capture/udp.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import type { PcapngPacket } from "../../../protocol/pcapng/encode-pcapng.ts";
import type { RtpPacket } from "../../../protocol/rtp/rtp-packet.ts";
import { beginMetadata, reviseMetadata } from "../../../recorder/core/metadata.ts";
import {
  layTimeline,
  MAX_DRIFT_MS,
  MAX_TIMELINE_SAMPLES,
} from "../../../recorder/core/timeline.ts";
import {
  ALICE,
  BOB,
  calleeStream,
  callerStream,
  NOW,
  orderOf,
  PCMU,
  rtcpOf,
  rtpOf,
} from "./call-fixture.ts";

const PCMA = { type: 8, codec: "pcma", clockHz: 8000, channels: 1 };
const G722 = { type: 9, codec: "G722", clockHz: 8000, channels: 1 };
const metadata = beginMetadata(
  orderOf([callerStream({ payloads: [PCMU, PCMA, G722] }), calleeStream()]),
  "2027-01-15T08:00:00.000Z",
);

/** A stored packet. @param ms When the kernel saw it. */
function stored(octets: Uint8Array, ms: number, { to = BOB, interfaceId = 0 } = {}): PcapngPacket {
  const from = to === BOB ? ALICE : BOB;
  const ip = encodeUdp({
    source: from.address,
    destination: to.address,
    sourcePort: from.port,
    destinationPort: to.port,
    payload: Buffer.from(octets),
  });
  return { interfaceId, micros: (NOW + ms) * 1000, octets: ip };
}

/** The n-th 20 ms of the caller, seen `lateMs` after its time. */
const said = (at: number, lateMs = 0, change: Partial<RtpPacket> = {}) =>
  stored(rtpOf(at, change), at * 20 + lateMs);
const heard = (at: number, ms: number, change: Partial<RtpPacket> = {}) =>
  stored(rtpOf(at, change), ms, { to: ALICE });

const lay = (...packets: readonly PcapngPacket[]) => {
  const inTime = packets.toSorted((one, other) => one.micros - other.micros);
  const { sound, undecoded } = layTimeline(inTime, metadata);
  const [left = new Int16Array(), right = new Int16Array()] = sound.channels;
  return { left, right, undecoded };
};
const speech = (at: number) => decodeMuLaw(Buffer.alloc(160, at & 0xff));
/** Which 20 ms begin at each packet's length; undefined where silent. */
const heardIn = (channel: Int16Array) =>
  Array.from({ length: channel.length / 160 }, (_, index) => {
    const part = channel.subarray(index * 160, index * 160 + 160);
    const at = Array.from({ length: 40 }, (_unused, n) => n).find((n) =>
      part.every((sample, i) => sample === speech(n)[i]),
    );
    return part.every((sample) => sample === 0) ? undefined : at;
  });

describe("time line", () => {
  it("is empty without packets", () => assert.equal(lay().left.length, 0));

  it("is sample for sample what the octets decode to, whatever the jitter", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(15), { minLength: 2, maxLength: 12 }), (jitter) => {
        const packets = jitter.map((late, at) => said(at + 1, at === 0 ? 0 : late));
        assert.deepEqual(
          heardIn(lay(...packets).left),
          jitter.map((_, at) => at + 1),
        );
      }),
    );
  });

  it("does not depend on the order of arrival", () => {
    const swapped = [said(1), said(3, -30), said(2, 30), said(4)];
    assert.deepEqual(heardIn(lay(...swapped).left), [1, 2, 3, 4]);
  });

  it("begins with the earliest sample, also when the first packet was overtaken", () => {
    const { left } = lay(said(2, -25), said(1, 5), said(3));
    assert.deepEqual(heardIn(left), [1, 2, 3]);
  });

  it("is silent where packets are missing", () =>
    assert.deepEqual(heardIn(lay(said(1), said(4)).left), [1, undefined, undefined, 4]));

  it("ignores duplicates", () => {
    const again = said(2, 9, { payload: Buffer.alloc(160, 9) });
    assert.deepEqual(heardIn(lay(said(1), said(2), again, said(3)).left), [1, 2, 3]);
  });

  it("places the second party by the kernel's time, rounded to a sample", () => {
    const { left, right } = lay(said(1), heard(5, 20 + 10.03), heard(6, 60));
    assert.equal(left.length, right.length);
    assert.deepEqual(right.subarray(80, 240), speech(5));
    assert.deepEqual(right.subarray(240, 400), speech(6));
    assert.ok(right.subarray(0, 80).every((sample) => sample === 0));
    assert.equal(right.length, 400);
  });

  it("begins with whoever speaks first", () => {
    const { left, right } = lay(heard(5, 0), said(1));
    assert.deepEqual(right.subarray(0, 160), speech(5));
    assert.deepEqual(left.subarray(160, 320), speech(1));
  });

  it("goes over the rollover of timestamp and sequence number", () => {
    const timestamp = (at: number) => (0xffffff00 + at * 160) >>> 0;
    const packets = [1, 2, 3, 4].map((at) =>
      said(at, 0, { timestamp: timestamp(at), sequenceNumber: (65_533 + at) & 0xffff }),
    );
    assert.deepEqual(heardIn(lay(...packets).left), [1, 2, 3, 4]);
  });

  it("begins a new run with a new SSRC, where the kernel saw it", () => {
    const other = { ssrc: 7, timestamp: 123_456 };
    const { left } = lay(said(1), said(2), said(4, 0, other));
    assert.deepEqual(heardIn(left), [1, 2, undefined, 4]);
  });

  it("begins a new run when timestamps leave the kernel's time, and not before", () => {
    const samples = MAX_DRIFT_MS * 8;
    const jumped = (by: number) => said(2, 0, { timestamp: (2 * 160 + by) >>> 0 });
    assert.equal(lay(said(1), jumped(samples)).left.length, 320 + samples);
    assert.deepEqual(heardIn(lay(said(1), jumped(samples + 1)).left), [1, 2]);
    assert.deepEqual(heardIn(lay(said(1), jumped(-samples - 1)).left), [1, 2]);
  });

  it("decodes A-law by the payload type that the order names", () => {
    const payload = Buffer.from([0x55, 0xd5, 0x12, 0x99]);
    const { left } = lay(said(1, 0, { payloadType: 8, payload }));
    assert.deepEqual(left, decodeALaw(payload));
  });

  it("is silent for codecs that it does not decode, and counts them", () => {
    const { left, undecoded } = lay(
      said(1),
      said(2, 0, { payloadType: 9 }),
      said(3, 0, { payloadType: 101 }),
      said(4),
    );
    assert.deepEqual(heardIn(left), [1, undefined, undefined, 4]);
    assert.deepEqual(undecoded, { G722: 1, "payload type 101": 1 });
  });

  it("is silent where a packet says more padding than it has, and goes on", () => {
    const padded = rtpOf(2, { paddingBytes: 4 });
    padded[padded.length - 1] = 255;
    const { left, undecoded } = lay(said(1), stored(padded, 40), said(3));
    assert.deepEqual(heardIn(left), [1, undefined, 3]);
    assert.deepEqual(undecoded, { "damaged RTP": 1 });
  });

  it("holds no RTCP, nothing kept apart, nothing of unknown ports", () => {
    const apart = stored(rtpOf(2), 40, { interfaceId: 1 });
    const foreign = stored(rtpOf(2), 40, { to: { ...BOB, port: 4 } });
    const { left } = lay(said(1), apart, foreign, stored(rtcpOf(), 40));
    assert.deepEqual(heardIn(left), [1]);
  });

  it("knows the streams of every revision", () => {
    const moved = { ...BOB, port: 31_000 };
    const order = orderOf([callerStream({ destination: moved })], { revision: 2 });
    const revised = reviseMetadata(metadata, order, "2027-01-15T08:01:00.000Z");
    const packets = [said(1), stored(rtpOf(2), 40, { to: moved })];
    const [left = new Int16Array()] = layTimeline(packets, revised).sound.channels;
    assert.deepEqual(heardIn(left), [1, 2]);
  });

  it("is refused beyond eight hours", () => {
    const ms = MAX_TIMELINE_SAMPLES / 8;
    assert.throws(
      () => lay(said(1), stored(rtpOf(2, { ssrc: 7 }), ms + 21)),
      (error) => isProtocolError(error, "ERR_RECORDING_SYNTAX"),
    );
  });
});
