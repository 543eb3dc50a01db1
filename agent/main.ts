/**
 * `keyhole agent`: opens and closes pinholes on the gateway, and copies what they let through. Of rights it keeps
 * CAP_NET_ADMIN, for nft and NFLOG.
 */
import { Command } from "commander";
import { readConfig, resolveConfigPath } from "../runtime/config-file.ts";
import { createLogger } from "../runtime/logger.ts";
import { assumeRights } from "../runtime/rights.ts";
import { type AgentConfig, agentConfigSchema } from "./config.ts";
import { ruleset } from "./core/rules.ts";

/** Runs until it is told to stop; returns the exit code. @throws ConfigError, RightsError. */
export async function main(argv: readonly string[]): Promise<number> {
  const options = new Command("keyhole agent")
    .description("opens and closes pinholes on the gateway, copies what they let through")
    .requiredOption("--config <file>", "TOML configuration")
    .option("--print-rules", "print the firewall table that the agent would make, and end")
    .exitOverride()
    .parse([...argv], { from: "user" })
    .opts<{ config: string; printRules?: boolean }>();
  const config = readAgentConfig(options.config);
  if (options.printRules === true) {
    process.stdout.write(ruleset(config));
    return 0;
  }
  assumeRights({ capabilities: ["net_admin"], network: "shared" }, config.process);
  // Loaded only now: the process that has just become less has not loaded it in vain.
  const { runAgent } = await import("./io/run-agent.ts");
  await runAgent(config, createLogger("agent", config.log.level));
  return 0;
}

function readAgentConfig(file: string): AgentConfig {
  const config = readConfig(file, agentConfigSchema);
  return {
    ...config,
    socket: resolveConfigPath(file, config.socket),
    ingest: { socket: resolveConfigPath(file, config.ingest.socket) },
  };
}
