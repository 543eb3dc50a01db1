import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { Rehearsal } from "../../../controller/core/rehearsal.ts";

test("every call that is played goes through, from INVITE to the answer of BYE", () => {
  const rehearsal = new Rehearsal(randomBytes);
  assert.equal(rehearsal.play(3), 3);
  assert.equal(rehearsal.play(400), 400);
});
