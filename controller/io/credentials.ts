/**
 * The files that the configuration names: certificates, keys, digest secrets. Touches those files
 * only, once, at start; reports all that are missing or unfit at once.
 */
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { Secret } from "../../protocol/secret.ts";
import { ConfigError, type ConfigFault, resolveConfigPath } from "../../runtime/config-file.ts";
import type { SipTlsSetting } from "../../runtime/sip-transport-tls.ts";
import type { ControllerConfig } from "../config.ts";

export interface Credentials {
  /** For whom bodies are sealed, and by whose word signers are believed (DER). */
  readonly body: { readonly identity: Identity; readonly anchors: readonly Buffer[] };
  readonly tls?: SipTlsSetting;
  readonly recording?: OrderKeys;
  /** By place in `[[user]]`. */
  readonly ha1: ReadonlyMap<number, Secret>;
}

export interface OrderKeys {
  /** Ed25519. */
  readonly signingKey: KeyObject;
  /** X25519. */
  readonly recorderKey: KeyObject;
}

/** @throws ConfigError with every file that is missing or does not fit its place. */
export function loadCredentials(file: string, config: ControllerConfig): Credentials {
  const reader = new CredentialReader(file);
  const { body, tls, recording } = config;
  const credentials: Credentials = {
    body: { identity: reader.identity(body, "body"), anchors: reader.anchors(body, "body") },
    ...(tls === undefined ? {} : { tls: reader.tls(tls) }),
    ...(recording === undefined ? {} : { recording: reader.orderKeys(recording) }),
    ha1: reader.ha1(config.user),
  };
  if (reader.faults.length > 0) throw new ConfigError(file, reader.faults);
  return credentials;
}

type Files = ControllerConfig["body"];

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const HA1 = /^[0-9a-f]{64}$/;

/** Reads on after a fault, so that all are reported. */
class CredentialReader {
  readonly faults: ConfigFault[] = [];
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  identity({ certificate, key }: Files, table: string): Identity {
    const [read] = this.#read(certificate, `${table}.certificate`, parseCertificates) ?? [];
    const privateKey = this.#read(key, `${table}.key`, (pem) => createPrivateKey(pem));
    if (read !== undefined && privateKey !== undefined && !read.checkPrivateKey(privateKey))
      this.#fault(`${table}.key`, "is not the key of the certificate");
    return { certificate: read?.raw ?? Buffer.alloc(0), privateKey: privateKey as KeyObject };
  }

  anchors({ anchors }: Files, table: string): readonly Buffer[] {
    return anchors.flatMap((path, at) => {
      const read = this.#read(path, `${table}.anchors[${at}]`, parseCertificates) ?? [];
      return read.map(({ raw }) => raw);
    });
  }

  tls(files: Files): SipTlsSetting {
    this.identity(files, "tls");
    this.anchors(files, "tls");
    const text = (path: string): string => this.#text(path) ?? "";
    return {
      certificate: text(files.certificate),
      key: text(files.key),
      anchors: files.anchors.map(text),
      // Users without a certificate may still have a password.
      clientCertificates: "request",
    };
  }

  orderKeys({ orderKey, recorder }: NonNullable<ControllerConfig["recording"]>): OrderKeys {
    const signingKey = this.#read(orderKey, "recording.orderKey", (pem) =>
      ofType(createPrivateKey(pem), "ed25519"),
    );
    const recorderKey = this.#read(recorder, "recording.recorder", (pem) =>
      ofType(createPublicKey(pem), "x25519"),
    );
    return { signingKey: signingKey as KeyObject, recorderKey: recorderKey as KeyObject };
  }

  ha1(users: ControllerConfig["user"]): ReadonlyMap<number, Secret> {
    const secrets = users.flatMap(({ ha1 }, at) => {
      if (ha1 === undefined) return [];
      const secret = this.#read(ha1, `user[${at}].ha1`, parseHa1);
      return secret === undefined ? [] : [[at, secret] as const];
    });
    return new Map(secrets);
  }

  #read<T>(path: string, at: string, parse: (text: string) => T): T | undefined {
    const text = this.#text(path);
    if (text === undefined) {
      this.#fault(at, `${path} cannot be read`);
      return undefined;
    }
    try {
      return parse(text);
    } catch {
      // What a key parser says may quote the file.
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

function parseCertificates(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new TypeError("no certificate");
  return blocks.map((block) => new X509Certificate(block));
}

function parseHa1(text: string): Secret {
  if (!HA1.test(text.trim())) throw new TypeError("not 64 hexadecimal digits");
  return new Secret(Buffer.from(text.trim(), "latin1"));
}

function ofType(key: KeyObject, type: string): KeyObject {
  if (key.asymmetricKeyType !== type) throw new TypeError(`not an ${type} key`);
  return key;
}
