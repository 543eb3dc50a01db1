/**
 * `keyhole ca`: makes the certificates and keys that a first installation needs. Touches the
 * directory named on its command line, stdout and stderr.
 */
import { Command, InvalidArgumentError } from "commander";
import { EXIT_USAGE, usageExitCode } from "../runtime/command-line.ts";
import { planAuthority } from "./core/authority-plan.ts";
import { formatPlanTable } from "./core/plan-table.ts";
import { CannotWriteError, makeAuthority } from "./io/make-authority.ts";

interface InitOptions {
  readonly out: string;
  readonly domain: string;
  readonly controller: string;
  readonly user: readonly string[];
  readonly address: readonly string[];
  readonly days: number;
}

// Exit codes of sysexits.h.
const EXIT_CANNOT_CREATE = 73;

const AUTHORITY_DAYS = 3650;
const DEFAULT_DAYS = 365;
const MAX_DAYS = 3650;

/** Runs one command of `keyhole ca`; returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command("keyhole ca")
    .description("make the certificates and keys that a first installation needs")
    .exitOverride();
  program
    .command("init")
    .description("make an authority, its controller and users, and the programs' keys")
    .requiredOption("--out <directory>", "where the files go; made if it is not there")
    .requiredOption("--domain <name>", "SIP domain of the authority")
    .requiredOption("--controller <host>", "DNS name of the controller's host")
    .requiredOption("--user <aor...>", "address of record, such as sip:alice@example.com")
    .option("--address <ip...>", "IP address of the controller's host", [])
    .option(
      "--days <number>",
      "how long controller and users are certified",
      parseDays,
      DEFAULT_DAYS,
    )
    .action(async (options: InitOptions) => {
      exitCode = await init(options);
    });
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    return usageExitCode(error);
  }
}

async function init(options: InitOptions): Promise<number> {
  const plan = planAuthority({
    domain: options.domain,
    controller: options.controller,
    users: options.user,
    addresses: options.address,
  });
  if (plan.kind === "refused") {
    for (const fault of plan.faults) process.stderr.write(`keyhole ca: ${fault}\n`);
    return EXIT_USAGE;
  }
  const validity = { authorityDays: AUTHORITY_DAYS, certificateDays: options.days };
  try {
    await makeAuthority(options.out, plan.items, validity);
  } catch (error) {
    if (!(error instanceof CannotWriteError)) throw error;
    process.stderr.write(`keyhole ca: ${error.message.trimEnd()}\n`);
    return EXIT_CANNOT_CREATE;
  }
  process.stdout.write(`Written to ${options.out}\n\n${formatPlanTable(plan.items)}`);
  return 0;
}

function parseDays(text: string): number {
  const days = Number(text);
  if (!Number.isInteger(days) || days < 1 || days > MAX_DAYS)
    throw new InvalidArgumentError(`a whole number from 1 to ${MAX_DAYS} expected`);
  return days;
}
