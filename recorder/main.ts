/** `keyhole recorder`: decrypts what agents captured and stores it sealed. */

import { Command } from "commander";
import sodium from "libsodium-wrappers";
import { rawPublicKey } from "../protocol/sealing/sodium.ts";
import { EXIT_CONFIG, readConfig, resolveConfigPath } from "../runtime/config-file.ts";
import { createLogger } from "../runtime/logger.ts";
import { assumeRights } from "../runtime/rights.ts";
import { stopSignal } from "../runtime/stop-signal.ts";
import { type RecorderConfig, recorderConfigSchema } from "./config.ts";
import { KeyFileError, readPrivateKey, readPublicKey } from "./io/key-files.ts";
import { type RecorderOptions, RecorderService } from "./io/recorder-service.ts";

/** Runs until SIGTERM or SIGINT. @throws ConfigError. */
export async function main(argv: readonly string[]): Promise<number> {
  const command = new Command("keyhole recorder")
    .description("decrypt what agents captured and store it sealed")
    .requiredOption("--config <file>", "recorder.toml")
    .exitOverride()
    .parse(argv, { from: "user" });
  const file = command.opts<{ config: string }>().config;
  const config = readConfig(file, recorderConfigSchema);
  assumeRights({ capabilities: [], network: "none" }, config.process);
  process.umask(0o077);
  const log = createLogger("recorder", config.log.level);
  try {
    const stopped = stopSignal();
    const service = await RecorderService.start({ ...(await prepare(file, config)), log });
    log.info("ready");
    const signal = await stopped;
    log.info({ signal }, "stopping");
    await service.stop("the recorder was stopped");
    return 0;
  } catch (error) {
    log.error({ reason: error instanceof Error ? error.message : String(error) }, "cannot run");
    return error instanceof KeyFileError ? EXIT_CONFIG : 1;
  }
}

async function prepare(
  file: string,
  config: RecorderConfig,
): Promise<Omit<RecorderOptions, "log">> {
  await sodium.ready;
  const at = (path: string) => resolveConfigPath(file, path);
  return {
    socket: at(config.socket),
    store: at(config.store),
    key: readPrivateKey(at(config.key), "x25519"),
    controllers: config.controllers.map((path) => readPublicKey(at(path), "ed25519")),
    archives: config.archives.map((path) => rawPublicKey(readPublicKey(at(path), "x25519"))),
    ledgerKey: readPrivateKey(at(config.ledgerKey), "ed25519"),
    resumeMs: config.resumeMs,
    sodium,
  };
}
