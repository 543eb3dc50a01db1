/** Inputs that once broke something break nothing; a short run of the fuzzer finds nothing new. */
import { test } from "node:test";
import { chanceOf, mutate } from "../../fuzz/mutate.ts";
import { examine, seeds } from "../../fuzz/sip.ts";

const SEED = 4475;
const INPUTS = 400;

test("the torture tests and every saved input", () => {
  const chance = chanceOf(SEED);
  for (const input of seeds()) examine(input, chance);
});

test(`${INPUTS} inputs made of them`, () => {
  const chance = chanceOf(SEED);
  const pool = seeds();
  for (let count = 0; count < INPUTS; count += 1) examine(mutate(pool, chance), chance);
});
