/** Who may watch certificates, and who may touch a subscription, through the whole core. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { messageTag } from "../../../protocol/sip/name-addr.ts";
import type { Arrival } from "../../../protocol/sip/transaction-events.ts";
import { ALICE } from "./call-fixture.ts";
import { CertificateDriver } from "./certificate-fixture.ts";
import { FROM_ALICE, FROM_BILOXI, FROM_NOBODY, responsesOf } from "./proxy-fixture.ts";
import { FROM_DAVE, statuses, subscribe } from "./watch-fixture.ts";

test("who may not ask may not watch, and nobody of ours is nobody to watch", () => {
  const driver = new CertificateDriver();
  assert.deepEqual(statuses(driver.receive(subscribe(), FROM_NOBODY)), [407]);
  assert.deepEqual(statuses(driver.receive(subscribe(), FROM_ALICE)), [403]);
  const nobody = "sip:nobody@atlanta.example.com";
  assert.deepEqual(statuses(driver.receive(subscribe({ uri: nobody }), FROM_DAVE)), [404]);
  const foreign = subscribe({ from: "<sip:bob@biloxi.example.com>;tag=b1" });
  assert.deepEqual(statuses(driver.receive(foreign, FROM_BILOXI)), [200]);
});

test("nobody but its subscriber prolongs or ends a subscription", () => {
  const driver = new CertificateDriver();
  const [answer] = responsesOf(driver.receive(subscribe(), FROM_DAVE));
  const tag = answer === undefined ? "" : messageTag(answer.response, "To");
  let cseq = 1;
  const refresh = (expiresS: number, arrival: Arrival) => {
    cseq += 1;
    const rows = ["Event: certificate", `Expires: ${expiresS}`];
    return statuses(
      driver.receive(subscribe({ to: `<${ALICE}>;tag=${tag}`, cseq, rows }), arrival),
    );
  };
  for (const expiresS of [0, 600]) {
    assert.deepEqual(refresh(expiresS, FROM_NOBODY), [407]);
    assert.deepEqual(refresh(expiresS, FROM_ALICE), [403]);
    assert.deepEqual(refresh(expiresS, FROM_BILOXI), [403]);
  }
  assert.deepEqual(refresh(600, FROM_DAVE), [200]);
  assert.deepEqual(refresh(0, FROM_DAVE), [200]);
  assert.deepEqual(refresh(600, FROM_DAVE), [481]);
});
