import assert from "node:assert/strict";
import { test } from "node:test";
import { BLOCK_BYTES, createRandomPool } from "../../../runtime/random-pool.ts";

test("octets are handed out once, in blocks that are filled at once", () => {
  let filled = 0;
  const random = createRandomPool((octets) => {
    filled += 1;
    for (let at = 0; at < octets.length; at += 4) octets.writeUInt32BE(filled * 10_000 + at, at);
  });
  const seen = new Set<string>();
  for (let drawn = 0; drawn < 2 * BLOCK_BYTES; drawn += 8) seen.add(random(8).toString("hex"));
  assert.equal(seen.size, (2 * BLOCK_BYTES) / 8);
  assert.equal(filled, 2);
});

test("what does not fit into the rest of a block comes from the next, and more than one is its own", () => {
  let filled = 0;
  const random = createRandomPool(() => {
    filled += 1;
  });
  random(BLOCK_BYTES - 1);
  assert.equal(random(2).length, 2);
  assert.equal(filled, 2);
  assert.equal(random(BLOCK_BYTES + 1).length, BLOCK_BYTES + 1);
  assert.equal(filled, 3);
});

test("the octets are random by themselves", () => {
  const random = createRandomPool();
  assert.notDeepEqual(random(16), random(16));
});
