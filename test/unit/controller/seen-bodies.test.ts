import assert from "node:assert/strict";
import { test } from "node:test";
import { SEEN_BODY_LIFETIME_MS, SeenBodies } from "../../../controller/core/seen-bodies.ts";

const NOW = Date.UTC(2003, 5, 20, 13, 2, 3);

test("a body is new once, until its date has aged it out of use", () => {
  const seen = new SeenBodies();
  const body = Buffer.from("sealed");
  assert.equal(seen.claim(body, NOW), true);
  assert.equal(seen.claim(Buffer.from(body), NOW + 1), false);
  assert.equal(seen.claim(body, NOW + SEEN_BODY_LIFETIME_MS - 1), false);
  assert.equal(seen.claim(body, NOW + SEEN_BODY_LIFETIME_MS), true);
});

test("the memory of bodies is bounded; the oldest goes first", () => {
  const seen = new SeenBodies(2);
  for (const text of ["a", "b", "c"]) assert.equal(seen.claim(Buffer.from(text), NOW), true);
  assert.equal(seen.claim(Buffer.from("c"), NOW), false);
  assert.equal(seen.claim(Buffer.from("a"), NOW), true);
});
