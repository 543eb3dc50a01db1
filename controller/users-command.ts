/**
 * `keyhole users`: adds, lists and removes the users of a file or database. Of a password it keeps
 * H(user:realm:password) only, the realm being the user's domain.
 */
import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Secret } from "../protocol/secret.ts";
import { digestHa1 } from "../protocol/sip/digest.ts";
import { parseSipUri, unescapeUri } from "../protocol/sip/uri.ts";
import { EXIT_USAGE, usageExitCode } from "../runtime/command-line.ts";
import { readPassword } from "./io/read-password.ts";
import { type BookPlace, openUserBook } from "./io/user-book.ts";
import { type UserBook, type UserEntry, userEntrySchema } from "./io/user-entry.ts";

interface AddOptions extends BookPlace {
  readonly replace?: boolean;
  readonly password: boolean;
  readonly md5?: boolean;
  readonly sharedKey?: string;
  readonly requireSealed?: boolean;
  readonly record?: boolean;
  readonly mayCall?: readonly string[];
  readonly maxCalls?: number;
  readonly address?: readonly string[];
}

export interface Terminal {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** There is no such user, or there is one already. */
const EXIT_FAULT = 1;

/** Runs one command of `keyhole users`; resolves with the exit code. @throws ConfigError */
export async function users(
  argv: readonly string[],
  terminal: Terminal = process,
): Promise<number> {
  let code = 0;
  const done = (result: number): void => {
    code = result;
  };
  const program = new Command("keyhole users")
    .description(
      "add, list and remove the users of a file or database; SIGHUP makes a running controller read it again",
    )
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
    })
    .exitOverride();
  addCommand(
    program,
    "add <aor>",
    "add a user such as sip:alice@example.com; asks for the password, or reads a line of stdin",
  )
    .option("--replace", "give a user who is there already a new password and these rules")
    .option("--no-password", "known by certificate only")
    .option("--md5", "let him also answer with MD5, where the controller still offers it")
    .option(
      "--shared-key <file>",
      "a key of 16 or 32 octets in hex: his registrations may be sealed under it",
    )
    .option("--require-sealed", "refuse his calls with plain SDP")
    .option("--record", "his calls are recorded or do not take place")
    .option("--no-record", "his calls need not be recorded")
    .option(
      "--may-call <pattern...>",
      "addresses of record that he may call; * stands for anything",
    )
    .option("--max-calls <number>", "calls at one time", parseCount)
    .option("--address <ip...>", "where his media may come from beside where he signals from")
    .action(async (aor: string, options: AddOptions) => done(await add(aor, options, terminal)));
  addCommand(
    program,
    "list",
    "show the users and their rules, never what serves as password",
  ).action((options: BookPlace) => done(withBook(options, false, (book) => list(book, terminal))));
  addCommand(program, "remove <aor>", "remove a user").action((aor: string, options: BookPlace) =>
    done(withBook(options, false, (book) => remove(book, aor, terminal))),
  );
  try {
    await program.parseAsync(argv, { from: "user" });
    return code;
  } catch (error) {
    return usageExitCode(error);
  }
}

const addCommand = (program: Command, usage: string, description: string): Command =>
  program
    .command(usage)
    .description(description)
    .addOption(new Option("--users, --file <file>", "TOML file of [[user]]").conflicts("database"))
    .addOption(new Option("--database <file>", "SQLite database with a table of users"));

function parseCount(text: string): number {
  const count = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (count < 1) throw new InvalidArgumentError("Not a number from 1 on.");
  return count;
}

function withBook(place: BookPlace, create: boolean, run: (book: UserBook) => number): number {
  const book = openUserBook(place, { create });
  if (book === undefined) throw new InvalidArgumentError("Name --users or --database.");
  try {
    return run(book);
  } finally {
    book.close();
  }
}

async function add(aor: string, options: AddOptions, terminal: Terminal): Promise<number> {
  const wanted = wantedEntry(aor, options);
  const say = (text: string): void => void terminal.stderr.write(`keyhole users: ${text}\n`);
  if (typeof wanted === "string") {
    say(wanted);
    return EXIT_USAGE;
  }
  const known = withBook(options, true, (book) =>
    Number(book.list().some((each) => each.aor === aor)),
  );
  if (known === 1 && options.replace !== true) {
    say(`${aor} is there already; --replace gives him a new password and rules`);
    return EXIT_FAULT;
  }
  try {
    const ha1 = options.password ? digestsOf(aor, await askPassword(terminal), options) : undefined;
    return withBook(options, true, (book) => {
      book.put({ ...wanted, ...(ha1 === undefined ? {} : { ha1 }) });
      return 0;
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    say(error.message);
    return EXIT_FAULT;
  }
}

const askPassword = ({ stdin, stderr }: Terminal): Promise<Secret> =>
  readPassword({ input: stdin, prompt: stderr });

/** The entry without its digests, or what is wrong with it. */
function wantedEntry(aor: string, options: AddOptions): UserEntry | string {
  const { requireSealed, record, mayCall, maxCalls, address, sharedKey } = options;
  const digits = sharedKey === undefined ? undefined : readSharedKey(sharedKey);
  if (digits === "") return `${sharedKey} cannot be read`;
  const result = userEntrySchema.safeParse({
    aor,
    ...(digits === undefined ? {} : { sharedKey: digits }),
    ...(requireSealed === undefined ? {} : { requireSealed }),
    ...(record === undefined ? {} : { record }),
    ...(mayCall === undefined ? {} : { mayCall }),
    ...(maxCalls === undefined ? {} : { maxCalls }),
    ...(address === undefined ? {} : { addresses: address }),
  });
  if (result.success) return result.data;
  return result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
}

/** The digits in the file; empty if it cannot be read. */
function readSharedKey(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}

function digestsOf(
  aor: string,
  password: Secret,
  { md5 }: AddOptions,
): NonNullable<UserEntry["ha1"]> {
  const { user = "", host } = parseSipUri(aor);
  const name = unescapeUri(user);
  const sha256 = digestHa1(name, host, password);
  const digests = {
    sha256: sha256.expose().toString("latin1"),
    ...(md5 === true ? { md5: md5Of(name, host, password) } : {}),
  };
  sha256.wipe();
  password.wipe();
  return digests;
}

function md5Of(name: string, realm: string, password: Secret): string {
  const ha1 = digestHa1(name, realm, password, "MD5");
  const digits = ha1.expose().toString("latin1");
  ha1.wipe();
  return digits;
}

function list(book: UserBook, { stdout }: Terminal): number {
  for (const entry of book.list()) stdout.write(`${entry.aor}  ${rulesOf(entry).join(", ")}\n`);
  return 0;
}

function rulesOf({ ha1, sharedKey, record, mayCall, ...entry }: UserEntry): readonly string[] {
  const proofs = Object.keys(ha1 ?? {}).map((name) => (name === "md5" ? "MD5" : "SHA-256"));
  return [
    proofs.length === 0 ? "certificate only" : `digest ${proofs.join(" and ")}`,
    ...(sharedKey === undefined ? [] : ["shared key"]),
    ...(entry.requireSealed ? ["sealed calls only"] : []),
    ...(record === undefined ? [] : [record ? "recorded" : "need not be recorded"]),
    ...(mayCall === undefined ? [] : [`may call ${mayCall.join(" ") || "nobody"}`]),
    `${entry.maxCalls} calls at a time`,
    ...(entry.addresses.length === 0 ? [] : [`media also from ${entry.addresses.join(" ")}`]),
  ];
}

function remove(book: UserBook, aor: string, { stderr }: Terminal): number {
  if (book.remove(aor)) return 0;
  stderr.write(`keyhole users: there is no ${aor}\n`);
  return EXIT_FAULT;
}
