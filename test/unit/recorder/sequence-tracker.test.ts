import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MAX_TRACKED_SSRCS, SequenceTracker } from "../../../recorder/core/sequence-tracker.ts";

describe("sequence tracker", () => {
  it("counts what never came between first and last, in any order of arrival", () => {
    const indices = fc.uniqueArray(fc.integer({ min: 0, max: 200_000 }), { minLength: 1 });
    fc.assert(
      fc.property(indices, (arrived) => {
        const tracker = new SequenceTracker();
        for (const index of arrived) tracker.count(7, index);
        const [firstIndex, lastIndex] = [Math.min(...arrived), Math.max(...arrived)];
        const lost = lastIndex - firstIndex + 1 - arrived.length;
        assert.deepEqual(tracker.report(), [
          { ssrc: 7, packets: arrived.length, firstIndex, lastIndex, lost },
        ]);
      }),
    );
  });

  it("keeps sources apart, and no more of them than it may", () => {
    const tracker = new SequenceTracker();
    for (let ssrc = 0; ssrc <= MAX_TRACKED_SSRCS; ssrc++) tracker.count(ssrc, 5);
    assert.equal(tracker.report().length, MAX_TRACKED_SSRCS);
    assert.ok(tracker.report().every(({ packets, lost }) => packets === 1 && lost === 0));
  });
});
