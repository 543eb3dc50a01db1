/**
 * What a registration is authenticated and sealed with: password, and the key of the controller or
 * one shared with it. Touches the files that the configuration names, once, at start.
 */
import { randomBytes } from "node:crypto";
import type { RegistrationRecipient } from "../../protocol/body/registration-body.ts";
import { decodeCertificate } from "../../protocol/pki/certificate.ts";
import { Secret } from "../../protocol/secret.ts";
import { digestHa1 } from "../../protocol/sip/digest.ts";
import { DigestClient } from "../../protocol/sip/digest-client.ts";
import { octetText } from "../../protocol/sip/message.ts";
import { addressOfRecord, parseSipUri, unescapeUri } from "../../protocol/sip/uri.ts";
import { CredentialFiles, parsePemCertificates } from "../../runtime/credential-files.ts";
import type { DeviceConfig, RegistrationConfig } from "../config.ts";

export interface RegistrarSecrets {
  /** As header text. */
  readonly username: string;
  readonly password?: Secret;
  readonly recipient: RegistrationRecipient;
  /** The DNS name of the controller that is to open the body. */
  readonly controllerHost: string;
}

/**
 * Answers who asks for the password, if there is one.
 * @param integrityRealm answered by `auth-int` alone
 */
export const digestOf = (
  secrets: RegistrarSecrets | undefined,
  integrityRealm?: string,
): DigestClient | undefined =>
  secrets?.password &&
  new DigestClient({
    username: secrets.username,
    password: secrets.password,
    random: randomBytes,
    ...(integrityRealm !== undefined && { integrityRealm }),
  });

const SHARED_KEY = /^(?:[\da-f]{32}|[\da-f]{64})$/i;

/** @throws ConfigError with every file that is missing or does not fit its place. */
export function loadRegistrarSecrets(
  file: string,
  config: DeviceConfig,
  registration: RegistrationConfig,
): RegistrarSecrets {
  const files = new CredentialFiles(file);
  const { aor } = config;
  const username = octetText(registration.username ?? unescapeUri(parseSipUri(aor).user ?? ""));
  const password = readPassword(files, registration);
  const certificate = readController(files, registration);
  const sharedKey = readSharedKey(files, registration);
  const controllerHost = registration.controllerName ?? hostOf(files, certificate);
  files.throwFaults();
  const recipient = recipientOf(registration, { aor, username, password, certificate, sharedKey });
  return { username, recipient, controllerHost, ...(password && { password }) };
}

function readPassword(
  files: CredentialFiles,
  { password }: RegistrationConfig,
): Secret | undefined {
  if (password === undefined) return undefined;
  return files.read(password, "registration.password", (text) => {
    const [line = ""] = text.split(/\r?\n/, 1);
    if (line === "") throw new TypeError("empty");
    return new Secret(Buffer.from(line, "utf8"));
  });
}

function readController(
  files: CredentialFiles,
  { controller }: RegistrationConfig,
): Buffer | undefined {
  if (controller === undefined) return undefined;
  return files.read(controller, "registration.controller", (pem) => {
    const [certificate] = parsePemCertificates(pem);
    if (certificate === undefined) throw new TypeError("no certificate");
    return decodeCertificate(certificate.raw).encoded;
  });
}

function readSharedKey(
  files: CredentialFiles,
  { sharedKey }: RegistrationConfig,
): Secret | undefined {
  if (sharedKey === undefined) return undefined;
  return files.read(sharedKey, "registration.sharedKey", (text) => {
    const digits = text.trim();
    if (!SHARED_KEY.test(digits)) throw new TypeError("hexadecimal digits");
    return new Secret(Buffer.from(digits, "hex"));
  });
}

function hostOf(files: CredentialFiles, certificate: Buffer | undefined): string {
  if (certificate === undefined) return "-"; // reported already
  const [host] = decodeCertificate(certificate).dnsNames;
  if (host === undefined)
    files.fault("registration.controller", "the certificate holds no DNS name");
  return host ?? "-";
}

interface Material {
  readonly aor: string;
  readonly username: string;
  readonly password: Secret | undefined;
  readonly certificate: Buffer | undefined;
  readonly sharedKey: Secret | undefined;
}

/** The shared key is named by the address of record; the password is H(user:realm:password). */
function recipientOf(
  { protection }: RegistrationConfig,
  { aor, username, password, certificate, sharedKey }: Material,
): RegistrationRecipient {
  const needed = <T>(value: T | undefined): T => {
    if (value === undefined) throw new TypeError(`nothing to seal with by ${protection}`);
    return value;
  };
  switch (protection) {
    case "certificate":
      return { kind: "certificate", certificate: needed(certificate) };
    case "shared-key": {
      const keyIdentifier = Buffer.from(addressOfRecord(aor), "utf8");
      return { kind: "kek", keyIdentifier, kek: needed(sharedKey) };
    }
    case "password": {
      const realm = parseSipUri(aor).host.toLowerCase();
      return { kind: "password", password: digestHa1(username, realm, needed(password)) };
    }
  }
}
