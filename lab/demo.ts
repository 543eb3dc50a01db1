/**
 * `keyhole demo`: one sealed call from phone to phone through a small network, with everything
 * proved that it claims; the same call in the patent's form; a call in clear, to prove that the
 * search would have found something. Exit code 0 only if all that was shown held.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Command } from "commander";
import { usageExitCode } from "../runtime/command-line.ts";
import { runDemo } from "./demo-run.ts";
import { createScreen } from "./demo-screen.ts";
import { REPOSITORY } from "./site.ts";

const EXIT_FAILED = 1;
/** What earlier runs may have left in the folder, and this one makes anew. */
const RESULTS = ["call", "patent-call", "control-call", "logs", "recordings"];

export async function main(argv: readonly string[]): Promise<number> {
  const command = new Command("keyhole demo")
    .description("Places one sealed call through a network of namespaces and shows what happens.")
    .option("--json <file>", "write every figure as one JSON object")
    .option("--out <dir>", "folder for what the calls leave behind", join(REPOSITORY, "out/demo"))
    .allowExcessArguments(false)
    .exitOverride();
  try {
    command.parse(argv, { from: "user" });
  } catch (error) {
    return usageExitCode(error);
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write("keyhole demo: namespaces and nftables want root\n");
    return EXIT_FAILED;
  }
  const { json, out } = command.opts<{ json?: string; out: string }>();
  return runInFolder(resolve(out), json === undefined ? undefined : resolve(json));
}

async function runInFolder(out: string, json: string | undefined): Promise<number> {
  for (const name of RESULTS) rmSync(join(out, name), { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const setupMs = Number(process.env["KEYHOLE_SETUP_MS"] ?? 0);
  const screen = createScreen(process.stdout);
  const report = await runDemo({ screen, out, setupMs });
  if (json !== undefined) {
    mkdirSync(dirname(json), { recursive: true });
    writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  }
  const { failures } = report;
  const verdict = report.ok ? "All of it held." : `Did not hold: ${failures.join("; ")}`;
  process.stdout.write(`\n${verdict}\n`);
  return report.ok ? 0 : EXIT_FAILED;
}
