/**
 * `keyhole ca list`, `revoke` and `crl`: what controllers issued, as their database says. Touches
 * the database and the list's file named on its command line.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { REVOCATION_REASONS, type RevocationReason } from "../protocol/pki/revocation-reason.ts";
import { AuthorityDatabase, type RevocationTarget } from "../runtime/authority-database.ts";
import type { ListedCertificate } from "../runtime/authority-tables.ts";
import { daysUpTo, EXIT_DATA, EXIT_NOT_FOUND, type Terminal } from "./command.ts";
import { formatIssuedLines, formatIssuedTable } from "./core/issued-table.ts";
import { CrlError, type CrlFiles, makeCrl } from "./io/make-crl.ts";

interface DatabaseOption {
  readonly database: string;
}

interface ListOptions extends DatabaseOption {
  readonly user?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

interface RevokeOptions extends DatabaseOption {
  readonly reason: RevocationReason;
}

interface CrlOptions extends DatabaseOption, CrlFiles {
  readonly days: number;
}

const DEFAULT_CRL_DAYS = 7;
const MAX_CRL_DAYS = 365;
const SERIAL = /^(?:[\da-f]{2}){1,20}$/;
const ADDRESS_OF_RECORD = /^sips?:[^@\s]+@[^@\s]+$/;

/** Adds the commands to `keyhole ca`; `done` hears the exit code. */
export function addIssuedCommands(
  program: Command,
  terminal: Terminal,
  done: (code: number) => void,
): void {
  addCommand(program, "list", "show the certificates that were issued to phones")
    .option("--user <aor>", "of this user only")
    .option("--all", "those that expired in the last day too")
    .option("--json", "one JSON object a line")
    .action(async (options: ListOptions) =>
      done(await withDatabase(options, (book) => list(book, options, terminal))),
    );
  addCommand(
    program,
    "revoke",
    "revoke a certificate by serial number, or all of a user, with their keys; controllers heed it at once",
  )
    .argument("<serial or aor>", "such as 5f0a... or sip:alice@example.com", parseTarget)
    .addOption(
      new Option("--reason <reason>", "why")
        .choices(Object.keys(REVOCATION_REASONS))
        .default("unspecified" satisfies RevocationReason),
    )
    .action(async (target: RevocationTarget, options: RevokeOptions) =>
      done(await withDatabase(options, (book) => revoke(book, target, options, terminal))),
    );
  addCommand(program, "crl", "write a list of what is revoked, for others")
    .requiredOption("--certificate <file>", "the issuer's certificate, PEM")
    .requiredOption("--key <file>", "the issuer's private key, PEM")
    .requiredOption("--out <file>", "where the list goes, in place of the last one")
    .option(
      "--days <number>",
      "until when the next list comes",
      daysUpTo(MAX_CRL_DAYS),
      DEFAULT_CRL_DAYS,
    )
    .option("--der", "write DER instead of PEM")
    .action(async (options: CrlOptions) =>
      done(await withDatabase(options, (book) => crl(book, options, terminal))),
    );
}

const addCommand = (program: Command, name: string, description: string): Command =>
  program
    .command(name)
    .description(description)
    .requiredOption("--database <file>", "the controller's [authority] database");

async function withDatabase(
  { database }: DatabaseOption,
  run: (book: AuthorityDatabase) => number | Promise<number>,
): Promise<number> {
  const book = AuthorityDatabase.open(database, { mustExist: true });
  try {
    return await run(book);
  } finally {
    book.close();
  }
}

function list(
  book: AuthorityDatabase,
  { user, all, json }: ListOptions,
  { stdout }: Terminal,
): number {
  const now = Date.now();
  const found = book.list(user === undefined ? {} : { aor: user });
  const isShown = (certificate: ListedCertificate): boolean =>
    all === true || now <= certificate.notAfter;
  const shown = found.filter(isShown);
  const format = json === true ? formatIssuedLines : formatIssuedTable;
  stdout.write(format(shown, now, toDate));
  return 0;
}

function revoke(
  book: AuthorityDatabase,
  target: RevocationTarget,
  { reason }: RevokeOptions,
  { stdout, stderr }: Terminal,
): number {
  const now = Date.now();
  const outcome = book.revoke(target, { at: now, reason });
  if (outcome.kind === "unknown") {
    stderr.write(
      target.kind === "aor"
        ? "keyhole ca: no certificate was issued to this user\n"
        : "keyhole ca: no certificate with this serial number was issued\n",
    );
    return EXIT_NOT_FOUND;
  }
  if (outcome.kind === "already-revoked") {
    stdout.write("Revoked before.\n");
    return 0;
  }
  const current = outcome.certificates.filter(({ notAfter }) => now <= notAfter);
  stdout.write(`Revoked.\n\n${formatIssuedTable(current, now, toDate)}`);
  return 0;
}

async function crl(
  book: AuthorityDatabase,
  options: CrlOptions,
  { stdout, stderr }: Terminal,
): Promise<number> {
  try {
    const { number, entries } = await makeCrl(options, book, options.days, Date.now());
    stdout.write(`List ${number} written to ${options.out}; revoked: ${entries}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof CrlError)) throw error;
    stderr.write(`keyhole ca: ${error.message}\n`);
    return EXIT_DATA;
  }
}

/** Serial numbers as OpenSSL and others print them: in either case, with colons or without. */
function parseTarget(text: string): RevocationTarget {
  if (ADDRESS_OF_RECORD.test(text)) return { kind: "aor", aor: text };
  const serial = text.replaceAll(":", "").toLowerCase();
  if (SERIAL.test(serial)) return { kind: "serial", serial };
  throw new InvalidArgumentError(
    "a serial number in hexadecimal or an address such as sip:alice@example.com expected",
  );
}

const toDate = (at: number): Date => new Date(at);
