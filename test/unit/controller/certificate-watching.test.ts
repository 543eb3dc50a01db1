/** SUBSCRIBE for a user's certificate is answered here; registrations are what watchers hear of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ControllerEffect } from "../../../controller/core/controller-port.ts";
import { headerValue, type SipRequest } from "../../../protocol/sip/message.ts";
import { ALICE } from "./call-fixture.ts";
import { CertificateDriver, requestClaim, sealedRegister } from "./certificate-fixture.ts";
import {
  answerTo,
  CERTIFICATE,
  FROM_BILOXI,
  request,
  requestsOf,
  responsesOf,
  SIP,
  statusOf,
} from "./proxy-fixture.ts";

const BOB = "sip:bob@biloxi.example.com";

const subscribe = (rows: readonly string[] = ["Event: certificate"], uri = ALICE): SipRequest =>
  request({
    method: "SUBSCRIBE",
    uri,
    from: `<${BOB}>;tag=w1`,
    to: `<${uri}>`,
    callId: "watch@bob",
    rows: ["Accept: application/pkix-cert", ...rows],
  });

const notifies = (effects: readonly ControllerEffect[]): readonly SipRequest[] =>
  requestsOf(effects)
    .map((sent) => sent.request)
    .filter(({ method }) => method === "NOTIFY");

/** The subscriber takes a NOTIFY. */
function take(driver: CertificateDriver, notify: SipRequest | undefined): void {
  assert.ok(notify !== undefined);
  const branch = /branch=([^;]+)/.exec(headerValue(notify, "Via") ?? "")?.[1];
  const response = answerTo(notify, 200);
  const key = `c|${branch}|NOTIFY`;
  driver.feed({ kind: "deliver-response", key, response, ...FROM_BILOXI });
}

/** Bob watches alice, who is registered. */
function watching(): CertificateDriver {
  const driver = new CertificateDriver();
  driver.register(sealedRegister({ expires: 600 }));
  const effects = driver.receive(subscribe(), FROM_BILOXI);
  assert.equal(statusOf(effects), 200);
  const [notify] = notifies(effects);
  assert.equal(notify?.body.toString(), "certificate 1");
  take(driver, notify);
  driver.now += 61_000;
  return driver;
}

test("a refresh is told with the new certificate", () => {
  const driver = watching();
  const order = driver.judge(sealedRegister({ expires: 600 }));
  const [certify] = order.filter((effect) => effect.kind === "certify");
  assert.ok(certify !== undefined);
  const [notify] = notifies(driver.certify(certify));
  assert.equal(notify?.body.toString(), "certificate 2");
});

const ENDS: Readonly<Record<string, (driver: CertificateDriver) => readonly ControllerEffect[]>> = {
  removal: (driver) =>
    driver.receive(sealedRegister({ contacts: ["*"], expires: 0, body: null, callId: "x" })),
  "an ordinary registration": (driver) => driver.receive(sealedRegister({ body: null })),
  revocation: (driver) => {
    driver.book.revoked.add("key-1");
    return driver.feed({ kind: "certificates-revoked" });
  },
  expiry: (driver) => {
    driver.now += 539_000;
    return driver.feed({ kind: "tick" });
  },
};

for (const [name, end] of Object.entries(ENDS))
  test(`what ends by ${name} is told with an empty body`, () => {
    const driver = watching();
    const [notify] = notifies(end(driver));
    assert.equal(notify?.body.length, 0);
  });

test("of several phones the one that registered last is told", () => {
  const driver = watching();
  const second = sealedRegister({ contacts: ["<sip:alice@10.10.0.3>;q=0.1"], expires: 600 });
  const [certify] = driver
    .judge(second, { claim: requestClaim({ keyId: "key-2" }) })
    .filter((effect) => effect.kind === "certify");
  assert.ok(certify !== undefined);
  const [notify] = notifies(driver.certify(certify));
  assert.equal(notify?.body.toString(), "certificate 2");
});

test("a user who is gone is watched no more", () => {
  const driver = watching();
  const sip = { ...SIP, users: { find: () => undefined } };
  const rules = { sip, applyTimeoutMs: 1, recordingRequired: false, bodyCertificate: CERTIFICATE };
  const [notify] = notifies(driver.feed({ kind: "reload", rules }));
  assert.match(headerValue(notify ?? subscribe(), "Subscription-State") ?? "", /^terminated/);
});

test("a NOTIFY that nobody takes ends the subscription", () => {
  const driver = watching();
  const [notify] = notifies(driver.receive(sealedRegister({ body: null })));
  const branch = /branch=([^;]+)/.exec(headerValue(notify ?? subscribe(), "Via") ?? "")?.[1];
  const key = `c|${branch}|NOTIFY`;
  driver.feed({ kind: "failed", side: "client", key, reason: "timeout" });
  driver.now += 61_000;
  const certified = driver.judge(sealedRegister({ expires: 60 }));
  const [certify] = certified.filter((effect) => effect.kind === "certify");
  assert.ok(certify !== undefined);
  assert.deepEqual(notifies(driver.certify(certify)), []);
});

test("a refresh of the subscription, and what belongs to none", () => {
  const driver = new CertificateDriver();
  const [answer] = responsesOf(driver.receive(subscribe(), FROM_BILOXI));
  assert.ok(answer !== undefined);
  const to = headerValue(answer.response, "To") ?? "";
  const again = request({
    method: "SUBSCRIBE",
    uri: ALICE,
    from: `<${BOB}>;tag=w1`,
    to,
    callId: "watch@bob",
    cseq: 2,
    rows: ["Event: certificate", "Expires: 0"],
  });
  assert.equal(statusOf(driver.receive(again, FROM_BILOXI)), 200);
  assert.equal(statusOf(driver.receive({ ...again }, FROM_BILOXI)), 481);
});

test("subscriptions count as questions do", () => {
  const driver = new CertificateDriver({ perMinute: { registrations: 1, queries: 2 } });
  for (const status of [200, 200, 500])
    assert.equal(statusOf(driver.receive(subscribe(), FROM_BILOXI)), status);
});

test("another subscription goes to the phone, one for the proxy itself is refused", () => {
  const driver = new CertificateDriver();
  driver.register(sealedRegister({ expires: 600 }));
  const presence = requestsOf(driver.receive(subscribe(["Event: presence"]), FROM_BILOXI));
  assert.equal(presence[0]?.request.method, "SUBSCRIBE");
  assert.equal(
    statusOf(driver.receive(subscribe([], "sip:atlanta.example.com"), FROM_BILOXI)),
    489,
  );
  const nobody = subscribe(["Event: certificate"], "sip:nobody@atlanta.example.com");
  assert.equal(statusOf(driver.receive(nobody, FROM_BILOXI)), 404);
});

test("without an authority a phone is asked for its own certificate as for anything else", () => {
  const driver = new CertificateDriver();
  driver.receive(sealedRegister({ body: null }));
  const rules = { sip: SIP, applyTimeoutMs: 1, recordingRequired: false };
  driver.feed({ kind: "reload", rules: { ...rules, bodyCertificate: CERTIFICATE } });
  assert.equal(requestsOf(driver.receive(subscribe(), FROM_BILOXI)).length, 1);
});
