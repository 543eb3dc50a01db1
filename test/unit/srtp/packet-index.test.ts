import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Secret } from "../../../protocol/secret.ts";
import { AesCounterMode } from "../../../protocol/srtp/aes-counter-mode.ts";
import {
  estimateIndex,
  packetIndex,
  ROLLOVER_COUNTER_MAX,
  rolloverCounterOf,
} from "../../../protocol/srtp/packet-index.ts";
import { REPLAY_WINDOW_PACKETS, ReplayWindow } from "../../../protocol/srtp/replay-window.ts";

const at = packetIndex;

/** Highest index, sequence number, estimate (RFC 3711 appendix A). */
const estimates: readonly [string, number, number, number][] = [
  ["the next", at(0, 5), 6, at(0, 6)],
  ["the one before", at(3, 5), 4, at(3, 4)],
  ["over the edge", at(0, 65_535), 0, at(1, 0)],
  ["back over the edge", at(1, 0), 65_535, at(0, 65_535)],
  ["exactly half ahead", at(1, 0), 32_768, at(1, 32_768)],
  ["more than half ahead is behind", at(1, 0), 32_769, at(0, 32_769)],
  ["exactly half behind", at(1, 32_768), 0, at(1, 0)],
  ["more than half behind is ahead", at(1, 32_769), 0, at(2, 0)],
  ["nothing is before the first counter", at(0, 0), 65_535, at(0, 65_535)],
  ["nothing is after the last", at(ROLLOVER_COUNTER_MAX, 65_535), 0, at(ROLLOVER_COUNTER_MAX, 0)],
];

for (const [what, highest, sequenceNumber, expected] of estimates)
  test(`packet index: ${what}`, () => {
    assert.equal(estimateIndex(highest, sequenceNumber), expected);
  });

test("packet index: whatever is nearer than half a cycle is found", () => {
  const distance = fc.integer({ min: -32_767, max: 32_767 });
  fc.assert(
    fc.property(fc.integer({ min: 65_536, max: 2 ** 47 }), distance, (highest, by) => {
      const index = highest + by;
      fc.pre(rolloverCounterOf(index) > 0);
      assert.equal(estimateIndex(highest, index % 65_536), index);
    }),
  );
});

test("replay window against a set of all that was seen", () => {
  const jumps = fc.array(fc.integer({ min: -1200, max: 1200 }), { maxLength: 300 });
  fc.assert(
    fc.property(jumps, (steps) => {
      const window = new ReplayWindow();
      const seen = new Set<number>();
      for (const step of steps) {
        const index = Math.max(0, window.highest + step);
        const isInside = index > window.highest - REPLAY_WINDOW_PACKETS;
        assert.equal(window.isFresh(index), isInside && !seen.has(index));
        if (window.isFresh(index)) window.mark(index);
        if (isInside) seen.add(index);
        assert.equal(window.highest, Math.max(-1, ...seen));
      }
    }),
  );
});

test("replay window: to ask is not to mark, and 64 at least are remembered", () => {
  assert.ok(REPLAY_WINDOW_PACKETS >= 64);
  const window = new ReplayWindow();
  assert.deepEqual([window.isFresh(9), window.isFresh(9), window.highest], [true, true, -1]);
});

test("counter mode has 2^16 blocks for one packet and no more", () => {
  const mode = new AesCounterMode(new Secret(Buffer.alloc(16)), new Secret(Buffer.alloc(14)));
  assert.equal(mode.keystream(0, 0, 65_536).length, 2 ** 20);
  assert.throws(() => mode.keystream(0, 0, 65_537), RangeError);
});
