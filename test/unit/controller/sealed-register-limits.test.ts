/** Sealed registrations: how many, how often, and how long they may wait. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DESK_TIMEOUT_MS, MAX_PENDING } from "../../../controller/core/certified-registrations.ts";
import { MAX_ADDRESS_GUESSES, MAX_GUESSES } from "../../../controller/core/guess-limit.ts";
import { headerValue } from "../../../protocol/sip/message.ts";
import { NOW } from "./call-fixture.ts";
import { asked, CertificateDriver, sealedRegister, standing } from "./certificate-fixture.ts";
import { DAVE, FROM_ALICE, FROM_NOBODY, peerWith, responsesOf, statusOf } from "./proxy-fixture.ts";

const MINUTE_MS = 60_000;
const FROM_DAVE = peerWith(FROM_ALICE, { identities: [DAVE] }, "flow-dave");

test("ten thousand a minute from one user are limited to what is allowed", () => {
  const driver = standing();
  driver.now += MINUTE_MS;
  let opened = 0;
  for (let count = 0; count < 10_000; count += 1) {
    driver.now = NOW + MINUTE_MS + count * 6;
    const effects = driver.receive(sealedRegister());
    const opening = effects.find(({ kind }) => kind === "open-registration");
    if (opening?.kind === "open-registration") {
      opened += 1;
      const failed = { kind: "failed", code: "ERR_CMS_DECRYPT" } as const;
      driver.feed({ kind: "registration-opened", ref: opening.ref, outcome: failed });
    } else {
      assert.equal(statusOf(effects), 500);
      const answer = responsesOf(effects)[0]?.response ?? { headers: [] };
      assert.equal(headerValue(answer, "Retry-After"), "1");
    }
  }
  assert.ok(opened >= 60 && opened <= 120, `${opened}`);
  const dave = sealedRegister({ user: DAVE });
  asked(driver.receive(dave, FROM_DAVE), "open-registration");
});

test("strangers are limited by their address, and cannot take the places of users", () => {
  const driver = new CertificateDriver({ perMinute: { registrations: 100_000, queries: 1 } });
  const hidden = () => sealedRegister({ contacts: [] });
  let opened = 0;
  for (let count = 0; count < MAX_PENDING; count += 1) {
    const effects = driver.receive(hidden(), FROM_NOBODY);
    if (effects.some(({ kind }) => kind === "open-registration")) opened += 1;
    else assert.equal(statusOf(effects), 500);
  }
  assert.equal(opened, 100);
  asked(driver.receive(sealedRegister()), "open-registration");

  const strict = new CertificateDriver({ perMinute: { registrations: 1, queries: 1 } });
  for (let count = 0; count < 10; count += 1)
    asked(strict.receive(hidden(), FROM_NOBODY), "open-registration");
  assert.equal(statusOf(strict.receive(hidden(), FROM_NOBODY)), 500);
});

test("a stranger may guess passwords no more often than others may", () => {
  const driver = new CertificateDriver({ perMinute: { registrations: 1_000, queries: 1 } });
  const rows = ['Proxy-Inspect-Body: ss1.atlanta.example.com;cid="a@b"', "Content-ID: <a@b>"];
  let tried = 0;
  const guess = (user: string) => {
    const sent = sealedRegister({ user, contacts: [], rows });
    const { ref, labelled } = asked(driver.receive(sent, FROM_NOBODY), "open-registration");
    if (labelled) tried += 1;
    const outcome = { kind: "failed", code: "ERR_CMS_DECRYPT" } as const;
    driver.feed({ kind: "registration-opened", ref, outcome });
  };
  for (let count = 0; count < 50; count += 1) guess(DAVE);
  assert.equal(tried, MAX_GUESSES);
  tried = 0;
  for (let count = 0; count < 200; count += 1) guess(`sip:user${count}@atlanta.example.com`);
  assert.equal(tried, MAX_ADDRESS_GUESSES - 50);
});

test("so many are certified at one time, and no more", () => {
  const driver = new CertificateDriver({ perMinute: { registrations: 100_000, queries: 1 } });
  for (let count = 0; count < MAX_PENDING; count += 1)
    asked(driver.judge(sealedRegister({ expires: 60 })), "certify");
  assert.equal(statusOf(driver.judge(sealedRegister({ expires: 60 }))), 500);
  assert.equal(driver.wiped, 1);
});

test("so many wait for the desk, and no longer than it takes a phone to lose patience", () => {
  const driver = new CertificateDriver({ perMinute: { registrations: 100_000, queries: 1 } });
  for (let count = 0; count < MAX_PENDING; count += 1)
    asked(driver.receive(sealedRegister()), "open-registration");
  assert.equal(statusOf(driver.receive(sealedRegister())), 500);
  assert.equal(driver.core.deadline(), NOW + DESK_TIMEOUT_MS);
  driver.now += DESK_TIMEOUT_MS;
  const late = responsesOf(driver.feed({ kind: "tick" }));
  assert.equal(late.length, MAX_PENDING);
  assert.ok(late.every(({ response }) => response.status === 500));
  asked(driver.receive(sealedRegister()), "open-registration");
});

test("the desk's word comes too late: nothing is bound", () => {
  const driver = new CertificateDriver();
  const order = asked(driver.judge(sealedRegister({ expires: 60 })), "certify");
  driver.now += DESK_TIMEOUT_MS;
  assert.equal(statusOf(driver.feed({ kind: "tick" })), 500);
  assert.deepEqual(driver.certify(order), []);
  assert.deepEqual(driver.contacts(), []);
});
