/**
 * Two domains with separate roots, two controllers, phones in both: certificates that live as long
 * as the registration, and questions for them across domains (rows C1 to C7 of what must work).
 */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { DOMAINS, phoneRegistration, SIP_PORT, SIPS_PORT } from "../../lab/domain-config.ts";
import { openInnerSockets } from "../../lab/inner-sockets.ts";
import type { JsonObject, LabProcess } from "../../lab/lab-process.ts";
import { readSignalling } from "../../lab/signalling.ts";
import { holdConnection } from "../../lab/sip-peer.ts";
import { runKeyhole } from "../../lab/site.ts";
import type { Config } from "../../lab/site-config.ts";
import type { TcpStream } from "../../lab/tcp-streams.ts";
import {
  aorOf,
  domainOf,
  openTwoDomains,
  runDevice,
  type TwoDomains,
} from "../../lab/two-domains.ts";

import { startWireTap } from "../../lab/wire-tap.ts";
import { decodeMessage } from "../../protocol/cms/message.ts";
import { encodeCertificatePem } from "../../protocol/pki/certificate.ts";
import { issueCertificate } from "../../protocol/pki/issue-certificate.ts";
import { createRequest, newBranch, ownVia } from "../../protocol/sip/create-request.ts";
import { headerValue, type SipMessage, type SipRequest } from "../../protocol/sip/message.ts";
import { serializeMessage } from "../../protocol/sip/serialize-message.ts";

const WAIT_MS = 20_000;
const PROTECTIONS = ["certificate", "shared-key", "password"] as const;
const PROFILES = ["open", "private"] as const;
const RECIPIENT_KINDS = {
  certificate: "key-agree",
  "shared-key": "kek",
  password: "password",
} as const;
/** The hop from a phone to its controller, where anybody may listen. */
const IN_CLEAR = { transport: "tcp", address: DOMAINS.atlanta.inside, port: SIP_PORT } as const;

let domains: TwoDomains;
let atlanta: LabProcess;
let biloxi: LabProcess;

before(async () => {
  domains = openTwoDomains();
  [atlanta, biloxi] = await Promise.all([
    domains.startController("atlanta"),
    domains.startController("biloxi"),
  ]);
});
after(() => domains?.close());

/** The tables of a phone's file that say how it registers. */
const registering = (user: string, more: Config): Config => ({
  registration: phoneRegistration(domainOf(user), user, more),
});

interface Registered {
  readonly phone: LabProcess;
  readonly event: JsonObject;
}

/** Starts a phone that stays registered. */
const registered = (user: string, more: Config = {}): Promise<Registered> =>
  registeredWith(user, [], more);

async function registeredWith(
  user: string,
  options: readonly string[],
  more: Config,
): Promise<Registered> {
  const phone = domains.device(user, ["register", ...options], more);
  return { phone, event: await phone.event({ event: "registered" }, WAIT_MS) };
}

/** What one phone hears of another user's certificate. */
async function asked(user: string, target: string): Promise<JsonObject> {
  const { events, tail } = await runDevice(domains, user, ["certificate", target]);
  const found = events.find(({ event }) => event === "certificate" || event === "no-certificate");
  assert.ok(found !== undefined, tail);
  return found;
}

const certificateOf = (event: JsonObject): JsonObject => event["certificate"] as JsonObject;

/** Runs something while the link of atlanta's phones is listened to. */
async function tapped<T>(run: () => Promise<T>): Promise<{
  readonly messages: readonly SipMessage[];
  readonly streams: readonly TcpStream[];
  readonly result: T;
}> {
  const tap = await startWireTap(domains.network, "alice", join(domains.directory, "alice.pcap"));
  try {
    const result = await run();
    const streams = await tap.stop();
    return { messages: readSignalling(streams).map(({ message }) => message), streams, result };
  } catch (error) {
    await tap.stop();
    throw error;
  }
}

const isSealedRegister = (message: SipMessage): message is SipRequest =>
  message.kind === "request" && message.method === "REGISTER" && message.body.length > 0;

function recipientsOf(body: Buffer): readonly string[] {
  const message = decodeMessage(body);
  return message.kind === "encrypted" ? [] : message.recipients.map(({ kind }) => kind);
}

/** SubjectPublicKeyInfo of the certificate that a phone keeps. */
const publicKeyOf = (user: string): Buffer =>
  keptCertificate(user).publicKey.export({ format: "der", type: "spki" });

/** What a phone keeps. */
const stored = (user: string): string =>
  readFileSync(join(domains.phoneFolder(user), `${user}.json`), "utf8");

function keptCertificate(user: string): X509Certificate {
  const { certificate } = JSON.parse(stored(user)) as { readonly certificate: string };
  return new X509Certificate(
    certificate.includes("BEGIN") ? certificate : Buffer.from(certificate, "base64"),
  );
}

const listed = (domain: "atlanta" | "biloxi"): string =>
  runKeyhole(["ca", "list", "--database", join(domains.folder(domain), "authority.sqlite")]);

describe("C1: one sealed part holds location, expiry, credentials and request", () => {
  for (const protection of PROTECTIONS)
    for (const profile of PROFILES)
      test(`sealed by ${protection}, profile ${profile}`, async () => {
        const store = `carol-${protection}-${profile}.json`;
        const sharedKey = protection === "shared-key" ? { sharedKey: "carol.sharedkey" } : {};
        const { messages, result } = await tapped(async () => {
          const { phone, event } = await registered("carol", {
            ...registering("carol", { protection, profile, store, ...sharedKey }),
            outbound: IN_CLEAR,
          });
          await phone.stop();
          return event;
        });
        assert.ok(certificateOf(result) !== undefined);
        const kinds = messages.filter(isSealedRegister).flatMap(({ body }) => recipientsOf(body));
        assert.ok(kinds.length > 0);
        for (const kind of kinds) assert.equal(kind, RECIPIENT_KINDS[protection]);
      });
});

test("C2: the certificate is for the user's own address and ends when the registration does", async () => {
  const { phone, event } = await registered("alice");
  const shown = certificateOf(event);
  assert.equal(shown["notAfter"], event["expiresAt"]);
  const certificate = keptCertificate("alice");
  assert.equal(certificate.subjectAltName, `URI:${aorOf("alice")}`);
  assert.equal(certificate.validToDate.getTime(), event["expiresAt"]);
  assert.equal(certificate.ca, false);
  assert.ok(listed("atlanta").toLowerCase().includes(String(shown["serial"]).toLowerCase()));
  await phone.stop();
});

test("C3: the phone keeps key, certificate, location and expiry in one file of its owner's", async () => {
  const { phone } = await registered("alice");
  const file = join(domains.phoneFolder("alice"), "alice.json");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const text = stored("alice");
  for (const name of ["key", "certificate", "contact", "expires"])
    assert.match(text, new RegExp(name, "i"), name);
  await phone.stop();
});

test("C4: a certificate that the phone has is registered, and handed out until the registration ends", async () => {
  const own = { certificate: "dave.pem", key: "dave.key" };
  const existing = new X509Certificate(
    readFileSync(join(domains.phoneFolder("dave"), own.certificate)),
  );
  const { phone, event } = await registeredWith("dave", ["--certificate"], { identity: own });
  const { phone: alice } = await registered("alice");
  const answer = await asked("alice", aorOf("dave"));
  assert.equal(answer["fingerprint"], existing.fingerprint256.replaceAll(":", "").toLowerCase());
  assert.ok(Number(event["expiresAt"]) < existing.validToDate.getTime());
  await phone.stop();
  assert.equal((await asked("alice", aorOf("dave")))["status"], 480);
  await alice.stop();
});

test("C5: a refresh keeps the key and has a new serial; a stopped phone takes both out", async () => {
  const short = registering("alice", { expiresS: 6 });
  const { phone, event } = await registered("alice", short);
  const second = await phone.event(
    { event: "registered" },
    WAIT_MS,
    phone.lines.findIndex((line) => line.includes('"registered"')) + 1,
  );
  assert.notEqual(certificateOf(second)["serial"], certificateOf(event)["serial"]);
  const { phone: bob } = await registered("bob");
  assert.equal((await asked("bob", aorOf("alice")))["event"], "certificate");
  await phone.stop();
  assert.equal((await asked("bob", aorOf("alice")))["status"], 480);
  await bob.stop();
});

test("C6, C7: asked across domains, each learns the other's certificate and its end", async () => {
  const [alice, bob] = await Promise.all([registered("alice"), registered("bob")]);
  for (const [asker, target, event] of [
    ["bob", "alice", alice.event],
    ["alice", "bob", bob.event],
  ] as const) {
    const answer = await asked(asker, aorOf(target));
    assert.equal(answer["event"], "certificate", JSON.stringify(answer));
    const shown = certificateOf(event);
    assert.equal(answer["fingerprint"], shown["fingerprint"]);
    assert.equal(answer["notAfter"], event["expiresAt"]);
  }
  await Promise.all([alice.phone.stop(), bob.phone.stop()]);
});

describe("C7: what there is not is an error, passed back across domains", () => {
  let bob: LabProcess;
  let alice: LabProcess;
  before(async () => {
    bob = (await registered("bob")).phone;
    alice = (await registered("alice")).phone;
  });
  after(async () => {
    await bob?.stop();
    await alice?.stop();
  });

  test("a user that there is not: 404", async () => {
    const answer = await asked("bob", "sip:nobody@atlanta.example.com");
    assert.equal(answer["event"], "no-certificate");
    assert.equal(answer["status"], 404);
  });

  test("a user with no certificate in service: 480", async () => {
    const answer = await asked("bob", aorOf("carol"));
    assert.equal(answer["status"], 480);
  });

  test("a domain that nobody routes to", async () => {
    const answer = await asked("bob", "sip:someone@elsewhere.example.com");
    assert.equal(answer["event"], "no-certificate");
    assert.ok([403, 404].includes(Number(answer["status"])), JSON.stringify(answer));
  });

  test("a domain that is not reached: 408 or 503, and no certificate", async () => {
    await biloxi.stop();
    const answer = await asked("alice", aorOf("bob"));
    assert.equal(answer["event"], "no-certificate");
    assert.ok([408, 500, 503].includes(Number(answer["status"])), JSON.stringify(answer));
    biloxi = await domains.startController("biloxi");
  });
});

test("what a private phone sends in clear tells neither location nor credentials nor request", async () => {
  const more = { ...registering("alice", { profile: "private" }), outbound: IN_CLEAR };
  const { messages, streams, result } = await tapped(async () => {
    const { phone, event } = await registered("alice", more);
    const key = publicKeyOf("alice");
    await runDevice(domains, "alice", ["certificate", aorOf("alice")], more);
    await phone.stop();
    return { contact: String(event["contact"]).replace(/^<|>.*$/g, ""), key };
  });
  const isRegister = (message: SipMessage): boolean =>
    /REGISTER$/.test(headerValue(message, "CSeq") ?? "");
  const [registers, others] = [messages.filter(isRegister), messages.filter((m) => !isRegister(m))];
  assert.ok(registers.length >= 2 && others.length >= 2);
  const octetsOf = (all: readonly SipMessage[]): Buffer =>
    Buffer.concat(all.map((message) => serializeMessage(message)));
  assert.equal(octetsOf(registers).includes(result.contact), false, "the location");
  assert.equal(octetsOf(registers).includes("nonce-count"), false);
  for (const message of registers.filter(({ kind }) => kind === "request"))
    for (const name of ["Contact", "Expires", "Authorization"])
      assert.equal(headerValue(message, name), undefined, name);
  assert.equal(octetsOf(registers).includes(result.key), false, "the request, the certificate");
  assert.equal(octetsOf(others).includes(result.key), true, "the search would find it");
  assert.ok(streams.every(({ octets }) => !octets.includes("CERTIFICATE REQUEST")));
});

test("with an open profile the search finds the location", async () => {
  const more = { ...registering("alice", { profile: "open" }), outbound: IN_CLEAR };
  const { messages, result } = await tapped(async () => {
    const { phone, event } = await registered("alice", more);
    await phone.stop();
    return String(event["contact"]).replace(/^<|>.*$/g, "");
  });
  assert.ok(messages.some((message) => serializeMessage(message).includes(result)));
});

describe("an authority speaks for its own domain alone", () => {
  /** Says REGISTER by TLS from alice's host, showing this certificate and no password. */
  async function registerShowing(user: string, issuer: "atlanta" | "biloxi"): Promise<number> {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const read = (name: string): Buffer => readFileSync(join(domains.folder(issuer), name));
    const now = Date.now();
    const certificate = await issueCertificate(
      {
        ...{ commonName: user, publicKey, profile: "user", serialNumber: randomBytes(16) },
        alternativeNames: [{ kind: "uri", uri: aorOf(user) }],
        notBefore: new Date(now - 60_000),
        notAfter: new Date(now + 60_000),
      },
      {
        certificate: new X509Certificate(read("ca.pem")).raw,
        privateKey: createPrivateKey(read("ca.key")),
      },
    );
    const { inside, controller, name } = DOMAINS.atlanta;
    const sockets = await openInnerSockets(domains.network, "alice");
    try {
      const secured = tlsConnect({
        socket: await sockets.connect({ address: inside, port: SIPS_PORT }),
        ca: readFileSync(join(domains.folder("atlanta"), "ca.pem")),
        servername: controller,
        cert: encodeCertificatePem(certificate),
        key: privateKey.export({ format: "pem", type: "pkcs8" }),
      });
      await once(secured, "secureConnect");
      const peer = holdConnection(secured);
      const request = createRequest({
        ...{ method: "REGISTER", uri: `sip:${name}`, callId: randomBytes(8).toString("hex") },
        via: ownVia("tls", inside, SIPS_PORT, newBranch(randomBytes)),
        from: { uri: aorOf(user), params: [{ name: "tag", value: "showing" }] },
        to: { uri: aorOf(user), params: [] },
        cseq: 1,
      });
      peer.send(request);
      const { status } = await peer.final(request, WAIT_MS);
      peer.close();
      return status;
    } finally {
      await sockets.close();
    }
  }

  test("our own names our user: known without a password", async () => {
    assert.equal(await registerShowing("alice", "atlanta"), 200);
  });

  test("the other domain's names our user: it proves nothing", async () => {
    const status = await registerShowing("alice", "biloxi");
    assert.ok([401, 403].includes(status), `${status}`);
  });

  test("a controller that is not certified for its domain gets no question", async () => {
    const { controller, name } = DOMAINS.biloxi;
    const strangers = join(domains.directory, "strangers");
    runKeyhole(
      ["ca", "init", "--out", strangers, "--domain", name].concat("--controller", controller),
    );
    const trusted = join(domains.folder("atlanta"), `${name}-ca.pem`);
    const before = readFileSync(trusted);
    try {
      writeFileSync(trusted, readFileSync(join(strangers, "ca.pem")));
      await atlanta.stop();
      atlanta = await domains.startController("atlanta");
      const [{ phone: alice }, { phone: bob }] = [
        await registered("alice"),
        await registered("bob"),
      ];
      const answer = await asked("alice", aorOf("bob"));
      assert.equal(answer["event"], "no-certificate", JSON.stringify(answer));
      await Promise.all([alice.stop(), bob.stop()]);
    } finally {
      writeFileSync(trusted, before);
    }
  });
});
