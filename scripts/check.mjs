/** Format, lint, types, dependency rules, dead code: all at once, every fault shown. */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { cruiseFault } from "./cruise-fault.ts";

const CODE = "bin protocol runtime ca controller agent recorder device lab bench test".split(" ");

const CHECKS = {
  "format and lint": ["biome", "ci", "--error-on-warnings", "."],
  types: ["tsc", "-p", "."],
  "dependency rules": [
    "depcruise",
    "--config",
    ".dependency-cruiser.cjs",
    "--output-type",
    "err",
    ...CODE,
  ],
  "dead code": ["knip"],
};

const results = await Promise.all(Object.entries(CHECKS).map(([name, argv]) => check(name, argv)));
for (const { name, ok, seconds, output } of results) {
  process.stdout.write(`${ok ? "ok  " : "FAIL"} ${name} (${seconds} s)\n`);
  if (!ok) process.stdout.write(`${output}\n`);
}
process.exit(results.every(({ ok }) => ok) ? 0 : 1);

function check(name, [command, ...args]) {
  const from = Date.now();
  return new Promise((resolve) => {
    const child = spawn(`node_modules/.bin/${command}`, args, {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => {
        output += chunk;
      });
    child.on("error", (error) => {
      output += error.message;
    });
    child.on("close", (code) => {
      const fault = code === 0 ? tooFewModules(name, output) : undefined;
      const seconds = ((Date.now() - from) / 1000).toFixed(1);
      resolve({ name, ok: code === 0 && fault === undefined, seconds, output: fault ?? output });
    });
  });
}

function tooFewModules(name, output) {
  if (name !== "dependency rules") return undefined;
  return cruiseFault(output, globSync(`{${CODE.join()}}/**/*.ts`).length);
}
