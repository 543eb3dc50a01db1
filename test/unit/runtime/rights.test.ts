import assert from "node:assert/strict";
import { test } from "node:test";
import { heldCapabilities } from "../../../runtime/rights.ts";

test("permitted, effective and ambient capabilities count; the bounding set alone does not", () => {
  const status = [
    "CapInh:\t0000000000000001",
    "CapPrm:\t0000000000001000",
    "CapEff:\t0000000000000000",
    "CapBnd:\t000001ffffffffff",
    "CapAmb:\t0000000000002000",
  ].join("\n");
  assert.equal(heldCapabilities(status), 0x3000n);
});
