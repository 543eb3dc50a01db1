/**
 * The files that the configuration names: certificates, keys, digest secrets. Touches those files
 * only, once, at start; reports all that are missing or unfit at once.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { CredentialFiles, parsePemCertificates } from "../../runtime/credential-files.ts";
import type { SipTlsSetting } from "../../runtime/sip-transport-tls.ts";
import type { ControllerConfig } from "../config.ts";
import type { Ha1 } from "../core/users.ts";
import { ha1Of } from "./user-entry.ts";

export interface Credentials {
  /** For whom bodies are sealed, and by whose word signers are believed (DER). */
  readonly body?: { readonly identity: Identity; readonly anchors: readonly Buffer[] };
  readonly tls?: SipTlsSetting;
  readonly recording?: OrderKeys;
  /** By place in `[[user]]`. */
  readonly ha1: ReadonlyMap<number, Ha1>;
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
    ...(body === undefined ? {} : { body: reader.body(body) }),
    ...(tls === undefined ? {} : { tls: reader.tls(tls) }),
    ...(recording === undefined ? {} : { recording: reader.orderKeys(recording) }),
    ha1: reader.ha1(config.user),
  };
  reader.files.throwFaults();
  return credentials;
}

type Files = NonNullable<ControllerConfig["body"]>;

const SHA_256 = /^[0-9a-f]{64}$/;
const MD5 = /^[0-9a-f]{32}$/;

class CredentialReader {
  readonly files: CredentialFiles;

  constructor(file: string) {
    this.files = new CredentialFiles(file);
  }

  body(files: Files): NonNullable<Credentials["body"]> {
    return { identity: this.identity(files, "body"), anchors: this.anchors(files, "body") };
  }

  identity({ certificate, key }: Files, table: string): Identity {
    const [read] = this.files.read(certificate, `${table}.certificate`, parsePemCertificates) ?? [];
    const privateKey = this.files.read(key, `${table}.key`, (pem) => createPrivateKey(pem));
    if (read !== undefined && privateKey !== undefined && !read.checkPrivateKey(privateKey))
      this.files.fault(`${table}.key`, "is not the key of the certificate");
    return { certificate: read?.raw ?? Buffer.alloc(0), privateKey: privateKey as KeyObject };
  }

  anchors({ anchors }: Files, table: string): readonly Buffer[] {
    return anchors.flatMap((path, at) => {
      const read = this.files.read(path, `${table}.anchors[${at}]`, parsePemCertificates) ?? [];
      return read.map(({ raw }) => raw);
    });
  }

  tls(files: Files): SipTlsSetting {
    this.identity(files, "tls");
    this.anchors(files, "tls");
    const text = (path: string): string => this.files.text(path) ?? "";
    return {
      certificate: text(files.certificate),
      key: text(files.key),
      anchors: files.anchors.map(text),
      // Users without a certificate may still have a password.
      clientCertificates: "request",
    };
  }

  orderKeys({ orderKey, recorder }: NonNullable<ControllerConfig["recording"]>): OrderKeys {
    const signingKey = this.files.read(orderKey, "recording.orderKey", (pem) =>
      ofType(createPrivateKey(pem), "ed25519"),
    );
    const recorderKey = this.files.read(recorder, "recording.recorder", (pem) =>
      ofType(createPublicKey(pem), "x25519"),
    );
    return { signingKey: signingKey as KeyObject, recorderKey: recorderKey as KeyObject };
  }

  ha1(users: ControllerConfig["user"]): ReadonlyMap<number, Ha1> {
    const secrets = users.flatMap(({ ha1 }, at) => {
      if (ha1 === undefined) return [];
      const secret = this.files.read(ha1, `user[${at}].ha1`, parseHa1);
      return secret === undefined ? [] : [[at, secret] as const];
    });
    return new Map(secrets);
  }
}

/** One line of SHA-256, of MD5, or of both. */
function parseHa1(text: string): Ha1 {
  const lines = text.trim().toLowerCase().split(/\s+/);
  const sha256 = lines.find((line) => SHA_256.test(line));
  const md5 = lines.find((line) => MD5.test(line));
  const known = [sha256, md5].filter((line) => line !== undefined);
  if (known.length === 0 || known.length !== lines.length)
    throw new TypeError("not 64 hexadecimal digits (SHA-256), nor 32 more (MD5)");
  return ha1Of({ sha256, md5 });
}

function ofType(key: KeyObject, type: string): KeyObject {
  if (key.asymmetricKeyType !== type) throw new TypeError(`not an ${type} key`);
  return key;
}
