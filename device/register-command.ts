/**
 * `keyhole device register` and `keyhole device certificate`. Touches stdout and the signals that
 * end a registration.
 */
import type { Command } from "commander";
import { Option } from "commander";
import type { Target } from "../protocol/sip/flow.ts";
import {
  ConfigError,
  type ConfigFault,
  readConfig,
  resolveConfigPath,
} from "../runtime/config-file.ts";
import {
  type DeviceConfig,
  deviceSchema,
  isAddressOfRecord,
  type RegistrationConfig,
} from "./config.ts";
import type { RegistrationRecord } from "./core/registration-record.ts";
import { runCertificateQuestion } from "./io/certificate-run.ts";
import { loadCredentials, type OwnIdentity, readRecord } from "./io/credentials.ts";
import { isOfType } from "./io/own-keys.ts";
import { contactOf } from "./io/own-location.ts";
import { loadRegistrarSecrets } from "./io/registrar-secrets.ts";
import type { ClaimPlan } from "./io/registration-desk.ts";
import { runRegistration } from "./io/registration-run.ts";
import { watchStopSignals } from "./io/stop-signals.ts";
import { createReporter, eventForm, refuse } from "./io/terminal.ts";

interface RegisterOptions {
  readonly config: string;
  readonly certificate?: boolean;
  readonly key?: RegistrationConfig["keyType"];
  readonly newKey?: true;
  readonly once?: true;
  readonly remove?: true;
  readonly json?: true;
}

interface CertificateOptions {
  readonly config: string;
  readonly json?: true;
}

/** Adds the command; `done` is told the exit code. */
export function addRegisterCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command("register")
    .description(
      "register this phone and its certificate, keep both up, and take them away at the end",
    )
    .requiredOption("--config <file>", "device.toml")
    .option("--certificate", "register the certificate of [identity] instead of asking for one")
    .option("--no-certificate", "register the location alone")
    .addOption(
      new Option("--key <type>", "of a key that is made").choices(["p256", "rsa2048", "rsa3072"]),
    )
    .option("--new-key", "make a new key even if one is kept")
    .option("--once", "end when it is registered, and leave it so")
    .addOption(new Option("--remove", "take away what is registered, and end").conflicts("once"))
    .option("--json", "events as JSON also on a terminal")
    .action(async (options: RegisterOptions) => done(await register(options)));
}

/** Adds the command; `done` is told the exit code. */
export function addCertificateCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command("certificate <target>")
    .description("ask for the certificates of the user with this address of record, and show them")
    .requiredOption("--config <file>", "device.toml")
    .option("--json", "events as JSON also on a terminal")
    .action(async (target: string, options: CertificateOptions) =>
      done(await certificate(target, options)),
    );
}

async function register(options: RegisterOptions): Promise<number> {
  const config = readConfig(options.config, deviceSchema);
  const registrar = registrarOf(options.config, config, options);
  const credentials = loadCredentials(options.config, config, Date.now());
  const report = createReporter(eventForm(options));
  const location = options.remove && registrar.record?.location;
  if (options.remove && location === undefined) {
    report({ event: "unregistered", aor: config.aor });
    return 0;
  }
  const signals = watchStopSignals();
  try {
    const outcome = await runRegistration({
      ...{ ...registrar, config, credentials, report },
      once: options.once ?? false,
      ...(location && { remove: contactOf(location.contact, location.isFlow) }),
      stopped: signals.received,
    });
    return outcome === "well" ? 0 : 1;
  } finally {
    signals.dispose();
  }
}

/**
 * What a registration needs beside the phone's own credentials.
 * @throws ConfigError with what is missing, or does not fit its place.
 */
export function registrarOf(
  file: string,
  config: DeviceConfig,
  options: Pick<RegisterOptions, "certificate" | "key" | "newKey"> = {},
) {
  const { registration, nextHop } = requireRegistrar(file, config);
  const keyType = options.key ?? registration.keyType;
  const record = readRecord(file, config);
  const { configured } = loadCredentials(file, config, Date.now());
  if (options.certificate && configured === undefined)
    throw missing(file, "identity", "needed with --certificate");
  return {
    ...{ nextHop, record, registration: { ...registration, keyType } },
    secrets: loadRegistrarSecrets(file, config, registration),
    store: resolveConfigPath(file, registration.store),
    plan: planOf(options, keyType, record, configured),
  };
}

async function certificate(target: string, options: CertificateOptions): Promise<number> {
  if (!isAddressOfRecord(target)) return refuse(`${target} is not an address of record`);
  const config = readConfig(options.config, deviceSchema);
  const { registration } = config;
  const nextHop = requireOutbound(options.config, config);
  const secrets = registration && loadRegistrarSecrets(options.config, config, registration);
  const credentials = loadCredentials(options.config, config, Date.now());
  const report = createReporter(eventForm(options));
  const question = { config, target, nextHop, credentials, secrets, report };
  return (await runCertificateQuestion(question)) ? 0 : 1;
}

function planOf(
  { certificate, newKey }: Pick<RegisterOptions, "certificate" | "newKey">,
  keyType: RegistrationConfig["keyType"],
  record: RegistrationRecord | undefined,
  configured: OwnIdentity | undefined,
): ClaimPlan {
  if (certificate === false) return { kind: "none" };
  if (certificate === true && configured !== undefined)
    return { kind: "certificate", own: configured };
  const kept = newKey ? undefined : record?.privateKey;
  return kept !== undefined && isOfType(kept, keyType)
    ? { kind: "request", kept }
    : { kind: "request" };
}

/** @throws ConfigError */
function requireRegistrar(
  file: string,
  config: DeviceConfig,
): { readonly registration: RegistrationConfig; readonly nextHop: Target } {
  const nextHop = requireOutbound(file, config);
  if (config.registration === undefined) throw missing(file, "registration", "needed to register");
  return { registration: config.registration, nextHop };
}

function requireOutbound(file: string, { outbound }: DeviceConfig): Target {
  if (outbound === undefined) throw missing(file, "outbound", "needed to reach the controller");
  const { serverName, ...hop } = outbound;
  return { ...hop, ...(serverName !== undefined && { serverName }) };
}

function missing(file: string, path: string, message: string): ConfigError {
  const fault: ConfigFault = { path, message };
  return new ConfigError(file, [fault]);
}
