/**
 * `keyhole recordings`: list, show, export and verify what a store holds, with the archive's
 * private key. Reads the store; writes only where `export` is told to.
 */

import { writeFile } from "node:fs/promises";
import { Command, CommanderError } from "commander";
import sodium from "libsodium-wrappers";
import { encodeWav } from "../protocol/audio/wav.ts";
import { isProtocolError } from "../protocol/errors.ts";
import type { LedgerHead } from "../protocol/ledger/ledger-entry.ts";
import { rawKeyPair, type X25519KeyPair } from "../protocol/sealing/sodium.ts";
import { exportPcapng } from "./core/export-pcapng.ts";
import { packetsInTime } from "./core/recording-contents.ts";
import { listText, showOpenText, showText } from "./core/recording-text.ts";
import { layTimeline } from "./core/timeline.ts";
import { Archive, ArchiveError } from "./io/archive.ts";
import { KeyFileError, readPrivateKey, readPublicKey } from "./io/key-files.ts";
import { listArchive } from "./io/list-archive.ts";
import { ledgerFinding, type RecordingCheck, verifyRecording } from "./io/verify-recording.ts";

/** Exit codes: 1 something is wrong with a recording; the others are those of sysexits.h. */
const EXIT = { fault: 1, usage: 64, noInput: 66, noPermission: 77 } as const;
const OUTPUT_MODE = 0o600;

interface Flags {
  readonly store: string;
  readonly key?: string;
  readonly ledgerKey?: string;
  readonly json?: boolean;
  readonly wav?: string;
  readonly pcapng?: string;
  readonly withRejected?: boolean;
  readonly head?: string;
}

interface Options extends Flags {
  readonly output: Output;
}

/** Where the text goes. */
export interface Output {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

const PROCESS_OUTPUT: Output = {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
};

/** Runs one subcommand and returns its exit code; faults go to stderr in one line. */
export async function recordings(
  argv: readonly string[],
  output: Output = PROCESS_OUTPUT,
): Promise<number> {
  await sodium.ready;
  let code = 0;
  const program = buildProgram(output, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(argv, { from: "user" });
    return code;
  } catch (error) {
    return report(error, output);
  }
}

function buildProgram(output: Output, onDone: (code: number) => void): Command {
  const program = new Command("keyhole recordings")
    .description("list, show, export and verify sealed recordings")
    .configureOutput({ writeOut: output.stdout, writeErr: output.stderr })
    .exitOverride();
  const add = (
    usage: string,
    description: string,
    run: (id: string, options: Options) => Promise<number>,
  ) =>
    program
      .command(usage)
      .description(description)
      .requiredOption("--store <dir>", "the recorder's store")
      .option("--key <file>", "X25519 private key of the archive (PEM)")
      .option("--json", "one JSON object instead of text")
      .exitOverride()
      .action(async (...given: unknown[]) => {
        const [id, options] = given.length === 2 ? [undefined, given[0]] : given;
        onDone(await run((id as string | undefined) ?? "", { ...(options as Flags), output }));
      });
  add("list", "all recordings; parties are shown with the key", (_, options) => list(options));
  add("show <id>", "one recording: its call and what became of every packet", show);
  add("export <id>", "write its sound or its packets to a file", exportRecording)
    .option("--wav <file>", "stereo, 16 bit, 8 kHz: caller left, callee right")
    .option("--pcapng <file>", "its authenticated packets, decrypted")
    .option("--with-rejected", "pcapng: those kept apart too, on an interface of their own");
  add("verify [id]", "check files, ledger and counts, of one recording or of all", verify)
    .option("--ledger-key <file>", "Ed25519 public key of the ledger (PEM)")
    .option("--head <sequence:sha256>", "a ledger head kept elsewhere: shows a cut end");
  return program;
}

async function list(options: Options): Promise<number> {
  const archive = await Archive.open(options.store, sodium);
  const key = options.key === undefined ? undefined : readArchiveKey(options);
  const rows = await listArchive(archive, key);
  print(options, rows, () => listText(rows));
  return 0;
}

async function show(prefix: string, options: Options): Promise<number> {
  const archive = await Archive.open(options.store, sodium);
  const key = readArchiveKey(options);
  const id = archive.find(prefix);
  if (await archive.isOpen(id)) {
    const metadata = await archive.readBeginning(id, key);
    print(options, { metadata }, () => showOpenText(metadata));
    return 0;
  }
  const { metadata, completeness, segments } = (await archive.read(id, key)).contents;
  const interruptions = segments.filter(({ isEnded }) => !isEnded).length;
  const begun = metadata?.recording.startedAt ?? completeness.startedAt;
  const durationMs = Date.parse(completeness.endedAt) - Date.parse(begun);
  print(options, { metadata, completeness, durationMs, interruptions }, () =>
    showText(metadata, completeness, durationMs),
  );
  return 0;
}

async function exportRecording(id: string, options: Options): Promise<number> {
  const { wav, pcapng } = options;
  if (wav === undefined && pcapng === undefined)
    throw new CommanderError(EXIT.usage, "export", "say --wav FILE or --pcapng FILE");
  const { contents } = await read(id, options);
  const packets = packetsInTime(contents);
  const written: Record<string, unknown> = { recording: contents.recording };
  if (wav !== undefined) {
    if (contents.metadata === undefined) throw new ArchiveError("the recording holds no call");
    const { sound, undecoded } = layTimeline(packets, contents.metadata);
    await writeOut(wav, encodeWav(sound));
    const durationMs = ((sound.channels[0]?.length ?? 0) * 1000) / sound.sampleRateHz;
    Object.assign(written, { wav, durationMs, undecoded });
    for (const [codec, count] of Object.entries(undecoded))
      options.output.stderr(`${count} packets of ${codec} are silent: it is not decoded\n`);
  }
  if (pcapng !== undefined) {
    await writeOut(pcapng, exportPcapng(packets, options.withRejected === true));
    Object.assign(written, { pcapng });
  }
  print(options, written, () =>
    [wav, pcapng].flatMap((file) => (file === undefined ? [] : [`${file}\n`])).join(""),
  );
  return 0;
}

async function writeOut(path: string, octets: Uint8Array): Promise<void> {
  try {
    await writeFile(path, octets, { mode: OUTPUT_MODE });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ArchiveError(`${path} cannot be written (${code})`, { cause });
  }
}

async function verify(id: string, options: Options): Promise<number> {
  const archive = await Archive.open(options.store, sodium);
  const key = readArchiveKey(options);
  const ledgerKeys =
    options.ledgerKey === undefined ? undefined : [readPublicKey(options.ledgerKey, "ed25519")];
  const ledger = await archive.checkLedger(ledgerKeys, parseHead(options.head));
  const known = archive.knownWith(ledger);
  const chosen = id === "" ? known : [archive.find(id, known)];
  const checks: RecordingCheck[] = [];
  for (const recording of chosen)
    checks.push(await verifyRecording(archive, recording, key, ledger));
  const finding = ledgerFinding(ledger, ledgerKeys !== undefined);
  const isGood = finding.isGood && checks.every((check) => check.isGood);
  print(options, { ok: isGood, ledger: finding, recordings: checks }, () => {
    const line = (each: { isGood: boolean; what: string; detail: string }) =>
      `${each.isGood ? "good" : "BAD "}  ${each.what.padEnd(15)} ${each.detail}\n`;
    const texts = checks.map((check) => {
      const verdict = check.verdict === undefined ? "" : `: ${check.verdict}`;
      return `${check.recording}${verdict}\n${check.findings.map(line).join("")}`;
    });
    return `${texts.join("")}${line(finding)}`;
  });
  return isGood ? 0 : EXIT.fault;
}

async function read(id: string, options: Options) {
  const archive = await Archive.open(options.store, sodium);
  const key = readArchiveKey(options);
  return archive.read(archive.find(id), key);
}

function readArchiveKey({ key }: Options): X25519KeyPair {
  if (key === undefined)
    throw new CommanderError(EXIT.usage, "key", "this needs --key, the archive's private key");
  return rawKeyPair(readPrivateKey(key, "x25519"));
}

function parseHead(text: string | undefined): LedgerHead | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,15}):([\da-f]{64})$/.exec(text);
  if (match === null)
    throw new CommanderError(EXIT.usage, "head", "--head is sequence:sha256, as verify prints it");
  return { sequence: Number(match[1]), sha256: match[2] ?? "" };
}

function print(options: Options, value: unknown, text: () => string): void {
  options.output.stdout(
    options.json === true ? `${JSON.stringify(value, undefined, 2)}\n` : text(),
  );
}

/** One line a fault, and the exit code that goes with it. */
function report(error: unknown, { stderr }: Output): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (!error.code.startsWith("commander.")) stderr(`${error.message}\n`);
    return EXIT.usage;
  }
  if (!(error instanceof Error)) throw error;
  const isKnown =
    isProtocolError(error) || error instanceof ArchiveError || error instanceof KeyFileError;
  if (!isKnown) throw error;
  stderr(`${error.message}\n`);
  if (isProtocolError(error, "ERR_RECORDING_KEY")) return EXIT.noPermission;
  return isProtocolError(error) ? EXIT.fault : EXIT.noInput;
}
