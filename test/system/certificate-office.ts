/**
 * A controller with an authority on loopback, and phones that ask it for certificates in their own
 * words: what a test wants right or wrong, it says. No gateway, no recorder.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { type SealedRegisterOptions, sealRegister } from "../../lab/sealed-register.ts";
import { KEYHOLE } from "../../lab/site.ts";
import { signQuery, verifyQueryAnswer } from "../../protocol/body/certificate-query.ts";
import { openRegistrationAnswer } from "../../protocol/body/registration-answer.ts";
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import type { FirstKey } from "../../protocol/cms/first-key.ts";
import { createCertificationRequest } from "../../protocol/pki/certification-request.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { serializeSipDate } from "../../protocol/sip/date.ts";
import type { SipTransport } from "../../protocol/sip/flow.ts";
import {
  appendHeader,
  headerValue,
  type SipRequest,
  type SipResponse,
  withBody,
} from "../../protocol/sip/message.ts";
import { freePort, handOver, type RunningProgram, startController } from "./controller-harness.ts";
import { Phone } from "./registrar-phone.ts";

export const DOMAIN = "atlanta.example.com";
export const CONTROLLER = `ss1.${DOMAIN}`;
const ADDRESS = "127.0.0.1";
const NOBODY = 65_534;
const QUERY_ACCEPT = "application/pkix-cert, multipart/signed, multipart/mixed, message/sipfrag";

export const aorOf = (user: string): string => `sip:${user}@${DOMAIN}`;
export const passwordOf = (user: string): string => `the word of ${user}`;
/** HA1 by SHA-256, as the controller keeps it and a password recipient uses it. */
export const ha1Of = (user: string): string =>
  createHash("sha256")
    .update(`${user}:${DOMAIN}:${passwordOf(user)}`)
    .digest("hex");

type Tables = Readonly<Record<string, unknown>>;

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export const newKeys = (): KeyPair => generateKeyPairSync("ec", { namedCurve: "P-256" });

/** A folder with an authority, users and a configuration; the controller that runs on it. */
export class Office {
  readonly folder = mkdtempSync(join(tmpdir(), "keyhole-office-"));
  readonly ports: Partial<Record<SipTransport, number>> = {};
  readonly #users: readonly string[];
  readonly #phones: Phone[] = [];
  #controller: RunningProgram | undefined;

  constructor(users: readonly string[]) {
    this.#users = users;
    const names = ["--domain", DOMAIN, "--controller", CONTROLLER];
    const certified = users.flatMap((user) => ["--user", aorOf(user)]);
    this.keyhole("ca", "init", "--out", this.path("keys"), ...names, ...certified);
    for (const user of users) writeFileSync(this.path(`keys/${user}.ha1`), `${ha1Of(user)}\n`);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  get controller(): RunningProgram {
    assert.ok(this.#controller !== undefined, "not started");
    return this.#controller;
  }

  /** Starts the controller. `more` replaces tables of its file. */
  async start(more: Tables = {}): Promise<void> {
    for (const transport of ["tcp", "tls"] as const) this.ports[transport] ??= await freePort();
    this.configure(more);
    this.#controller = await startController({ configFile: this.path("keys/controller.toml") });
  }

  /** Writes the controller's file. */
  configure(more: Tables = {}, users = this.#users): void {
    const credentials = {
      certificate: `${CONTROLLER}.pem`,
      key: `${CONTROLLER}.key`,
      anchors: ["ca.pem"],
    };
    const config = {
      name: CONTROLLER,
      domains: [DOMAIN],
      ...(process.geteuid?.() === 0 ? { process: { uid: NOBODY, gid: NOBODY } } : {}),
      log: { level: "debug" },
      tls: credentials,
      body: credentials,
      listen: (["tcp", "tls"] as const).map((transport) => ({
        ...{ transport, address: ADDRESS, port: this.ports[transport] },
      })),
      user: users.map((user) => ({ aor: aorOf(user), ha1: `${user}.ha1` })),
      registrar: { minExpiresS: 1 },
      state: { database: "state.sqlite" },
      authority: {
        ...{ certificate: "issuer.pem", key: "issuer.key", database: "authority.sqlite" },
      },
      ...more,
    };
    writeFileSync(this.path("keys/controller.toml"), stringify(config));
    handOver(this.folder);
  }

  /** A command that must succeed; what it prints. */
  keyhole(...argv: readonly string[]): string {
    const done = spawnSync(process.execPath, [KEYHOLE, ...argv], { encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
    return done.stdout;
  }

  authority(verb: string, ...argv: readonly string[]): string {
    return this.keyhole("ca", verb, "--database", this.path("keys/authority.sqlite"), ...argv);
  }

  async phone(user: string, transport: "tcp" | "tls" = "tls"): Promise<Phone> {
    const phone = await Phone.connect({
      ...{ transport, user, domain: DOMAIN, password: passwordOf(user), serverName: CONTROLLER },
      controller: { address: ADDRESS, port: this.ports[transport] ?? 0 },
      ca: readFileSync(this.path("keys/ca.pem")),
    });
    this.#phones.push(phone);
    return phone;
  }

  /** DER of a file of `ca init`, the first if there are several. */
  certificate(name: string): Buffer {
    return new X509Certificate(readFileSync(this.path(`keys/${name}.pem`))).raw;
  }

  async close(): Promise<void> {
    for (const phone of this.#phones) phone.close();
    if (this.#controller?.hasEnded === false) await this.#controller.stop();
    rmSync(this.folder, { recursive: true });
  }
}

export interface Asked extends Partial<Omit<SealedRegisterOptions, "recipient">> {
  readonly recipient?: SealedRegisterOptions["recipient"];
  readonly expiresS?: number;
  /** In place of the phone's own. */
  readonly contacts?: readonly string[];
  /** Changes the message after it was sealed, before it gets its credentials. */
  readonly change?: (request: SipRequest) => SipRequest;
  readonly password?: string;
}

export interface Answered {
  readonly response: SipResponse;
  /** The REGISTER that was answered, with its credentials. */
  readonly request: SipRequest;
  readonly firstKey: FirstKey;
}

/** Registers as `asked`, the challenge met. */
export async function register(office: Office, phone: Phone, asked: Asked): Promise<Answered> {
  const first = await sealed(office, phone, asked, undefined);
  const challenge = await phone.exchange(first.request);
  if (challenge.status !== 401) return { ...first, response: challenge };
  const second = await sealed(office, phone, asked, challenge);
  return { ...second, response: await phone.exchange(second.request) };
}

/** One sealed REGISTER with credentials for the challenge, if there was one. */
export async function sealed(
  office: Office,
  phone: Phone,
  { expiresS = 600, contacts, change = (request) => request, password, ...asked }: Asked,
  challenge: SipResponse | undefined,
): Promise<Omit<Answered, "response">> {
  const { claim = { kind: "none" }, profile = "open" } = asked;
  const authorized = (request: SipRequest): SipRequest =>
    challenge === undefined
      ? request
      : phone.authorized(request, challenge, password === undefined ? {} : { password });
  const bare = phone.registerRequest({
    ...(contacts === undefined ? {} : { contacts }),
    headers: [["Expires", String(expiresS)]],
  });
  // Within the body, credentials cover what is claimed (auth-int), since they cannot cover themselves.
  const covered = claim.kind === "request" ? claim.request : Buffer.alloc(0);
  const base = profile === "private" ? authorized(withBody(bare, covered)) : bare;
  const { request, firstKey } = await sealRegister(withBody(base, Buffer.alloc(0)), {
    recipient: { kind: "certificate", certificate: office.certificate(CONTROLLER) },
    controller: CONTROLLER,
    ...asked,
    claim,
  });
  const changed = change(request);
  return { request: profile === "private" ? changed : authorized(changed), firstKey };
}

/** A claim by PKCS#10. */
export async function requestFor(
  aor: string,
  keys: KeyPair,
): Promise<{ readonly kind: "request"; readonly request: Buffer }> {
  return { kind: "request", request: await createCertificationRequest({ aor, ...keys }) };
}

/** What the sealed answer holds. */
export function openAnswer({ response, firstKey }: Answered, identity?: Identity) {
  assert.equal(response.status, 200, response.reason);
  return openRegistrationAnswer({
    body: response.body,
    contentType: headerValue(response, "Content-Type") ?? "",
    holders: { firstKey, ...(identity === undefined ? {} : { identity }) },
  });
}

export interface Question {
  /** Whose certificate is asked for. */
  readonly target: string;
  /** Who signs; nobody: an OPTIONS without a body. */
  readonly signer?: Identity;
  readonly dateMs?: number;
  /** Changes the rows that are signed. */
  readonly rows?: (rows: SipfragRows) => SipfragRows;
  readonly startLine?: string;
  readonly accept?: string;
}

/** Asks by OPTIONS for a certificate, the challenge met; resolves with the final response. */
export async function ask(office: Office, phone: Phone, question: Question): Promise<SipResponse> {
  const { target, accept = QUERY_ACCEPT } = question;
  const make = async (): Promise<SipRequest> => {
    const request = phone.newRequest("OPTIONS", target, [
      ["Contact", phone.contact],
      ["Date", serializeSipDate(question.dateMs ?? Date.now())],
      ["Accept", accept],
    ]);
    return question.signer === undefined
      ? request
      : signedQuestion(office, request, { ...question, signer: question.signer });
  };
  const first = await make();
  const challenge = await phone.exchange(first);
  if (challenge.status !== 407) return challenge;
  return phone.exchange(phone.authorized(await make(), challenge));
}

async function signedQuestion(
  office: Office,
  request: SipRequest,
  { signer, rows, startLine = `OPTIONS ${request.uri} SIP/2.0` }: Question & { signer: Identity },
): Promise<SipRequest> {
  const own: SipfragRows = ["From", "To", "Call-ID", "CSeq", "Date"].map(
    (name) => [name, headerValue(request, name) ?? ""] as const,
  );
  const { body, contentType } = await signQuery({
    ...{ startLine, rows: rows?.(own) ?? own, signer, random: randomBytes },
    chain: [office.certificate("issuer")],
  });
  return withBody(appendHeader(request, "Content-Type", contentType), body);
}

/** What a signed answer holds. @throws AssertionError for another response */
export function readAnswer(response: SipResponse) {
  assert.equal(response.status, 200, `${response.status} ${headerValue(response, "Warning")}`);
  const contentType = headerValue(response, "Content-Type") ?? "";
  return verifyQueryAnswer({ body: response.body, contentType });
}

/** Registers a phone of the user's with new keys; its identity from then on, and what it was told. */
export async function equip(
  office: Office,
  phone: Phone,
  asked: Asked = {},
  keys = newKeys(),
): Promise<{ readonly identity: Identity; readonly answered: Answered; readonly keys: KeyPair }> {
  const claim = await requestFor(phone.aor, keys);
  const answered = await register(office, phone, { ...asked, claim });
  const { certificate } = await openAnswer(answered);
  assert.ok(certificate !== undefined, "no certificate came");
  const identity = { certificate: certificate.encoded, privateKey: keys.privateKey };
  return { identity, answered, keys };
}
