/**
 * Runs the tests: first the quick ones with a coverage floor on the pure cores, then the system
 * tests one after the other. `npm test -- PATTERN…` runs only files whose path contains a pattern.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";

const patterns = process.argv.slice(2);
const wanted = (file) => patterns.length === 0 || patterns.some((part) => file.includes(part));

const COVERAGE_FLOOR = [
  "--experimental-test-coverage",
  "--test-coverage-include=protocol/**/*.ts",
  "--test-coverage-include=*/core/**/*.ts",
  "--test-coverage-branches=90",
  "--test-coverage-lines=90",
];

const STAGES = [
  {
    title: "unit, property and interop tests",
    files: globSync("test/{unit,interop}/**/*.test.ts").filter(wanted).sort(),
    flags: patterns.length === 0 ? COVERAGE_FLOOR : [],
  },
  {
    title: "system tests",
    files: globSync("test/system/**/*.test.ts").filter(wanted).sort(),
    flags: ["--test-concurrency=1"],
  },
];

if (STAGES.every(({ files }) => files.length === 0)) {
  process.stderr.write("no test file matches\n");
  process.exit(1);
}

let failed = false;
for (const { title, files, flags } of STAGES) {
  if (files.length === 0) {
    if (patterns.length === 0) failed = true;
    process.stdout.write(`no ${title}\n`);
    continue;
  }
  process.stdout.write(`${title}: ${files.length} files\n`);
  const { status } = spawnSync(
    process.execPath,
    ["--test", "--test-reporter=./scripts/test-reporter.mjs", ...flags, ...files],
    { stdio: "inherit" },
  );
  failed ||= status !== 0;
}
process.exit(failed ? 1 : 0);
