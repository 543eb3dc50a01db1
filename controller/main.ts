/**
 * `keyhole controller`: gives up the rights it does not need, reads its files, serves until it is
 * told to stop.
 */
import { Command } from "commander";
import { usageExitCode } from "../runtime/command-line.ts";
import { readConfig } from "../runtime/config-file.ts";
import { createLogger } from "../runtime/logger.ts";
import { assumeRights } from "../runtime/rights.ts";
import { stopSignal } from "../runtime/stop-signal.ts";
import { type ControllerConfig, controllerSchema } from "./config.ts";
import { describeConfig } from "./describe-config.ts";
import { loadCredentials } from "./io/credentials.ts";
import { runController } from "./io/run-controller.ts";

interface Options {
  readonly config: string;
  readonly check?: boolean;
}

/** Runs the program; resolves with its exit code. @throws ConfigError */
export async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv);
  if (typeof options === "number") return options;
  const config = readConfig(options.config, controllerSchema);
  if (options.check === true) {
    loadCredentials(options.config, config);
    process.stdout.write(`${describeConfig(config)}\n`);
    return 0;
  }
  assumeRights({ capabilities: [], network: "shared" }, config.process);
  await serve(options.config, config);
  return 0;
}

function parseOptions(argv: readonly string[]): Options | number {
  const command = new Command("keyhole controller")
    .description("The trusted SIP proxy: opens sealed SDP, orders pinholes and recordings.")
    .requiredOption("--config <file>", "its configuration, TOML")
    .option("--check", "say what the configuration would do, and stop")
    .exitOverride();
  try {
    return command.parse([...argv], { from: "user" }).opts<{ config: string; check?: boolean }>();
  } catch (error) {
    return usageExitCode(error);
  }
}

async function serve(file: string, config: ControllerConfig): Promise<void> {
  const log = createLogger("controller", config.log.level);
  const credentials = loadCredentials(file, config);
  const stopped = stopSignal();
  const controller = await runController(config, credentials, log);
  log.info({ listen: config.listen }, "ready");
  log.info({ signal: await stopped }, "stopping");
  await controller.stop();
}
