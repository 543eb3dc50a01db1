/**
 * `keyhole controller`: gives up the rights it does not need, reads its files, serves until it is
 * told to stop, and reads them again on SIGHUP.
 */
import { Command } from "commander";
import { usageExitCode } from "../runtime/command-line.ts";
import { ConfigError, readConfig, resolveConfigPath } from "../runtime/config-file.ts";
import { createLogger, type Logger } from "../runtime/logger.ts";
import { assumeRights } from "../runtime/rights.ts";
import { stopSignal } from "../runtime/stop-signal.ts";
import { type ControllerConfig, controllerSchema } from "./config.ts";
import { describeConfig } from "./describe-config.ts";
import { loadCredentials } from "./io/credentials.ts";
import { isRecordingRequired, userRowsOf } from "./io/policies.ts";
import { type Loaded, type RunningController, runController } from "./io/run-controller.ts";
import { UserStore } from "./io/user-store.ts";

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
    const { users, credentials } = load(options.config, config);
    const said = [
      describeConfig(config),
      `users         ${users.size} in all`,
      ...credentials.warnings.map((warning) => `warning       ${warning}`),
    ];
    process.stdout.write(`${said.join("\n")}\n`);
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

/** Everything that the configuration names. @throws ConfigError */
function load(file: string, config: ControllerConfig): Loaded {
  const credentials = loadCredentials(file, config);
  const resolved = (path: string | undefined) =>
    path === undefined ? undefined : resolveConfigPath(file, path);
  const users = UserStore.open({
    rows: userRowsOf(config, credentials),
    book: { file: resolved(config.users?.file), database: resolved(config.users?.database) },
    domains: config.domains,
    mustRecord: isRecordingRequired(config),
  });
  return {
    file,
    config,
    credentials,
    users,
    stateFile: resolved(config.state?.database),
    authorityFile: resolved(config.authority?.database),
  };
}

async function serve(file: string, config: ControllerConfig): Promise<void> {
  const log = createLogger("controller", config.log.level);
  const stopped = stopSignal();
  const loaded = load(file, config);
  warn(loaded, log);
  const controller = await runController(loaded, log);
  let reloading = Promise.resolve();
  const onHangup = () => {
    reloading = reloading.then(() => reload(file, controller, log));
  };
  process.on("SIGHUP", onHangup);
  log.info({ listen: config.listen }, "ready");
  log.info({ signal: await stopped }, "stopping");
  process.off("SIGHUP", onHangup);
  await controller.stop();
}

function warn({ credentials }: Loaded, log: Logger): void {
  for (const warning of credentials.warnings) log.warn(warning);
}

/** A file with a fault changes nothing. */
async function reload(file: string, controller: RunningController, log: Logger): Promise<void> {
  try {
    const loaded = load(file, readConfig(file, controllerSchema));
    await controller.reload(loaded);
    warn(loaded, log);
    log.info("configuration read again");
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    log.error({ faults: error.faults }, "configuration is faulty, the old one stays");
  }
}
