/**
 * Who the phone is, whom it trusts and for whom it seals: the files that its configuration names,
 * and what its registration has brought. Touches those files only.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { isProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";
import {
  type Certificate,
  decodeCertificate,
  encodeCertificatePem,
} from "../../protocol/pki/certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import { resolveConfigPath } from "../../runtime/config-file.ts";
import { CredentialFiles, parsePemCertificates } from "../../runtime/credential-files.ts";
import type { SipTlsSetting } from "../../runtime/sip-transport-tls.ts";
import type { DeviceConfig } from "../config.ts";
import { formerCertificates, type RegistrationRecord } from "../core/registration-record.ts";
import { isSameUser } from "../core/verified-fault.ts";
import { readRegistration } from "./registration-store.ts";
import { Trust } from "./trust.ts";

export interface Credentials {
  /** Of the registration while that lasts, else of the configuration; absent before the first. */
  readonly own?: OwnIdentity;
  /** What was ours before it was renewed, and is valid still: to open by, not to sign by. */
  readonly former?: readonly Identity[];
  /** Of the configuration, whatever is registered. */
  readonly configured?: OwnIdentity;
  readonly trust: Trust;
  readonly controllers: readonly ControllerCertificate[];
  /** DER certificates by address of record, one for each phone of the user. */
  readonly contacts: ReadonlyMap<string, readonly Buffer[]>;
  readonly tls: SipTlsSetting;
}

export interface OwnIdentity {
  readonly identity: Identity;
  /** DER: authorities between our certificate and an anchor. */
  readonly chain: readonly Buffer[];
}

export interface ControllerCertificate {
  /** The DNS name that labels name it by. */
  readonly host: string;
  /** DER. */
  readonly certificate: Buffer;
}

/**
 * Reads all that is named at `now`; what the registration has brought comes second to what the
 * configuration says, but for our own certificate.
 * @throws ConfigError with every file that is missing or does not fit its place.
 */
export function loadCredentials(file: string, config: DeviceConfig, now: Millis): Credentials {
  const record = readRecord(file, config);
  const reader = new CredentialReader(file);
  const configured = reader.identity(config);
  const anchors = config.trust.anchors.flatMap((path, at) =>
    reader.anchors(path, `trust.anchors[${at}]`),
  );
  const named = config.sealing.controllers.map((path, at) =>
    reader.controller(path, `sealing.controllers[${at}]`),
  );
  const contacts = new Map(
    config.contact.map(({ aor, certificate }, at) => [
      addressOfRecord(aor),
      [reader.userCertificate(certificate, aor, `contact[${at}].certificate`)],
    ]),
  );
  const pemAnchors = config.trust.anchors.map((path) => reader.files.text(path) ?? "");
  reader.files.throwFaults();
  const own = registeredIdentity(record, configured, now) ?? configured;
  const learnt = (record?.controllers ?? []).flatMap(controllerOf);
  return {
    ...(own !== undefined && { own, former: formerIdentities(record, own, now) }),
    ...(configured !== undefined && { configured }),
    trust: new Trust(config.aor, anchors, record?.trust ?? []),
    controllers: named.length > 0 ? named : learnt,
    contacts,
    tls: tlsSetting(own, pemAnchors),
  };
}

/** What is kept of the registration. @throws ConfigError */
export function readRecord(file: string, config: DeviceConfig): RegistrationRecord | undefined {
  const { registration, aor } = config;
  return registration && readRegistration(resolveConfigPath(file, registration.store), aor);
}

/** The certificate that the registration keeps in service, if it has not ended. */
export function registeredIdentity(
  record: RegistrationRecord | undefined,
  configured: OwnIdentity | undefined,
  now: Millis,
): OwnIdentity | undefined {
  if (record?.certificate === undefined) return undefined;
  const { certificate, chain } = record;
  if (decodeCertificate(certificate).notAfter <= now) return undefined;
  if (record.privateKey !== undefined)
    return { identity: { certificate, privateKey: record.privateKey }, chain };
  return configured?.identity.certificate.equals(certificate) ? configured : undefined;
}

function formerIdentities(
  record: RegistrationRecord | undefined,
  { identity }: OwnIdentity,
  now: Millis,
): readonly Identity[] {
  return formerCertificates(record, identity.certificate, now).map((certificate) => ({
    certificate,
    privateKey: identity.privateKey,
  }));
}

/** TLS with our certificate, or with none. */
export function tlsSetting(
  own: OwnIdentity | undefined,
  anchors: SipTlsSetting["anchors"],
): SipTlsSetting {
  const pem = own && [own.identity.certificate, ...own.chain].map(encodeCertificatePem).join("");
  const key = own?.identity.privateKey.export({ format: "pem", type: "pkcs8" });
  return {
    certificate: pem ?? "",
    key: key ?? "",
    anchors,
    clientCertificates: "require",
  };
}

/** What came without a DNS name cannot be named in a label. */
function controllerOf(certificate: Buffer): readonly ControllerCertificate[] {
  const [host] = decodeCertificate(certificate).dnsNames;
  return host === undefined ? [] : [{ host, certificate }];
}

const NOTHING = Buffer.alloc(0);

class CredentialReader {
  readonly files: CredentialFiles;

  constructor(file: string) {
    this.files = new CredentialFiles(file);
  }

  identity({ aor, identity }: DeviceConfig): OwnIdentity | undefined {
    if (identity === undefined) return undefined;
    const at = "identity.certificate";
    const [certificate = NOTHING, ...chain] = this.anchors(identity.certificate, at);
    if (certificate.length > 0) this.#checkUser(certificate, aor, at);
    const privateKey = this.files.read(identity.key, "identity.key", createPrivateKey);
    if (privateKey !== undefined && certificate.length > 0)
      this.#checkPair(certificate, privateKey);
    return { identity: { certificate, privateKey: privateKey as KeyObject }, chain };
  }

  anchors(path: string, at: string): readonly Buffer[] {
    return this.files.read(path, at, parseCertificates) ?? [];
  }

  controller(path: string, at: string): ControllerCertificate {
    const certificate = this.#certificate(path, at);
    const [host] = certificate.length > 0 ? decodeCertificate(certificate).dnsNames : ["-"];
    if (host === undefined) this.files.fault(at, "the certificate holds no DNS name");
    return { host: host ?? "-", certificate };
  }

  userCertificate(path: string, aor: string, at: string): Buffer {
    const certificate = this.#certificate(path, at);
    if (certificate.length > 0) this.#checkUser(certificate, aor, at);
    return certificate;
  }

  #certificate(path: string, at: string): Buffer {
    return this.files.read(path, at, (pem) => parseCertificates(pem)[0]) ?? NOTHING;
  }

  /** A certificate is only ever used for the user it was made for. */
  #checkUser(certificate: Buffer, aor: string, at: string): void {
    const { uris } = decodeCertificate(certificate);
    if (!uris.some((uri) => isSameUser(uri, aor)))
      this.files.fault(at, `the certificate is not that of ${aor}`);
  }

  #checkPair(certificate: Buffer, privateKey: KeyObject): void {
    if (!new X509Certificate(certificate).checkPrivateKey(privateKey))
      this.files.fault("identity.key", "is not the key of the certificate");
  }
}

function parseCertificates(pem: string): readonly Buffer[] {
  return parsePemCertificates(pem).map(({ raw }) => checked(raw).encoded);
}

function checked(certificate: Buffer): Certificate {
  try {
    return decodeCertificate(certificate);
  } catch (cause) {
    if (!isProtocolError(cause)) throw cause;
    throw new TypeError("not a certificate we can use", { cause });
  }
}
