/**
 * The files that a phone's configuration names: its own certificate and key, whom it trusts, for
 * whom it seals. Touches those files only, once, at start.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isProtocolError } from "../../protocol/errors.ts";
import { decodeCertificate } from "../../protocol/pki/certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import { ConfigError, type ConfigFault, resolveConfigPath } from "../../runtime/config-file.ts";
import type { SipTlsSetting } from "../../runtime/sip-transport-tls.ts";
import type { DeviceConfig } from "../config.ts";
import { isSameUser } from "../core/verified-fault.ts";

export interface Credentials {
  readonly identity: Identity;
  /** DER. */
  readonly anchors: readonly Buffer[];
  readonly controllers: readonly ControllerCertificate[];
  /** DER certificates by address of record. */
  readonly contacts: ReadonlyMap<string, Buffer>;
  readonly tls: SipTlsSetting;
}

export interface ControllerCertificate {
  /** The DNS name that labels name it by. */
  readonly host: string;
  /** DER. */
  readonly certificate: Buffer;
}

/** @throws ConfigError with every file that is missing or does not fit its place. */
export function loadCredentials(file: string, config: DeviceConfig): Credentials {
  const reader = new CredentialReader(file);
  const credentials = {
    identity: reader.identity(config),
    anchors: config.trust.anchors.flatMap((path, at) =>
      reader.anchors(path, `trust.anchors[${at}]`),
    ),
    controllers: config.sealing.controllers.map((path, at) =>
      reader.controller(path, `sealing.controllers[${at}]`),
    ),
    contacts: new Map(
      config.contact.map(({ aor, certificate }, at) => [
        addressOfRecord(aor),
        reader.userCertificate(certificate, aor, `contact[${at}].certificate`),
      ]),
    ),
    tls: reader.tls(config),
  };
  if (reader.faults.length > 0) throw new ConfigError(file, reader.faults);
  return credentials;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const NOTHING = Buffer.alloc(0);

/** Reads on after a fault, so that all are reported at once. */
class CredentialReader {
  readonly faults: ConfigFault[] = [];
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  identity({ aor, identity }: DeviceConfig): Identity {
    const certificate = this.userCertificate(identity.certificate, aor, "identity.certificate");
    const privateKey = this.#read(identity.key, "identity.key", createPrivateKey);
    if (privateKey !== undefined && certificate.length > 0)
      this.#checkPair(certificate, privateKey);
    return { certificate, privateKey: privateKey as KeyObject };
  }

  anchors(path: string, at: string): readonly Buffer[] {
    return this.#read(path, at, parseCertificates) ?? [];
  }

  controller(path: string, at: string): ControllerCertificate {
    const certificate = this.#certificate(path, at);
    const [host] = certificate.length > 0 ? decodeCertificate(certificate).dnsNames : ["-"];
    if (host === undefined) this.#fault(at, "the certificate holds no DNS name");
    return { host: host ?? "-", certificate };
  }

  /** A certificate is only ever used for the user it was made for. */
  userCertificate(path: string, aor: string, at: string): Buffer {
    const certificate = this.#certificate(path, at);
    if (certificate.length === 0) return certificate;
    const { uris } = decodeCertificate(certificate);
    if (!uris.some((uri) => isSameUser(uri, aor)))
      this.#fault(at, `the certificate is not that of ${aor}`);
    return certificate;
  }

  tls({ identity, trust }: DeviceConfig): SipTlsSetting {
    const text = (path: string): string => this.#text(path) ?? "";
    return {
      certificate: text(identity.certificate),
      key: text(identity.key),
      anchors: trust.anchors.map(text),
      clientCertificates: "require",
    };
  }

  #certificate(path: string, at: string): Buffer {
    return this.#read(path, at, (pem) => parseCertificates(pem)[0]) ?? NOTHING;
  }

  #checkPair(certificate: Buffer, privateKey: KeyObject): void {
    if (!new X509Certificate(certificate).checkPrivateKey(privateKey))
      this.#fault("identity.key", "is not the key of the certificate");
  }

  #read<T>(path: string, at: string, parse: (pem: string) => T): T | undefined {
    const text = this.#text(path);
    if (text === undefined) {
      this.#fault(at, `${path} cannot be read`);
      return undefined;
    }
    try {
      return parse(text);
    } catch {
      // What the key parser says may quote the file.
      this.#fault(at, `${path} is not what is needed here`);
      return undefined;
    }
  }

  #text(path: string): string | undefined {
    try {
      return readFileSync(resolveConfigPath(this.#file, path), "utf8");
    } catch {
      return undefined;
    }
  }

  #fault(path: string, message: string): void {
    this.faults.push({ path, message });
  }
}

function parseCertificates(pem: string): readonly Buffer[] {
  const blocks = pem.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new TypeError("no certificate");
  return blocks.map((block) => new X509Certificate(block).raw).map(checked);
}

function checked(certificate: Buffer): Buffer {
  try {
    return decodeCertificate(certificate).encoded;
  } catch (cause) {
    if (!isProtocolError(cause)) throw cause;
    throw new TypeError("not a certificate we can use", { cause });
  }
}
