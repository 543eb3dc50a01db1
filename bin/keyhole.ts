#!/usr/bin/env node
/**
 * One command for every program: `keyhole NAME …` hands the rest of its arguments to that program.
 */
import { EXIT_USAGE, usageExitCode } from "../runtime/command-line.ts";
import { ConfigError, EXIT_CONFIG } from "../runtime/config-file.ts";
import { RightsError } from "../runtime/rights.ts";

interface Program {
  readonly summary: string;
  readonly load: () => Promise<(argv: readonly string[]) => Promise<number>>;
}

const PROGRAMS: Readonly<Record<string, Program>> = {
  controller: {
    summary: "the trusted SIP proxy: opens sealed SDP, orders pinholes and recordings",
    load: async () => (await import("../controller/main.ts")).main,
  },
  users: {
    summary: "add, list and remove the users that the controller serves",
    load: async () => (await import("../controller/users-command.ts")).users,
  },
  agent: {
    summary: "opens and closes pinholes on the gateway, copies what they let through",
    load: async () => (await import("../agent/main.ts")).main,
  },
  recorder: {
    summary: "decrypts what was captured and stores it sealed",
    load: async () => (await import("../recorder/main.ts")).main,
  },
  recordings: {
    summary: "list, show, export and verify sealed recordings",
    load: async () => (await import("../recorder/recordings.ts")).recordings,
  },
  device: {
    summary: "a phone on the command line: registers, asks for certificates, seals its calls",
    load: async () => (await import("../device/main.ts")).main,
  },
  ca: {
    summary: "make a first installation's certificates and keys; list and revoke what was issued",
    load: async () => (await import("../ca/main.ts")).main,
  },
  demo: {
    summary: "place one sealed call through a network of namespaces and show what happens",
    load: async () => (await import("../lab/demo.ts")).main,
  },
};

// sysexits.h
const EXIT_SYSTEM = 71;
const EXIT_RIGHTS = 77;

async function main(argv: readonly string[]): Promise<number> {
  const [name = "--help", ...rest] = argv;
  const program = Object.hasOwn(PROGRAMS, name) ? PROGRAMS[name] : undefined;
  if (program !== undefined) return (await program.load())(rest);
  const help = name === "--help" || name === "-h" || name === "help";
  (help ? process.stdout : process.stderr).write(
    help ? usage() : `keyhole: no program '${name}'\n\n${usage()}`,
  );
  return help ? 0 : EXIT_USAGE;
}

function usage(): string {
  const rows = Object.entries(PROGRAMS).map(
    ([name, { summary }]) => `  ${name.padEnd(12)}${summary}\n`,
  );
  return `Usage: keyhole PROGRAM [options]\n\n${rows.join("")}\n'keyhole PROGRAM --help' tells more of each.\n`;
}

/** A fault of the machine or of its operator, in one line; our own faults keep their stack. */
function explain(error: unknown): { readonly text: string; readonly code: number } | undefined {
  if (error instanceof ConfigError) return { text: error.message, code: EXIT_CONFIG };
  if (error instanceof RightsError) return { text: error.message, code: EXIT_RIGHTS };
  if (!(error instanceof Error)) return undefined;
  const { cause } = error;
  if (isSystemError(error)) return { text: error.message, code: EXIT_SYSTEM };
  if (!isSystemError(cause)) return undefined;
  return { text: `${error.message}: ${cause.message}`, code: EXIT_SYSTEM };
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error && "errno" in error;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const explained = explain(error);
  if (explained !== undefined) process.stderr.write(`keyhole: ${explained.text}\n`);
  process.exitCode = explained?.code ?? usageExitCode(error);
}
