/** Merged requests, and what is remembered of them (RFC 3261 §8.2.2.2). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MergedRequests } from "../../../protocol/sip/merged-requests.ts";
import { withHeader } from "../../../protocol/sip/message.ts";
import { sampleRequest } from "./sample.ts";

test("each request is remembered, also that at which old ones are thrown away", () => {
  const merged = new MergedRequests();
  const alive = new Set<string>();
  for (let call = 0; call < 1_100; call += 1) {
    const request = withHeader(sampleRequest("OPTIONS"), "Call-ID", `${call}@a`);
    const key = `s|${call}`;
    assert.equal(merged.isMerged(request, key, alive), false);
    alive.add(key); // its transaction begins only after it was found new
    assert.equal(merged.isMerged(request, `${key} by another way`, alive), true, `call ${call}`);
    if (call % 2 === 0) alive.delete(key);
  }
});
