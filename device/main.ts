/**
 * `keyhole device`: a phone on the command line, one call a run. Touches stdin, stdout, stderr and
 * the signals that end it.
 */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import { encodeMuLaw } from "../protocol/audio/g711.ts";
import { decodeTelephoneWav } from "../protocol/audio/wav.ts";
import { usageExitCode } from "../runtime/command-line.ts";
import { ConfigError, type ConfigFault, readConfig } from "../runtime/config-file.ts";
import { type DeviceConfig, deviceSchema, isAddressOfRecord } from "./config.ts";
import type { CallOutcome } from "./core/call.ts";
import { isSameUser } from "./core/verified-fault.ts";
import { type Credentials, loadCredentials } from "./io/credentials.ts";
import { reasonOf } from "./io/fault-reason.ts";
import { Phone, type PhoneMode, type PhoneOptions } from "./io/phone.ts";
import { loadRegistrarSecrets } from "./io/registrar-secrets.ts";
import { watchStopSignals } from "./io/stop-signals.ts";
import { createReporter, eventForm, listenToUser, refuse } from "./io/terminal.ts";
import { addCertificateCommand, addRegisterCommand, registrarOf } from "./register-command.ts";

interface CommonOptions {
  readonly config: string;
  readonly play?: string;
  readonly heard?: string;
  readonly wire?: string;
  readonly body?: string;
  readonly plain?: true;
  readonly hangupAfterPlay?: true;
  readonly holdAfterPlay?: true;
  readonly json?: true;
}

interface AnswerOptions extends CommonOptions {
  readonly auto?: true;
  readonly answerDelay?: number;
  readonly once?: true;
  readonly register?: true;
}

/** How long a call may take to end in good order when the process is told to stop. */
const STOP_TIMEOUT_MS = 2_000;

/** Runs one phone; returns the exit code: 0 the call ended well, 1 it failed. */
export async function main(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const done = (code: number): void => {
    exitCode = code;
  };
  const program = new Command("keyhole device")
    .description(
      "a phone on the command line: registers, gets certificates, and seals the SDP of one call a run",
    )
    .exitOverride();
  withCommonOptions(program.command("call <target>"), "call the user with this address of record")
    .option("--hangup-after-play", "hang up when both sides have played (the default)")
    .option("--hold-after-play", "stay in the call until told to hang up")
    .action(async (target: string, options: CommonOptions) => done(await call(target, options)));
  withCommonOptions(program.command("answer"), "wait for one call")
    .option("--auto", "answer at once, untold")
    .option("--answer-delay <ms>", "answer untold after this time", parseDelay)
    .option("--hangup-after-play", "hang up when both sides have played")
    .addOption(new Option("--hold-after-play", "the default").hideHelp())
    .option("--once", "end also after a call that was refused")
    .option("--register", "be registered meanwhile, as [registration] says")
    .action(async (options: AnswerOptions) => done(await answer(options)));
  addRegisterCommand(program, done);
  addCertificateCommand(program, done);
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    return usageExitCode(error);
  }
}

function withCommonOptions(command: Command, description: string): Command {
  return command
    .description(description)
    .requiredOption("--config <file>", "device.toml")
    .option("--play <wav>", "what to say: mono, 8000 Hz, 16 bit")
    .option("--heard <wav>", "where to store what was heard")
    .option("--wire <file>", "where to store the G.711 octets that were sent")
    .option("--body <file>", "where to store the body of the INVITE")
    .option("--plain", "offer, or take, a session description in clear")
    .option("--json", "events as JSON also on a terminal");
}

async function call(target: string, options: CommonOptions): Promise<number> {
  const config = readConfig(options.config, deviceSchema);
  const { sealing, contact, outbound, registration, media } = config;
  if (!isAddressOfRecord(target)) return refuse(`${target} is not an address of record`);
  const sealed = sealing.enabled && options.plain === undefined;
  const faults: ConfigFault[] = [];
  if (outbound === undefined) faults.push(missing("outbound", "needed for calls"));
  if (media === undefined) faults.push(missing("media", "needed for calls"));
  const isKnown = contact.some(({ aor }) => isSameUser(aor, target));
  if (sealed && !isKnown && registration === undefined)
    faults.push(missing("contact", `no certificate for ${target}: nothing can be sealed for him`));
  if (faults.length > 0) throw new ConfigError(options.config, faults);
  const mode = { kind: "call", target, sealed } as const;
  return run(config, mode, options, options.holdAfterPlay === undefined);
}

async function answer(options: AnswerOptions): Promise<number> {
  const config = readConfig(options.config, deviceSchema);
  const faults = (["listen", "media"] as const)
    .filter((table) => config[table] === undefined)
    .map((table) => missing(table, "needed to be called"));
  if (faults.length > 0) throw new ConfigError(options.config, faults);
  const autoAnswerAfterMs = options.answerDelay ?? (options.auto ? 0 : undefined);
  const mode = {
    kind: "answer",
    sealedRequired: config.sealing.required && options.plain === undefined,
    once: options.once ?? false,
    ...(autoAnswerAfterMs !== undefined && { autoAnswerAfterMs }),
  } as const;
  return run(config, mode, options, options.hangupAfterPlay ?? false);
}

async function run(
  config: DeviceConfig,
  mode: PhoneMode,
  options: CommonOptions & Pick<AnswerOptions, "register">,
  hangUpAfterPlay: boolean,
): Promise<number> {
  const speech = readSpeech(options.play);
  if (typeof speech === "string") return refuse(speech);
  const credentials = loadCredentials(options.config, config, Date.now());
  const report = createReporter(eventForm(options));
  const { heard: heardFile, wire: wireFile, body: bodyFile } = options;
  const files = {
    ...(heardFile !== undefined && { heardFile }),
    ...(wireFile !== undefined && { wireFile }),
    ...(bodyFile !== undefined && { bodyFile }),
  };
  const { registration } = config;
  const secrets = registration && loadRegistrarSecrets(options.config, config, registration);
  const registrar = options.register && registrarOf(options.config, config);
  const currentCredentials = (): Credentials => reloaded(options.config, config, credentials);
  const setting = {
    ...{ config, credentials, currentCredentials, mode, speech, hangUpAfterPlay, report },
    ...{ rtpPort: config.media?.rtpPort ?? 0, ...files },
    ...(secrets && { secrets }),
    ...(registrar && { registration: registrar }),
  };
  // Heard from here on: whoever has seen us say that we listen may tell us to stop.
  const signals = watchStopSignals();
  try {
    const phone = await startPhone(setting);
    if (phone === undefined) return 1;
    const outcome = await outcomeOf(phone, report, signals.received);
    return outcome === "well" || outcome === "stopped" ? 0 : 1;
  } finally {
    signals.dispose();
  }
}

/** What the registration has brought meanwhile; what was there before, if it cannot be read. */
function reloaded(file: string, config: DeviceConfig, before: Credentials): Credentials {
  if (config.registration === undefined) return before;
  try {
    return loadCredentials(file, config, Date.now());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return before;
  }
}

/** Undefined, and reported, if its ports are taken or nobody can be reached. */
async function startPhone(options: PhoneOptions): Promise<Phone | undefined> {
  try {
    return await Phone.start(options);
  } catch (error) {
    options.report({ event: "failed", reason: reasonOf(error) });
    return undefined;
  }
}

/** Lets the call run its course, or ends it in good order once `stopped` resolves. */
async function outcomeOf(
  phone: Phone,
  report: ReturnType<typeof createReporter>,
  stopped: Promise<void>,
): Promise<CallOutcome | "stopped"> {
  const user = listenToUser((verb) => phone.tell(verb), report);
  const endInGoodOrder = async (): Promise<"stopped"> => {
    await stopped;
    phone.tell("hangup");
    if (!phone.isIdle)
      await Promise.race([phone.outcome, delay(STOP_TIMEOUT_MS, undefined, { ref: false })]);
    return "stopped";
  };
  try {
    return await Promise.race([endInGoodOrder(), phone.outcome]);
  } finally {
    user.stop();
    await phone.close();
  }
}

/** Mu-law octets, or what is wrong with the file. */
function readSpeech(file: string | undefined): Buffer | string {
  if (file === undefined) return Buffer.alloc(0);
  try {
    return encodeMuLaw(decodeTelephoneWav(readFileSync(file)));
  } catch (error) {
    return `${file}: ${reasonOf(error)}`;
  }
}

const missing = (path: string, message: string): ConfigFault => ({ path, message });

function parseDelay(text: string): number {
  const delayMs = Number(text);
  if (!/^\d{1,7}$/.test(text)) throw new InvalidArgumentError("milliseconds expected");
  return delayMs;
}
