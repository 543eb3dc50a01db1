#!/usr/bin/env node
/**
 * One command for every program: `keyhole NAME …` hands the rest of its arguments to that program.
 */
import { ConfigError, EXIT_CONFIG } from "../runtime/config-file.ts";

interface Program {
  readonly summary: string;
  readonly load: () => Promise<(argv: readonly string[]) => Promise<number>>;
}

const PROGRAMS: Readonly<Record<string, Program>> = {
  controller: {
    summary: "the trusted SIP proxy: opens sealed SDP, orders pinholes and recordings",
    load: async () => (await import("../controller/main.ts")).main,
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
    summary: "a phone on the command line that seals its SDP",
    load: async () => (await import("../device/main.ts")).main,
  },
  ca: {
    summary: "make the certificates and keys of a first installation",
    load: async () => (await import("../ca/main.ts")).main,
  },
  demo: {
    summary: "place one sealed call through a network of namespaces and show what happens",
    load: async () => (await import("../lab/demo.ts")).main,
  },
};

const EXIT_USAGE = 64; // EX_USAGE of sysexits.h

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

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = EXIT_CONFIG;
}
