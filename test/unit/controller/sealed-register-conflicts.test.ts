/** Sealed registrations whose world changes between judgement and commitment. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ControllerEffect } from "../../../controller/core/controller-port.ts";
import {
  asked,
  assertRefused,
  CertificateDriver,
  requestClaim,
  ruleless,
  sealedRegister,
  standing,
  storedBy,
} from "./certificate-fixture.ts";
import { statusOf } from "./proxy-fixture.ts";

const CERTIFIED: readonly (readonly [
  string,
  number,
  (driver: CertificateDriver, order: ControllerEffect & { kind: "certify" }) => unknown,
])[] = [
  [
    "the desk cannot",
    500,
    (driver, { ref }) => driver.feed({ kind: "certified", ref, outcome: { kind: "failed" } }),
  ],
  [
    "another user was faster with the key",
    403,
    (driver, { ref }) =>
      driver.feed({
        kind: "certified",
        ref,
        outcome: { kind: "refused", reason: "key-of-another" },
      }),
  ],
  [
    "the key was revoked",
    403,
    (driver, { ref }) =>
      driver.feed({ kind: "certified", ref, outcome: { kind: "refused", reason: "key-revoked" } }),
  ],
  [
    "the key was revoked after it was certified",
    403,
    (driver, order) => {
      driver.book.revoked.add("key-1");
      return driver.certify(order);
    },
  ],
  [
    "the certificate ends with another time",
    500,
    (driver, order) => driver.certify({ ...order, notAfter: order.notAfter + 1000 }),
  ],
  [
    "the certificate is for another key",
    500,
    (driver, order) => driver.certify({ ...order, claim: requestClaim({ keyId: "key-2" }) }),
  ],
  [
    "there is no certificate",
    500,
    (driver, order) => driver.certify({ ...order, claim: { kind: "none" } }),
  ],
  [
    "a later REGISTER was faster",
    500,
    (driver, order) => {
      driver.receive(sealedRegister({ callId: "race", cseq: 6, body: null, expires: 600 }));
      return driver.certify(order);
    },
  ],
];

for (const [name, status, happens] of CERTIFIED)
  test(`judged, and not bound after all (${status}): ${name}`, () => {
    const driver = standing();
    const order = asked(
      driver.judge(sealedRegister({ callId: "race", cseq: 5, expires: 60 })),
      "certify",
    );
    const effects = happens(driver, order) as readonly ControllerEffect[];
    assertRefused(driver, effects, status);
  });

test("a time that is over before the certificate is there binds nothing", () => {
  const driver = new CertificateDriver({}, { registrar: { minExpiresS: 1 } });
  const order = asked(driver.judge(sealedRegister({ expires: 1 })), "certify");
  driver.now += 1000;
  assert.equal(statusOf(driver.certify(order)), 500);
  assert.deepEqual(driver.contacts(), []);
});

test("a user who is gone when the rules are read again takes location and certificate along", () => {
  const driver = standing();
  const rules = ruleless();
  const nobody = { ...rules.sip, users: { find: () => undefined } };
  const changes = storedBy(driver.feed({ kind: "reload", rules: { ...rules, sip: nobody } }));
  assert.equal(changes[0]?.kind, "delete");
});

test("an authority that goes while the desk is busy: nothing is bound, the reply is wiped", () => {
  const driver = new CertificateDriver();
  const sent = sealedRegister();
  const { ref } = asked(driver.receive(sent), "open-registration");
  const order = asked(driver.judge(sealedRegister()), "certify");
  driver.feed({ kind: "reload", rules: ruleless() });
  const outcome = driver.opened(sent);
  assert.equal(statusOf(driver.feed({ kind: "registration-opened", ref, outcome })), 488);
  assert.equal(driver.wiped, 1);
  assert.equal(statusOf(driver.certify(order)), 500);
  assert.deepEqual(driver.contacts(), []);
});
