/** Certificates and keys by the OpenSSL command line, in a folder of their own, for an authority. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeCertificatePem } from "../../../protocol/pki/certificate.ts";
import { issueCertificate } from "../../../protocol/pki/issue-certificate.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";

export const DOMAIN = "atlanta.example.com";
export const NAME = `ss1.${DOMAIN}`;
export const ALICE = `sip:alice@${DOMAIN}`;

const DAY_MS = 86_400_000;
const CA = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
const HOST = [
  "basicConstraints=critical,CA:FALSE",
  "keyUsage=critical,digitalSignature,keyAgreement",
];

export interface Made {
  /** Name of who certifies; itself if absent. */
  readonly by?: string;
  readonly extensions: readonly string[];
  readonly days?: number;
  readonly rsaBits?: number;
}

export class AuthorityFiles {
  readonly path = mkdtempSync(join(tmpdir(), "keyhole-authority-"));

  /** Root, issuer below it, the controller's host, and the root of another domain. */
  constructor() {
    this.make("root", { extensions: CA });
    this.make("issuer", { by: "root", extensions: CA });
    this.write("chain.pem", ["issuer.pem", "root.pem"].map((name) => this.read(name)).join(""));
    const names = `subjectAltName=DNS:${NAME},URI:sip:${DOMAIN}`;
    this.make("ss1", { by: "root", extensions: [...HOST, names] });
    this.make("biloxi", { extensions: CA });
  }

  /** `name.pem` and `name.key`. */
  make(name: string, { by, extensions, days = 60, rsaBits }: Made): void {
    const key =
      rsaBits === undefined ? ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] : [`rsa:${rsaBits}`];
    const issuer = by === undefined ? [] : ["-CA", `${by}.pem`, "-CAkey", `${by}.key`];
    this.#openssl([
      ...["req", "-x509", "-sha256", "-nodes", "-newkey", ...key, "-keyout", `${name}.key`],
      ...["-out", `${name}.pem`, "-days", String(days), "-subj", `/CN=${name}`, ...issuer],
      ...extensions.flatMap((extension) => ["-addext", extension]),
    ]);
  }

  /** A certificate of a user by the given issuer. */
  makeUser(name: string, by: string, aor: string, made: Partial<Made> = {}): void {
    this.make(name, { by, extensions: [...HOST, `subjectAltName=URI:${aor}`], ...made });
  }

  /** An authority, or a user, whose time was over a day ago; OpenSSL's command line makes none. */
  async makeExpired(name: string, by: string, aor?: string): Promise<void> {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const certificate = await issueCertificate(
      {
        commonName: name,
        publicKey,
        profile: aor === undefined ? "authority" : "user",
        alternativeNames: aor === undefined ? [] : [{ kind: "uri", uri: aor }],
        serialNumber: randomBytes(16),
        notBefore: new Date(Date.now() - 2 * DAY_MS),
        notAfter: new Date(Date.now() - DAY_MS),
      },
      this.identity(by),
    );
    this.write(`${name}.pem`, encodeCertificatePem(certificate));
    this.write(`${name}.key`, String(privateKey.export({ format: "pem", type: "pkcs8" })));
  }

  read(name: string): string {
    return readFileSync(join(this.path, name), "utf8");
  }

  write(name: string, text: string): string {
    const file = join(this.path, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  }

  identity(name: string): Identity {
    return { certificate: this.der(name), privateKey: createPrivateKey(this.read(`${name}.key`)) };
  }

  der(name: string): Buffer {
    return new X509Certificate(this.read(`${name}.pem`)).raw;
  }

  remove(): void {
    rmSync(this.path, { recursive: true });
  }

  #openssl(argv: readonly string[]): void {
    const { status, stderr } = spawnSync("openssl", argv, { cwd: this.path });
    assert.equal(status, 0, stderr.toString());
  }
}

/** A configuration without a gateway. */
export const AUTHORITY_CONFIG = `
name = "${NAME}"
domains = ["${DOMAIN}"]
[[listen]]
transport = "tls"
address = "127.0.0.1"
port = 5061
[[user]]
aor = "${ALICE}"
sharedKey = "alice.shared"
[tls]
certificate = "ss1.pem"
key = "ss1.key"
anchors = ["root.pem"]
[body]
certificate = "ss1.pem"
key = "ss1.key"
anchors = ["root.pem"]
[state]
database = "state.sqlite"
[authority]
certificate = "chain.pem"
key = "issuer.key"
database = "authority.sqlite"
crl = "issuer.crl"
[[authority.trust]]
domain = "biloxi.example.com"
anchors = ["biloxi.pem"]
`;
