/**
 * Two domains with separate roots, two controllers, phones in both: certificates that live as long
 * as the registration, and questions for them across domains (rows C2 to C7 of what must work; C1,
 * what passes the wire, is in certificates-wire.test.ts).
 */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { LabProcess } from "../../lab/lab-process.ts";
import { runKeyhole } from "../../lab/site.ts";
import { aorOf, openTwoDomains, type TwoDomains } from "../../lab/two-domains.ts";
import {
  asked,
  certificateOf,
  keptCertificate,
  registered,
  registering,
  stored,
  WAIT_MS,
} from "./certificate-phones.ts";

let domains: TwoDomains;
let biloxi: LabProcess;

before(async () => {
  domains = openTwoDomains();
  [, biloxi] = await Promise.all([
    domains.startController("atlanta"),
    domains.startController("biloxi"),
  ]);
});
after(() => domains?.close());

const listed = (domain: "atlanta" | "biloxi"): string =>
  runKeyhole(["ca", "list", "--database", join(domains.folder(domain), "authority.sqlite")]);

test("C2: the certificate is for the user's own address and ends when the registration does", async () => {
  const { phone, event } = await registered(domains, "alice");
  const shown = certificateOf(event);
  assert.equal(shown["notAfter"], event["expiresAt"]);
  const certificate = keptCertificate(domains, "alice");
  assert.equal(certificate.subjectAltName, `URI:${aorOf("alice")}`);
  assert.equal(certificate.validToDate.getTime(), event["expiresAt"]);
  assert.equal(certificate.ca, false);
  assert.ok(listed("atlanta").toLowerCase().includes(String(shown["serial"]).toLowerCase()));
  await phone.stop();
});

test("C3: the phone keeps key, certificate, location and expiry in one file of its owner's", async () => {
  const { phone } = await registered(domains, "alice");
  const file = join(domains.phoneFolder("alice"), "alice.json");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const text = stored(domains, "alice");
  for (const name of ["key", "certificate", "contact", "expires"])
    assert.match(text, new RegExp(name, "i"), name);
  await phone.stop();
});

test("C4: a certificate that the phone has is registered, and handed out until the registration ends", async () => {
  const own = { certificate: "dave.pem", key: "dave.key" };
  const existing = new X509Certificate(
    readFileSync(join(domains.phoneFolder("dave"), own.certificate)),
  );
  const { phone, event } = await registered(domains, "dave", { identity: own }, ["--certificate"]);
  const { phone: alice } = await registered(domains, "alice");
  const answer = await asked(domains, "alice", aorOf("dave"));
  assert.equal(answer["fingerprint"], existing.fingerprint256.replaceAll(":", "").toLowerCase());
  assert.ok(Number(event["expiresAt"]) < existing.validToDate.getTime());
  await phone.stop();
  assert.equal((await asked(domains, "alice", aorOf("dave")))["status"], 480);
  await alice.stop();
});

test("C5: a refresh keeps the key and has a new serial; a stopped phone takes both out", async () => {
  const short = registering("alice", { expiresS: 6 });
  const { phone, event } = await registered(domains, "alice", short);
  const second = await phone.event(
    { event: "registered" },
    WAIT_MS,
    phone.lines.findIndex((line) => line.includes('"registered"')) + 1,
  );
  assert.notEqual(certificateOf(second)["serial"], certificateOf(event)["serial"]);
  const { phone: bob } = await registered(domains, "bob");
  assert.equal((await asked(domains, "bob", aorOf("alice")))["event"], "certificate");
  await phone.stop();
  assert.equal((await asked(domains, "bob", aorOf("alice")))["status"], 480);
  await bob.stop();
});

test("C5: a phone that goes away without a word is out of service when its time is over", async () => {
  const short = registering("alice", { profile: "private", expiresS: 10 });
  const alice = domains.device("alice", ["register", "--once"], short);
  const event = await alice.event({ event: "registered" }, WAIT_MS);
  const end = Number(event["expiresAt"]);
  assert.equal(certificateOf(event)["notAfter"], end);
  const { phone: bob } = await registered(domains, "bob");
  assert.equal((await asked(domains, "bob", aorOf("alice")))["event"], "certificate");
  await new Promise((resolve) => setTimeout(resolve, end - Date.now()));
  assert.equal((await asked(domains, "bob", aorOf("alice")))["status"], 480);
  await bob.stop();
});

test("C6, C7: asked across domains, each learns the other's certificate and its end", async () => {
  const [alice, bob] = await Promise.all([
    registered(domains, "alice"),
    registered(domains, "bob"),
  ]);
  for (const [asker, target, event] of [
    ["bob", "alice", alice.event],
    ["alice", "bob", bob.event],
  ] as const) {
    const answer = await asked(domains, asker, aorOf(target));
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
    bob = (await registered(domains, "bob")).phone;
    alice = (await registered(domains, "alice")).phone;
  });
  after(async () => {
    await bob?.stop();
    await alice?.stop();
  });

  test("a user that there is not: 404", async () => {
    const answer = await asked(domains, "bob", "sip:nobody@atlanta.example.com");
    assert.equal(answer["event"], "no-certificate");
    assert.equal(answer["status"], 404);
  });

  test("a user with no certificate in service: 480", async () => {
    const answer = await asked(domains, "bob", aorOf("carol"));
    assert.equal(answer["status"], 480);
  });

  test("a domain that nobody routes to", async () => {
    const answer = await asked(domains, "bob", "sip:someone@elsewhere.example.com");
    assert.equal(answer["event"], "no-certificate");
    assert.ok([403, 404].includes(Number(answer["status"])), JSON.stringify(answer));
  });

  test("a domain that is not reached: 408 or 503, and no certificate", async () => {
    await biloxi.stop();
    const answer = await asked(domains, "alice", aorOf("bob"));
    assert.equal(answer["event"], "no-certificate");
    assert.ok([408, 500, 503].includes(Number(answer["status"])), JSON.stringify(answer));
    biloxi = await domains.startController("biloxi");
  });
});
