/**
 * The controller as a process with an authority and no gateway: registrations sealed by hand come in
 * over TLS, certificates go out, are asked for, and leave service.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { holdConnection, type SipPeer } from "../../lab/sip-peer.ts";
import { signQuery, verifyQueryAnswer } from "../../protocol/body/certificate-query.ts";
import { openRegistrationAnswer } from "../../protocol/body/registration-answer.ts";
import { sealRegistration } from "../../protocol/body/registration-body.ts";
import type { SipfragRows } from "../../protocol/body/sipfrag.ts";
import { createCertificationRequest } from "../../protocol/pki/certification-request.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { Secret } from "../../protocol/secret.ts";
import { createRequest, newBranch } from "../../protocol/sip/create-request.ts";
import { parseSipDate, serializeSipDate } from "../../protocol/sip/date.ts";
import { DigestClient } from "../../protocol/sip/digest-client.ts";
import { headerValue, type SipRequest, type SipResponse } from "../../protocol/sip/message.ts";
import { AuthorityDatabase } from "../../runtime/authority-database.ts";
import {
  ALICE,
  AUTHORITY_CONFIG,
  AuthorityFiles,
  DOMAIN,
  NAME,
} from "../unit/controller/authority-files.ts";
import {
  freePort,
  handOver,
  IDENTITY_TEXT,
  type RunningProgram,
  startController,
  until,
} from "./controller-harness.ts";

const PASSWORD = "swordfish";
const BOB = `sip:bob@${DOMAIN}`;
const GRANTED_S = 600;
let files: AuthorityFiles;
let controller: RunningProgram;
let port: number;
let alice: Phone;
let bob: Phone;

before(async () => {
  files = new AuthorityFiles();
  port = await freePort();
  const ha1 = createHash("sha256").update(`alice:${DOMAIN}:${PASSWORD}`).digest("hex");
  files.write("alice.ha1", ha1);
  files.makeUser("bob", "issuer", BOB);
  const users = `[[user]]\naor = "${BOB}"\n`;
  const text = AUTHORITY_CONFIG.replace("port = 5061", `port = ${port}`)
    .replace('"state.sqlite"', '"kept/state.sqlite"')
    .replace('"authority.sqlite"', '"kept/authority.sqlite"')
    .replace('"issuer.crl"', '"kept/issuer.crl"')
    .replace('sharedKey = "alice.shared"', 'ha1 = "alice.ha1"')
    .replace("[tls]", `${users}${IDENTITY_TEXT}\n[log]\nlevel = "debug"\n[tls]`);
  files.write("controller.toml", text);
  mkdirSync(join(files.path, "kept"));
  handOver(files.path);
  controller = await start();
  alice = await Phone.connect();
  bob = await Phone.connect("bob");
});

after(async () => {
  alice?.close();
  bob?.close();
  await controller?.stop();
  files?.remove();
});

const start = (): Promise<RunningProgram> =>
  startController({ configFile: join(files.path, "controller.toml") });

interface Exchange {
  readonly request: SipRequest;
  readonly response: SipResponse;
}

/** A connection by TLS, and requests on it. */
class Phone {
  readonly #peer: SipPeer;
  readonly #port: number;
  readonly #callId = randomBytes(8).toString("hex");
  readonly #digest = new DigestClient({
    username: "alice",
    password: new Secret(Buffer.from(PASSWORD)),
    random: randomBytes,
  });
  #cseq = 0;

  private constructor(peer: SipPeer, localPort: number) {
    this.#peer = peer;
    this.#port = localPort;
  }

  /** @param name Whose certificate it shows; none if absent. */
  static async connect(name?: string): Promise<Phone> {
    const own =
      name === undefined ? {} : { cert: files.read(`${name}.pem`), key: files.read(`${name}.key`) };
    const socket = tlsConnect({
      ...{ host: "127.0.0.1", port, ca: files.read("root.pem"), servername: NAME },
      ...own,
    });
    await new Promise<void>((done, fail) => {
      socket.once("secureConnect", done);
      socket.once("error", fail);
    });
    return new Phone(holdConnection(socket), socket.localPort ?? 0);
  }

  get contact(): string {
    return `<sip:alice@127.0.0.1:${this.#port};transport=tls>`;
  }

  close(): void {
    this.#peer.close();
  }

  request(
    method: string,
    { uri, aor, to }: { readonly uri: string; readonly aor: string; readonly to: string },
    headers: readonly (readonly [name: string, value: string])[],
  ): SipRequest {
    this.#cseq += 1;
    const sentBy = { host: "127.0.0.1", port: this.#port };
    return createRequest({
      ...{ method, uri, headers, callId: this.#callId, cseq: this.#cseq },
      via: {
        transport: "TLS",
        ...sentBy,
        params: [{ name: "branch", value: newBranch(randomBytes) }],
      },
      from: { uri: aor, params: [{ name: "tag", value: randomBytes(4).toString("hex") }] },
      to: { uri: to, params: [] },
    });
  }

  async send(request: SipRequest): Promise<Exchange> {
    const sent = this.#digest.authorize(request);
    this.#peer.send(sent);
    const response = await this.#peer.final(sent);
    return { request: sent, response };
  }

  /** Sends what `make` makes, again after a challenge. */
  async exchange(make: () => Promise<SipRequest>): Promise<Exchange> {
    const first = await this.send(await make());
    if (first.response.status !== 401) return first;
    assert.equal(this.#digest.challenged(first.request, first.response), "again");
    return this.send(await make());
  }
}

/** The rows of a message that its body says again. */
const rowsOf = (request: SipRequest, names: readonly string[]): SipfragRows =>
  names.map((name) => [name, headerValue(request, name) ?? ""] as const);

const INNER = ["From", "To", "Call-ID", "CSeq", "Contact", "Expires"];

interface Wanted {
  readonly certificationRequest?: Buffer;
  readonly expiresS?: number;
  readonly change?: (request: SipRequest) => SipRequest;
}

/** Registers alice with a sealed body; resolves with the response and what opens it. */
async function register({ certificationRequest, expiresS = GRANTED_S, change }: Wanted) {
  let firstKey: Awaited<ReturnType<typeof sealRegistration>>["firstKey"] | undefined;
  const cid = `reg@${DOMAIN}`;
  const make = async (): Promise<SipRequest> => {
    const headers = [
      ["Contact", alice.contact],
      ["Expires", String(expiresS)],
      ["Proxy-Inspect-Body", `${NAME};cid="${cid}"`],
      ["Content-ID", `<${cid}>`],
    ] as const;
    const request = alice.request(
      "REGISTER",
      { uri: `sip:${DOMAIN}`, aor: ALICE, to: ALICE },
      headers,
    );
    const rows = [...rowsOf(request, INNER), ["Date", serializeSipDate(Date.now())] as const];
    const sealed = await sealRegistration({
      rows,
      claim:
        certificationRequest === undefined
          ? { kind: "none" }
          : { kind: "request", request: certificationRequest },
      recipient: { kind: "certificate", certificate: files.der("ss1") },
      random: randomBytes,
    });
    firstKey = sealed.firstKey;
    const typed = { name: "Content-Type", value: sealed.contentType };
    const whole = { ...request, headers: [...request.headers, typed], body: sealed.body };
    return change === undefined ? whole : change(whole);
  };
  const exchange = await alice.exchange(make);
  assert.ok(firstKey !== undefined);
  return { ...exchange, firstKey };
}

/** Asks for the certificates of a user, as bob. */
async function ask(user: string, signer: Identity = files.identity("bob")): Promise<SipResponse> {
  const headers = [
    ["Date", serializeSipDate(Date.now())],
    ["Accept", "application/pkix-cert, multipart/signed, multipart/mixed, message/sipfrag"],
  ] as const;
  const request = bob.request("OPTIONS", { uri: user, aor: BOB, to: user }, headers);
  const rows = rowsOf(request, ["From", "To", "Call-ID", "CSeq", "Date"]);
  const signed = await signQuery({
    ...{ startLine: `OPTIONS ${user} SIP/2.0`, rows, signer, random: randomBytes },
    chain: [files.der("issuer")],
  });
  const typed = { name: "Content-Type", value: signed.contentType };
  const whole = { ...request, headers: [...request.headers, typed], body: signed.body };
  return (await bob.send(whole)).response;
}

const contentOf = (response: SipResponse) => ({
  body: response.body,
  contentType: headerValue(response, "Content-Type") ?? "",
});

async function newClaim(aor = ALICE): Promise<Buffer> {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return createCertificationRequest({ aor, ...keys });
}

test("a sealed registration is answered by a certificate that ends when it does", async () => {
  const { response, firstKey } = await register({ certificationRequest: await newClaim() });
  assert.equal(response.status, 200, JSON.stringify(response.headers));
  const answer = await openRegistrationAnswer({ ...contentOf(response), holders: { firstKey } });
  const { certificate } = answer;
  assert.ok(certificate !== undefined);
  const date = headerValue(response, "Date") ?? "";
  assert.equal(certificate.notAfter, parseSipDate(date) + GRANTED_S * 1000);
  assert.deepEqual(certificate.uris, [ALICE]);
  assert.ok(answer.rows.some(([name, value]) => name === "Date" && value === date));
  assert.deepEqual(answer.signer.encoded, files.der("ss1"));
  assert.deepEqual(
    answer.trust.map(({ domain }) => domain),
    [DOMAIN, "biloxi.example.com"],
  );
  files.write("alice.pem", new X509Certificate(certificate.encoded).toString());
  const chain = ["-CAfile", "root.pem", "-untrusted", "issuer.pem", "alice.pem"];
  const verified = spawnSync("openssl", ["verify", "-x509_strict", ...chain], { cwd: files.path });
  assert.equal(verified.status, 0, String(verified.stderr));
});

test("whoever asks gets that certificate, signed, with its end", async () => {
  const response = await ask(ALICE);
  assert.equal(response.status, 200, JSON.stringify(response.headers));
  const answer = await verifyQueryAnswer(contentOf(response));
  const expected = new X509Certificate(files.read("alice.pem")).raw;
  assert.deepEqual(
    answer.certificates.map(({ encoded }) => encoded),
    [expected],
  );
  assert.deepEqual(answer.signer.encoded, files.der("ss1"));
  const expires = Number(answer.rows.find(([name]) => name === "Expires")?.[1]);
  assert.ok(expires > 0 && expires <= GRANTED_S, String(expires));
  assert.ok(!answer.rows.some(([name]) => name === "Contact"), "nobody is told where");
});

test("users without a certificate, and strangers, have none", async () => {
  assert.equal((await ask(BOB)).status, 480);
  assert.equal((await ask(`sip:eve@${DOMAIN}`)).status, 404);
});

test("registrations and certificates outlive a restart", async () => {
  await controller.signal("SIGKILL");
  alice.close();
  bob.close();
  controller = await start();
  alice = await Phone.connect();
  bob = await Phone.connect("bob");
  const answer = await verifyQueryAnswer(contentOf(await ask(ALICE)));
  const expected = new X509Certificate(files.read("alice.pem")).raw;
  assert.deepEqual(
    answer.certificates.map(({ encoded }) => encoded),
    [expected],
  );
});

test("another's name, and a body that was changed, are refused and change nothing", async () => {
  const other = await register({ certificationRequest: await newClaim(BOB) });
  assert.equal(other.response.status, 403);
  const change = (request: SipRequest): SipRequest => ({
    ...request,
    body: Buffer.concat([request.body.subarray(0, -1), Buffer.of((request.body.at(-1) ?? 0) ^ 1)]),
  });
  const changed = await register({ certificationRequest: await newClaim(), change });
  assert.equal(changed.response.status, 493);
  assert.equal((await ask(ALICE)).status, 200);
});

test("a revocation by another process takes the certificate out of service at once", async () => {
  const database = AuthorityDatabase.open(join(files.path, "kept/authority.sqlite"));
  database.revoke({ kind: "aor", aor: ALICE }, { at: Date.now(), reason: "keyCompromise" });
  assert.equal((await ask(ALICE)).status, 480);
  database.close();
});

test("a registration that is taken away takes its certificate along", async () => {
  const certificationRequest = await newClaim();
  assert.equal((await register({ certificationRequest })).response.status, 200);
  assert.equal((await ask(ALICE)).status, 200);
  assert.equal((await register({ expiresS: 0 })).response.status, 200);
  assert.equal((await ask(ALICE)).status, 480);
});

test("SIGHUP takes other users; an authority neither comes nor goes by it", async () => {
  const file = "controller.toml";
  const text = files.read(file);
  files.write(file, text.replace(/\[authority\].*/s, "").replace(/\[body\][^[]+\[[^[]+/, ""));
  controller.hangUp();
  await until(() => controller.hasLogged("an authority comes or goes only at a start"));
  files.write(file, text.replace(`[[user]]\naor = "${BOB}"\n`, ""));
  controller.hangUp();
  await until(() => controller.hasLogged("configuration read again"));
  assert.equal((await ask(ALICE)).status, 403);
});

test("the log holds neither names nor keys", () => {
  const log = controller.lines.join("\n");
  for (const word of ["alice@", "bob@", PASSWORD, "BEGIN"]) assert.ok(!log.includes(word), word);
});
