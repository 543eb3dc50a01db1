/**
 * `npm run fuzz -- sip [--minutes N] [--seed N]`: changes good inputs and saved ones at random, and
 * sees that what must hold does. An input that brings a new outcome is changed further. One that
 * breaks something is saved under test/vectors/fuzz, where `npm test` replays it ever after.
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chanceOf, mutate } from "../test/fuzz/mutate.ts";

const TARGETS = { sip: () => import("../test/fuzz/sip.ts") };
const FOLDER = join(import.meta.dirname, "../test/vectors/fuzz");
const MAX_POOL = 5_000;
/** Larger inputs are tried, but not changed further: small ones get to the point sooner. */
const MAX_POOLED_BYTES = 3_000;
const REPORT_MS = 10_000;

const { name, minutes, seed } = readArguments();
const { examine, seeds } = await TARGETS[name]();
const chance = chanceOf(seed);
const pool = [...seeds()];
const outcomes = new Set();
const startedAt = Date.now();
const endsAt = startedAt + minutes * 60_000;
let inputs = 0;
let failures = 0;
let reportAt = startedAt + REPORT_MS;

process.stdout.write(
  `fuzzing ${name} for ${minutes} min from ${pool.length} inputs, seed ${seed}\n`,
);
for (const input of pool) tryOne(input);
while (Date.now() < endsAt) {
  tryOne(mutate(pool, chance));
  if (Date.now() >= reportAt) report();
}
report();
const inputsPerSecond = Math.round(inputs / ((Date.now() - startedAt) / 1000));
process.stdout.write(
  `${JSON.stringify({ fuzz: name, seed, inputs, inputsPerSecond, outcomes: outcomes.size, failures })}\n`,
);
process.exitCode = failures === 0 ? 0 : 1;

function tryOne(input) {
  inputs += 1;
  try {
    const outcome = examine(input, chance);
    if (outcomes.has(outcome)) return;
    outcomes.add(outcome);
    if (input.length > MAX_POOLED_BYTES) return;
    if (pool.length < MAX_POOL) pool.push(input);
    else pool[chance(MAX_POOL)] = input;
  } catch (error) {
    failures += 1;
    const path = join(
      FOLDER,
      `${createHash("sha256").update(input).digest("hex").slice(0, 12)}.dat`,
    );
    writeFileSync(path, input);
    process.stdout.write(`${path}: ${error.stack}\n`);
  }
}

function report() {
  reportAt = Date.now() + REPORT_MS;
  const seconds = (Date.now() - startedAt) / 1000;
  const speed = Math.round(inputs / seconds);
  process.stdout.write(
    `${seconds.toFixed(0).padStart(5)} s ${inputs} inputs, ${speed}/s, ${outcomes.size} outcomes, ${failures} failures\n`,
  );
}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: "string", default: "10" },
      seed: { type: "string", default: String(Date.now() % 2 ** 32) },
    },
  });
  const [name = ""] = positionals;
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
  if (!Object.hasOwn(TARGETS, name) || !(minutes > 0) || !Number.isInteger(seed)) {
    process.stderr.write(
      `usage: npm run fuzz -- ${Object.keys(TARGETS).join("|")} [--minutes N] [--seed N]\n`,
    );
    process.exit(64);
  }
  return { name, minutes, seed };
}
