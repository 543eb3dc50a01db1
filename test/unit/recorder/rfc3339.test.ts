import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { rfc3339 } from "../../../recorder/core/rfc3339.ts";

it("times are as Date writes them, to the year 9999", () => {
  const last = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: last }), (ms) =>
      assert.equal(rfc3339(ms), new Date(ms).toISOString()),
    ),
  );
  for (const text of [
    "1970-01-01T00:00:00.000Z",
    "2000-02-29T12:00:00.001Z",
    "2100-03-01T00:00:00.000Z",
  ])
    assert.equal(rfc3339(Date.parse(text)), text);
  assert.equal(rfc3339(1.9), "1970-01-01T00:00:00.001Z");
});
