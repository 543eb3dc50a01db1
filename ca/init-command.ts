/**
 * `keyhole ca init`. Touches the directory named on its command line.
 */
import { type Command, Option } from "commander";
import { EXIT_USAGE } from "../runtime/command-line.ts";
import { daysUpTo, EXIT_CANNOT_CREATE, type Terminal } from "./command.ts";
import { type AuthorityRequest, planAuthority } from "./core/authority-plan.ts";
import { formatPlanTable } from "./core/plan-table.ts";
import { CannotWriteError, makeAuthority } from "./io/make-authority.ts";

interface InitOptions {
  readonly out: string;
  readonly domain: string;
  readonly controller: string;
  readonly user: readonly string[];
  readonly address: readonly string[];
  readonly keyType: AuthorityRequest["keyType"];
  readonly days: number;
}

const AUTHORITY_DAYS = 3650;
const DEFAULT_DAYS = 365;
const MAX_DAYS = 3650;
const KEY_TYPES: readonly AuthorityRequest["keyType"][] = ["p256", "rsa2048", "rsa3072"];

/** Adds the command to `keyhole ca`; `done` hears the exit code. */
export function addInitCommand(
  program: Command,
  terminal: Terminal,
  done: (code: number) => void,
): void {
  program
    .command("init")
    .description("make an authority, its issuer, its controller and users, and the programs' keys")
    .requiredOption("--out <directory>", "where the files go; made if it is not there")
    .requiredOption("--domain <name>", "SIP domain of the authority")
    .requiredOption("--controller <host>", "DNS name of the controller's host")
    .option("--user <aor...>", "address of record, such as sip:alice@example.com", [])
    .option("--address <ip...>", "IP address of the controller's host", [])
    .addOption(
      new Option("--key-type <type>", "keys of the certificates")
        .choices(KEY_TYPES)
        .default("p256" satisfies AuthorityRequest["keyType"]),
    )
    .option(
      "--days <number>",
      "how long controller and users are certified",
      daysUpTo(MAX_DAYS),
      DEFAULT_DAYS,
    )
    .action(async (options: InitOptions) => done(await init(options, terminal)));
}

async function init(options: InitOptions, terminal: Terminal): Promise<number> {
  const plan = planAuthority({
    domain: options.domain,
    controller: options.controller,
    users: options.user,
    addresses: options.address,
    keyType: options.keyType,
  });
  if (plan.kind === "refused") {
    for (const fault of plan.faults) terminal.stderr.write(`keyhole ca: ${fault}\n`);
    return EXIT_USAGE;
  }
  const validity = { authorityDays: AUTHORITY_DAYS, certificateDays: options.days };
  try {
    await makeAuthority(options.out, plan.items, validity);
  } catch (error) {
    if (!(error instanceof CannotWriteError)) throw error;
    terminal.stderr.write(`keyhole ca: ${error.message.trimEnd()}\n`);
    return EXIT_CANNOT_CREATE;
  }
  terminal.stdout.write(`Written to ${options.out}\n\n${formatPlanTable(plan.items)}`);
  return 0;
}
