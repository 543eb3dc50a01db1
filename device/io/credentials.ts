/**
 * The files that a phone's configuration names: its own certificate and key, whom it trusts, for
 * whom it seals. Touches those files only, once, at start.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { isProtocolError } from "../../protocol/errors.ts";
import { decodeCertificate } from "../../protocol/pki/certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { addressOfRecord } from "../../protocol/sip/uri.ts";
import { CredentialFiles, parsePemCertificates } from "../../runtime/credential-files.ts";
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
  reader.files.throwFaults();
  return credentials;
}

const NOTHING = Buffer.alloc(0);

class CredentialReader {
  readonly files: CredentialFiles;

  constructor(file: string) {
    this.files = new CredentialFiles(file);
  }

  identity({ aor, identity }: DeviceConfig): Identity {
    const certificate = this.userCertificate(identity.certificate, aor, "identity.certificate");
    const privateKey = this.files.read(identity.key, "identity.key", createPrivateKey);
    if (privateKey !== undefined && certificate.length > 0)
      this.#checkPair(certificate, privateKey);
    return { certificate, privateKey: privateKey as KeyObject };
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

  /** A certificate is only ever used for the user it was made for. */
  userCertificate(path: string, aor: string, at: string): Buffer {
    const certificate = this.#certificate(path, at);
    if (certificate.length === 0) return certificate;
    const { uris } = decodeCertificate(certificate);
    if (!uris.some((uri) => isSameUser(uri, aor)))
      this.files.fault(at, `the certificate is not that of ${aor}`);
    return certificate;
  }

  tls({ identity, trust }: DeviceConfig): SipTlsSetting {
    const text = (path: string): string => this.files.text(path) ?? "";
    return {
      certificate: text(identity.certificate),
      key: text(identity.key),
      anchors: trust.anchors.map(text),
      clientCertificates: "require",
    };
  }

  #certificate(path: string, at: string): Buffer {
    return this.files.read(path, at, (pem) => parseCertificates(pem)[0]) ?? NOTHING;
  }

  #checkPair(certificate: Buffer, privateKey: KeyObject): void {
    if (!new X509Certificate(certificate).checkPrivateKey(privateKey))
      this.files.fault("identity.key", "is not the key of the certificate");
  }
}

function parseCertificates(pem: string): readonly Buffer[] {
  return parsePemCertificates(pem).map(({ raw }) => checked(raw));
}

function checked(certificate: Buffer): Buffer {
  try {
    return decodeCertificate(certificate).encoded;
  } catch (cause) {
    if (!isProtocolError(cause)) throw cause;
    throw new TypeError("not a certificate we can use", { cause });
  }
}
