/** How a wrong command line ends a program. */
import { CommanderError } from "commander";

/** EX_USAGE of sysexits.h. */
export const EXIT_USAGE = 64;

/** The exit code for what commander threw (it has said why, or shown help). Other errors go on. */
export function usageExitCode(error: unknown): number {
  if (!(error instanceof CommanderError)) throw error;
  return error.exitCode === 0 ? 0 : EXIT_USAGE;
}
