/**
 * The files that the configuration names: certificates, keys, secrets of users. Touches those files
 * and the clock, once, at start; reports all that are missing or unfit at once.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { encodeCertificatePem } from "../../protocol/pki/certificate.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { CredentialFiles, parsePemCertificates } from "../../runtime/credential-files.ts";
import type { SipTlsSetting } from "../../runtime/sip-transport-tls.ts";
import type { ControllerConfig } from "../config.ts";
import type { Ha1 } from "../core/users.ts";
import { type AuthorityCredentials, loadAuthority } from "./authority-credentials.ts";
import { type Certified, readCertified } from "./certified-identity.ts";
import { ha1Of, parseSharedKey, type UserSecrets } from "./user-entry.ts";

export interface Credentials {
  /** For whom bodies are sealed, and by whose word signers are believed (DER). */
  readonly body?: BodyCredentials;
  readonly authority?: AuthorityCredentials;
  readonly tls?: SipTlsSetting;
  readonly recording?: OrderKeys;
  /** By place in `[[user]]`. */
  readonly userSecrets: readonly UserSecrets[];
  /** What works, but not as whoever wrote the configuration may think. */
  readonly warnings: readonly string[];
}

export interface BodyCredentials {
  readonly identity: Identity;
  /** Those above it, as far as its file holds them. */
  readonly chain: readonly Buffer[];
  readonly anchors: readonly Buffer[];
}

export interface OrderKeys {
  /** Ed25519. */
  readonly signingKey: KeyObject;
  /** X25519. */
  readonly recorderKey: KeyObject;
}

/** @throws ConfigError with every file that is missing or does not fit its place. */
export function loadCredentials(file: string, config: ControllerConfig): Credentials {
  const files = new CredentialFiles(file);
  const reader = new CredentialReader(files);
  const { body, tls, recording, user } = config;
  const certified = body === undefined ? undefined : readCertified(files, body, "body");
  const anchors = body === undefined ? [] : reader.anchors(body, "body");
  const authority = loadAuthority(files, config, { certified, anchors });
  const credentials: Credentials = {
    ...(certified === undefined ? {} : { body: bodyOf(certified, anchors) }),
    ...(authority === undefined ? {} : { authority: authority.credentials }),
    ...(tls === undefined ? {} : { tls: reader.tls(tls) }),
    ...(recording === undefined ? {} : { recording: reader.orderKeys(recording) }),
    userSecrets: user.map((row, at) => reader.userSecrets(row, at)),
    warnings: authority?.warnings ?? [],
  };
  files.throwFaults();
  return { ...credentials, ...tlsOf(credentials) };
}

type Files = NonNullable<ControllerConfig["body"]>;

const SHA_256 = /^[0-9a-f]{64}$/;
const MD5 = /^[0-9a-f]{32}$/;

class CredentialReader {
  readonly #files: CredentialFiles;

  constructor(files: CredentialFiles) {
    this.#files = files;
  }

  anchors({ anchors }: Files, table: string): readonly Buffer[] {
    return anchors.flatMap((path, at) => {
      const read = this.#files.read(path, `${table}.anchors[${at}]`, parsePemCertificates) ?? [];
      return read.map(({ raw }) => raw);
    });
  }

  tls(files: Files): SipTlsSetting {
    readCertified(this.#files, files, "tls");
    this.anchors(files, "tls");
    const text = (path: string): string => this.#files.text(path) ?? "";
    return {
      certificate: text(files.certificate),
      key: text(files.key),
      anchors: files.anchors.map(text),
      // Users without a certificate may still have a password.
      clientCertificates: "request",
    };
  }

  orderKeys({ orderKey, recorder }: NonNullable<ControllerConfig["recording"]>): OrderKeys {
    const signingKey = this.#files.read(orderKey, "recording.orderKey", (pem) =>
      ofType(createPrivateKey(pem), "ed25519"),
    );
    const recorderKey = this.#files.read(recorder, "recording.recorder", (pem) =>
      ofType(createPublicKey(pem), "x25519"),
    );
    return { signingKey: signingKey as KeyObject, recorderKey: recorderKey as KeyObject };
  }

  userSecrets({ ha1, sharedKey }: ControllerConfig["user"][number], at: number): UserSecrets {
    const read = <T>(path: string | undefined, key: string, parse: (text: string) => T) =>
      path === undefined ? undefined : this.#files.read(path, `user[${at}].${key}`, parse);
    return {
      ha1: read(ha1, "ha1", parseHa1),
      sharedKey: read(sharedKey, "sharedKey", parseSharedKey),
    };
  }
}

const bodyOf = ({ identity, above }: Certified, anchors: readonly Buffer[]): BodyCredentials => ({
  identity,
  chain: above.map(({ raw }) => raw),
  anchors,
});

/**
 * Whom our authority certifies may show that wherever certificates are asked for; whom another
 * domain's does, for names of that domain.
 */
function tlsOf({ tls, authority }: Credentials): Pick<Credentials, "tls"> {
  if (tls === undefined || authority === undefined) return {};
  const { issuer, chain, ownAnchors, trust } = authority;
  const own = [issuer.certificate, ...chain, ...ownAnchors].map(encodeCertificatePem);
  const anchorsByDomain = new Map(trust.map(({ domain, anchors }) => [domain, anchors]));
  return { tls: { ...tls, anchors: [...tls.anchors, ...own], anchorsByDomain } };
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
