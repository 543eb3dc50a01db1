/** A certificate office over real files, keys and database, and phones' requests to it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { join } from "node:path";
import { controllerSchema } from "../../../controller/config.ts";
import type {
  Asked,
  CertificateEffect,
  CertificateInput,
  RegistrationOutcome,
} from "../../../controller/core/certificate-port.ts";
import { CertificateOffice, type OfficeRules } from "../../../controller/io/certificate-office.ts";
import { loadCredentials } from "../../../controller/io/credentials.ts";
import { userRowsOf } from "../../../controller/io/policies.ts";
import { UserStore } from "../../../controller/io/user-store.ts";
import {
  type RegistrationRecipient,
  type RegistrationRequest,
  sealRegistration,
} from "../../../protocol/body/registration-body.ts";
import type { FirstKey } from "../../../protocol/cms/first-key.ts";
import { decodeCertificate, encodeCertificatePem } from "../../../protocol/pki/certificate.ts";
import { createCertificationRequest } from "../../../protocol/pki/certification-request.ts";
import { Secret } from "../../../protocol/secret.ts";
import type { SipRequest } from "../../../protocol/sip/message.ts";
import { AuthorityDatabase } from "../../../runtime/authority-database.ts";
import { parseConfig } from "../../../runtime/config-file.ts";
import { createLogger } from "../../../runtime/logger.ts";
import { ALICE, AUTHORITY_CONFIG, type AuthorityFiles } from "./authority-files.ts";

export const ROWS = [
  ["To", `<${ALICE}>`],
  ["Call-ID", "1"],
] as const;
export const NOT_BEFORE = Date.now() - 300_000;
/** To the second. */
export const NOT_AFTER = Math.floor(Date.now() / 1000) * 1000 + 1_800_000;
export const SHARED_KEY = "00112233445566778899aabbccddeeff".repeat(2);
/** What serves as alice's password. */
export const HA1 = "c0ffee00".repeat(8);

/** Whom alice's phone may seal for without any certificate. */
export const BY_SHARED_KEY: RegistrationRecipient = {
  kind: "kek",
  keyIdentifier: Buffer.from(ALICE),
  kek: new Secret(Buffer.from(SHARED_KEY, "hex")),
};

const ANSWERS = {
  "open-registration": "registration-opened",
  certify: "certified",
  "verify-asker": "asker-verified",
  "sign-answer": "answer-signed",
} as const;
type Outcome<Kind extends CertificateEffect["kind"]> = Extract<
  CertificateInput,
  { kind: (typeof ANSWERS)[Kind] }
>["outcome"];

export class OfficeFixture {
  readonly office: CertificateOffice;
  readonly fed: CertificateInput[] = [];
  readonly databaseFile: string;
  readonly rules: OfficeRules;
  readonly #waiting = new Map<string, (input: CertificateInput) => void>();

  constructor(files: AuthorityFiles, name: string, config = AUTHORITY_CONFIG) {
    files.write("alice.shared", SHARED_KEY);
    files.write("alice.ha1", HA1);
    const text = config.replace("sharedKey", 'ha1 = "alice.ha1"\nsharedKey');
    const file = files.write(`${name}.toml`, text);
    this.rules = this.rulesOf(file, text);
    this.databaseFile = join(files.path, `${name}.sqlite`);
    const log = createLogger("controller", "silent");
    const feed = (input: CertificateInput): void => this.#hear(input);
    this.office = CertificateOffice.open({ file: this.databaseFile, feed, log }, this.rules);
  }

  /** What the office says to an effect. */
  async ask<Kind extends CertificateEffect["kind"]>(
    kind: Kind,
    effect: Omit<Asked<Kind>, "kind" | "ref">,
  ): Promise<Outcome<Kind>> {
    const ref = randomBytes(8).toString("hex");
    const heard = new Promise<CertificateInput>((resolve) => this.#waiting.set(ref, resolve));
    this.office.perform({ kind, ref, ...effect } as unknown as CertificateEffect);
    const input = await heard;
    assert.equal(input.kind, ANSWERS[kind]);
    return (input as unknown as { outcome: Outcome<Kind> }).outcome;
  }

  open(request: SipRequest, options: { labelled?: boolean; source?: string } = {}) {
    const { labelled = true, source = "192.0.2.1" } = options;
    return this.ask("open-registration", { request, aor: ALICE, labelled, source });
  }

  /** Certifies a key for alice; resolves with the serial number. */
  async issue(keys: PhoneKeys): Promise<string> {
    const certificate = this.rules.credentials.body?.identity.certificate ?? Buffer.alloc(0);
    const { request } = await sealedRegister({
      claim: await requestFor(keys),
      recipient: { kind: "certificate", certificate },
    });
    const opened = await this.open(request);
    assert.ok(opened.kind === "opened");
    const { claim, reply } = opened;
    const dates = { notBefore: NOT_BEFORE, notAfter: NOT_AFTER };
    const done = await this.ask("certify", { aor: ALICE, rows: ROWS, claim, reply, ...dates });
    assert.ok(done.kind === "done" && done.certificate !== undefined);
    return decodeCertificate(done.certificate.der).serial;
  }

  /** Another process's view of the same database. */
  async beside<T>(run: (database: AuthorityDatabase) => T | Promise<T>): Promise<T> {
    const database = AuthorityDatabase.open(this.databaseFile, { mustExist: true });
    try {
      return await run(database);
    } finally {
      database.close();
    }
  }

  rulesOf(file: string, text: string): OfficeRules {
    const config = parseConfig(text, controllerSchema);
    const credentials = loadCredentials(file, config);
    const rows = userRowsOf(config, credentials);
    const users = UserStore.open({ rows, domains: config.domains, mustRecord: false });
    return { file, config, credentials, users };
  }

  #hear(input: CertificateInput): void {
    this.fed.push(input);
    if ("ref" in input) this.#waiting.get(input.ref)?.(input);
  }
}

/** A REGISTER with this body. */
export const registerOf = ({
  body,
  contentType,
}: {
  readonly body: Buffer;
  readonly contentType: string;
}): SipRequest => ({
  kind: "request",
  method: "REGISTER",
  uri: "sip:atlanta.example.com",
  headers: [{ name: "Content-Type", value: contentType }],
  body,
});

/** A sealed REGISTER and its first key. */
export async function sealedRegister(
  request: Omit<RegistrationRequest, "rows" | "random">,
): Promise<{ readonly request: SipRequest; readonly firstKey: FirstKey }> {
  const sealed = await sealRegistration({ rows: ROWS, random: randomBytes, ...request });
  return { request: registerOf(sealed), firstKey: sealed.firstKey };
}

export interface PhoneKeys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export const newKeys = (rsaBits?: number): PhoneKeys =>
  rsaBits === undefined
    ? generateKeyPairSync("ec", { namedCurve: "P-256" })
    : generateKeyPairSync("rsa", { modulusLength: rsaBits });

/** A request for a certificate of that name, signed by the key. */
export const requestFor = async (keys: PhoneKeys, aor = ALICE) => ({
  kind: "request" as const,
  request: await createCertificationRequest({ aor, ...keys }),
});

export type Opened = Extract<RegistrationOutcome, { kind: "opened" }>;

export function opened(outcome: RegistrationOutcome): Opened {
  assert.equal(outcome.kind, "opened");
  return outcome as Opened;
}

/** Why it was not opened. */
export const codeOf = (outcome: RegistrationOutcome): string | undefined =>
  outcome.kind === "failed" ? outcome.code : "opened";

/** A certificate leads to the root, in the eyes of OpenSSL. */
export function verifyByOpenssl(files: AuthorityFiles, der: Buffer, issuer = "issuer.pem"): void {
  files.write("leaf.pem", encodeCertificatePem(der));
  const argv = ["verify", "-x509_strict", "-purpose", "smimesign", "-CAfile", "root.pem"];
  const verified = spawnSync("openssl", [...argv, "-untrusted", issuer, "leaf.pem"], {
    cwd: files.path,
  });
  assert.equal(verified.status, 0, String(verified.stderr));
}
