/** Sealed registrations that go well (RFC 3261 §10.3): location and certificate begin and end together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { headerValue, headerValues } from "../../../protocol/sip/message.ts";
import { ALICE, NOW } from "./call-fixture.ts";
import {
  asked,
  CertificateDriver,
  certificateClaim,
  innerRows,
  PHONE_CONTACT,
  requestClaim,
  sealedRegister,
  storedBy,
} from "./certificate-fixture.ts";
import { FROM_ALICE, peerWith, responsesOf, statusOf } from "./proxy-fixture.ts";

const EXPIRES_MS = 60_000;

test("open profile: nothing is bound before the certificate is there, and then both are", () => {
  const driver = new CertificateDriver();
  driver.now += 700;
  const request = sealedRegister({ expires: 60, callId: "c9", cseq: 4 });
  const opening = asked(driver.receive(request), "open-registration");
  assert.deepEqual([opening.aor, opening.labelled, opening.source], [ALICE, false, "10.10.0.2"]);
  const judged = driver.feed({
    kind: "registration-opened",
    ref: opening.ref,
    outcome: driver.opened(request),
  });
  assert.deepEqual(
    judged.map(({ kind }) => kind),
    ["certify"],
  );
  const order = asked(judged, "certify");
  assert.equal(order.aor, ALICE);
  assert.equal(order.notBefore, NOW - 300_000);
  assert.equal(order.notAfter, NOW + EXPIRES_MS);
  assert.deepEqual(order.rows, [
    ["Call-ID", "c9"],
    ["CSeq", "4 REGISTER"],
    ["Date", "Sun, 22 Nov 2026 12:00:00 GMT"],
    ["Contact", `${PHONE_CONTACT};expires=60`],
    ["Expires", "60"],
  ]);
  assert.deepEqual(driver.contacts(), []);
  const done = driver.certify(order);
  assert.deepEqual(
    done.map(({ kind }) => kind),
    ["store-bindings", "transaction"],
  );
  const [change] = storedBy(done);
  assert.ok(change?.kind === "put");
  assert.equal(change.binding.expiresAt, NOW + EXPIRES_MS);
  assert.deepEqual(change.binding.certificate, {
    der: Buffer.from("certificate 1").toString("base64"),
    keyId: "key-1",
    notAfter: NOW + EXPIRES_MS,
    issued: true,
  });
  const [answer] = responsesOf(done);
  assert.equal(answer?.response.status, 200);
  assert.ok(answer !== undefined);
  assert.equal(headerValue(answer.response, "Content-Type"), "multipart/signed");
  assert.equal(headerValue(answer.response, "Date"), "Sun, 22 Nov 2026 12:00:00 GMT");
  assert.deepEqual(headerValues(answer.response, "Contact"), [`${PHONE_CONTACT};expires=60`]);
  assert.equal(answer.response.body.toString(), "sealed answer");
  assert.equal(driver.wiped, 0, "the desk has the reply now");
});

test("private profile: the location is inside, goes into the binding, and is told to nobody in clear", () => {
  const driver = new CertificateDriver();
  const request = sealedRegister({ contacts: [] });
  const rows = innerRows(request, NOW, { Contact: PHONE_CONTACT, Expires: "90" });
  const order = asked(driver.judge(request, { rows }), "certify");
  assert.deepEqual(order.rows.slice(3), [
    ["Contact", `${PHONE_CONTACT};expires=90`],
    ["Expires", "90"],
  ]);
  const done = driver.certify(order);
  const [change] = storedBy(done);
  assert.ok(change?.kind === "put");
  assert.equal(change.binding.contact, "sip:alice@10.10.0.2:40000;transport=tls");
  assert.equal(change.binding.hidden, true);
  assert.deepEqual(headerValues(responsesOf(done)[0]?.response ?? { headers: [] }, "Contact"), []);
  assert.deepEqual(driver.contacts(), []);
  const other = sealedRegister({ contacts: ["<sip:alice@10.10.0.3>"], expires: 60 });
  const second = asked(driver.judge(other, { claim: requestClaim({ keyId: "key-2" }) }), "certify");
  assert.deepEqual(
    second.rows.filter(([name]) => name === "Contact").map(([, value]) => value),
    ["<sip:alice@10.10.0.3>;expires=60", `${PHONE_CONTACT};expires=90`].toSorted(),
  );
  driver.certify(second);
  assert.deepEqual(driver.contacts(), ["<sip:alice@10.10.0.3>;expires=60"]);
});

test("an existing certificate is served until its own end, and the location longer", () => {
  const driver = new CertificateDriver();
  const claim = certificateClaim({ notAfter: NOW + 30_000 });
  const done = driver.certify(
    asked(driver.judge(sealedRegister({ expires: 60 }), { claim }), "certify"),
  );
  const [put] = storedBy(done);
  assert.ok(put?.kind === "put");
  assert.equal(put.binding.certificate?.issued, false);
  assert.equal(driver.core.deadline(), NOW + 30_000);
  driver.now = NOW + 30_000;
  const [after] = storedBy(driver.feed({ kind: "tick" }));
  assert.ok(after?.kind === "put");
  assert.equal(after.binding.certificate, undefined);
  assert.equal(driver.contacts().length, 1);
  driver.now = NOW + 60_000;
  assert.equal(storedBy(driver.feed({ kind: "tick" }))[0]?.kind, "delete");
  assert.deepEqual(driver.contacts(), []);
});

test("no claim: only the location was sealed", () => {
  const driver = new CertificateDriver();
  const request = sealedRegister({ contacts: [] });
  const rows = innerRows(request, NOW, { Contact: `${PHONE_CONTACT};expires=70` });
  const order = asked(driver.judge(request, { rows, claim: { kind: "none" } }), "certify");
  assert.equal(order.claim.kind, "none");
  const [put] = storedBy(driver.certify(order));
  assert.ok(put?.kind === "put");
  assert.equal(put.binding.certificate, undefined);
  assert.equal(put.binding.hidden, true);
});

test("a refresh reissues for the same key, and the certificate ends with the new time", () => {
  const driver = new CertificateDriver();
  driver.register(sealedRegister({ expires: 60 }));
  driver.now += 40_000;
  const order = asked(driver.judge(sealedRegister({ expires: 120 })), "certify");
  assert.equal(order.notAfter, NOW + 160_000);
  const changes = storedBy(driver.certify(order));
  assert.equal(changes.length, 1);
  assert.ok(changes[0]?.kind === "put");
  assert.equal(changes[0].binding.certificate?.notAfter, changes[0].binding.expiresAt);
});

test("an ordinary refresh leaves a location without certificate", () => {
  const driver = new CertificateDriver();
  driver.register(sealedRegister({ expires: 60 }));
  const [put] = storedBy(driver.receive(sealedRegister({ expires: 60, body: null })));
  assert.ok(put?.kind === "put");
  assert.equal(put.binding.certificate, undefined);
});

for (const [name, sketch, inner] of [
  ["outside", { expires: 0 }, {}],
  ["inside", { contacts: [] }, { Contact: PHONE_CONTACT, Expires: "0" }],
  ["all of them", { contacts: ["*"], expires: 0 }, {}],
] as const)
  test(`removal takes location and certificate together: ${name}`, () => {
    const driver = new CertificateDriver();
    driver.register(sealedRegister({ expires: 60 }));
    const request = sealedRegister(sketch);
    const order = asked(driver.judge(request, { rows: innerRows(request, NOW, inner) }), "certify");
    assert.equal(order.claim.kind, "none", "for what is taken away nothing is certified");
    assert.deepEqual(order.rows.at(-1), ["Expires", "0"]);
    const done = driver.certify(order);
    assert.equal(storedBy(done)[0]?.kind, "delete");
    assert.equal(statusOf(done.slice(-1)), 200);
    assert.deepEqual(driver.contacts(), []);
  });

test("a user with several phones has a certificate for each", () => {
  const driver = new CertificateDriver();
  const second = peerWith(FROM_ALICE, { address: "10.10.0.3" }, "flow-second");
  driver.register(sealedRegister({ expires: 60, callId: "one" }));
  const claim = requestClaim({ keyId: "key-2" });
  driver.register(
    sealedRegister({ expires: 60, callId: "two", contacts: ["<sip:alice@10.10.0.3:5061>"] }),
    { claim },
    second,
  );
  assert.equal(driver.contacts().length, 2);
});

test("a revoked certificate goes out of service at once, with its location", () => {
  const driver = new CertificateDriver();
  driver.register(sealedRegister({ expires: 60 }));
  assert.deepEqual(driver.feed({ kind: "certificates-revoked" }), []);
  driver.book.revoked.add("key-1");
  assert.equal(storedBy(driver.feed({ kind: "certificates-revoked" }))[0]?.kind, "delete");
  assert.deepEqual(driver.contacts(), []);
});

test("a label is found by our name or our domain, and lets passwords be tried", () => {
  for (const host of ["ss1.atlanta.example.com", "atlanta.example.com"]) {
    const driver = new CertificateDriver();
    const rows = ["Content-ID: <a@b>", `Proxy-Inspect-Body: ${host};cid="a@b"`];
    const { labelled } = asked(driver.receive(sealedRegister({ rows })), "open-registration");
    assert.equal(labelled, true);
  }
});

test("what comes of a REGISTER whose connection is gone is nothing", () => {
  const driver = new CertificateDriver();
  const request = sealedRegister();
  const { ref } = asked(driver.receive(request), "open-registration");
  const certifying = asked(driver.judge(sealedRegister()), "certify");
  driver.feed({ kind: "flow-closed", flow: FROM_ALICE.flow });
  const outcome = driver.opened(request);
  assert.deepEqual(driver.feed({ kind: "registration-opened", ref, outcome }), []);
  assert.deepEqual(driver.certify(certifying), []);
  assert.equal(driver.wiped, 1);
});
