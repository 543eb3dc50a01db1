/**
 * `keyhole ca`: makes the certificates and keys that a first installation needs, and lists and
 * revokes what controllers issued since.
 */
import { Command } from "commander";
import { usageExitCode } from "../runtime/command-line.ts";
import type { Terminal } from "./command.ts";
import { addInitCommand } from "./init-command.ts";
import { addIssuedCommands } from "./issued-commands.ts";

/** Runs one command of `keyhole ca`; returns the exit code. @throws ConfigError for a database. */
export async function main(argv: readonly string[], terminal: Terminal = process): Promise<number> {
  let exitCode = 0;
  const done = (code: number): void => {
    exitCode = code;
  };
  const program = new Command("keyhole ca")
    .description(
      "make the certificates and keys of an installation; list and revoke those of phones",
    )
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
    })
    .exitOverride();
  addInitCommand(program, terminal, done);
  addIssuedCommands(program, terminal, done);
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    return usageExitCode(error);
  }
}
