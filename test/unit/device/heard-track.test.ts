import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HeardTrack, MAX_HEARD_SAMPLES } from "../../../device/core/heard-track.ts";

const FRAME = 160;

function packet(timestamp: number, fill: number, ssrc = 1) {
  return {
    ...{ marker: false, payloadType: 0, sequenceNumber: 0, csrcs: [] },
    ...{ timestamp: timestamp >>> 0, ssrc, payload: Buffer.alloc(FRAME, fill) },
  };
}

test("nothing heard is nothing", () => {
  assert.equal(new HeardTrack().octets.length, 0);
});

test("packets in any order, from any first timestamp, give one track", () => {
  const order = fc.shuffledSubarray([1, 2, 3, 4, 5, 6, 7], { minLength: 7 });
  fc.assert(
    fc.property(order, fc.nat(0xffff_ffff), (rest, first) => {
      const track = new HeardTrack();
      for (const at of [0, ...rest]) track.add(packet(first + at * FRAME, at));
      const expected = Buffer.concat([0, 1, 2, 3, 4, 5, 6, 7].map((at) => Buffer.alloc(FRAME, at)));
      assert.deepEqual(track.octets, expected);
    }),
  );
});

test("what was lost is silence", () => {
  const track = new HeardTrack();
  track.add(packet(0, 1));
  track.add(packet(2 * FRAME, 3));
  const expected = [Buffer.alloc(FRAME, 1), Buffer.alloc(FRAME, 0xff), Buffer.alloc(FRAME, 3)];
  assert.deepEqual(track.octets, Buffer.concat(expected));
});

test("the track grows without losing its beginning", () => {
  const track = new HeardTrack();
  track.add(packet(0, 1));
  track.add(packet(1_000_000, 2));
  assert.equal(track.octets.length, 1_000_000 + FRAME);
  assert.equal(track.octets[0], 1);
  assert.equal(track.octets[FRAME], 0xff);
  assert.equal(track.octets.at(-1), 2);
});

const LEFT_OUT = [
  ["another source's packet", packet(FRAME, 2, 7)],
  ["a packet from before the first", packet(-FRAME, 2)],
  ["a packet past the longest track", packet(MAX_HEARD_SAMPLES, 2)],
] as const;

for (const [name, late] of LEFT_OUT)
  test(`left out: ${name}`, () => {
    const track = new HeardTrack();
    track.add(packet(0, 1));
    track.add(late);
    assert.deepEqual(track.octets, Buffer.alloc(FRAME, 1));
  });

test("an hour to the sample is kept", () => {
  const track = new HeardTrack();
  track.add(packet(0, 1));
  track.add(packet(MAX_HEARD_SAMPLES - FRAME, 2));
  assert.equal(track.octets.length, MAX_HEARD_SAMPLES);
});
