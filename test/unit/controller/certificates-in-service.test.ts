/** What a TLS connection proved by a certificate counts as long as that is in service. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerCertificate } from "../../../protocol/sip/flow.ts";
import { ALICE } from "./call-fixture.ts";
import {
  asked,
  CertificateDriver,
  certificateClaim,
  innerRows,
  requestClaim,
  sealedRegister,
} from "./certificate-fixture.ts";
import { FROM_ALICE, peerWith, request, statusOf } from "./proxy-fixture.ts";

const SHOWN: PeerCertificate = { keyId: "key-1", fingerprint: "issued before" };
const BY_CERTIFICATE = peerWith(FROM_ALICE, { certificate: SHOWN }, "flow-shown");

/** Alice asks for something by a connection that she opened with a certificate: 404, or 407. */
const answerTo = (driver: CertificateDriver, arrival = BY_CERTIFICATE): number | undefined =>
  statusOf(
    driver.receive(
      request({ method: "MESSAGE", uri: "sip:nobody@atlanta.example.com", callId: "m" }),
      arrival,
    ),
  );

function driverWhoIssued(): CertificateDriver {
  const driver = new CertificateDriver();
  driver.book.issued.add(SHOWN.fingerprint);
  return driver;
}

test("one of ours counts while its key is registered, also after a refresh, and no longer", () => {
  const driver = driverWhoIssued();
  assert.equal(answerTo(driver), 407);
  driver.register(sealedRegister({ expires: 60 }));
  assert.equal(answerTo(driver), 404);
  driver.now += 59_000;
  driver.register(sealedRegister({ expires: 60 }));
  driver.now += 59_999;
  assert.equal(answerTo(driver), 404);
  driver.now += 1;
  assert.equal(answerTo(driver), 407, "to the millisecond, before any tick");
});

test("one of ours counts no more when its key is revoked, or another one registered", () => {
  const revoked = driverWhoIssued();
  revoked.register(sealedRegister({ expires: 60 }));
  revoked.book.revoked.add("key-1");
  assert.equal(answerTo(revoked), 407);

  const replaced = driverWhoIssued();
  replaced.register(sealedRegister({ expires: 60 }));
  replaced.register(sealedRegister({ expires: 60 }), { claim: requestClaim({ keyId: "key-2" }) });
  assert.equal(answerTo(replaced), 407);
});

test("one of another authority counts unless it is revoked, registered or not", () => {
  const driver = new CertificateDriver();
  assert.equal(answerTo(driver), 404);
  const claim = certificateClaim({ keyId: "key-1" });
  driver.register(sealedRegister({ expires: 60 }), { claim });
  driver.register(sealedRegister({ expires: 0 }), { claim });
  assert.equal(answerTo(driver), 404, "its phone may come back with it");
  driver.book.revoked.add(SHOWN.fingerprint);
  assert.equal(answerTo(driver), 407);
});

test("a connection whose certificate was revoked while its REGISTER was opened covers nothing", () => {
  const driver = new CertificateDriver();
  const arrival = peerWith(BY_CERTIFICATE, { transport: "tcp" });
  const sent = sealedRegister({ expires: 60 });
  const { ref } = asked(driver.receive(sent, arrival), "open-registration");
  driver.book.revoked.add(SHOWN.fingerprint);
  const outcome = driver.opened(sent, { claim: requestClaim({ keyId: "key-2" }) });
  assert.equal(statusOf(driver.feed({ kind: "registration-opened", ref, outcome })), 403);
  assert.equal(driver.wiped, 1);
});

test("a private REGISTER by a connection whose certificate counts no more is opened, then challenged", () => {
  const driver = driverWhoIssued();
  const sent = sealedRegister({ contacts: [] });
  const rows = innerRows(sent, driver.now, { Contact: `<${ALICE}:5061>` });
  assert.equal(statusOf(driver.judge(sent, { rows }, BY_CERTIFICATE)), 401);
});
