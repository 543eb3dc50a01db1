/** Whose credentials count for a sealed REGISTER, and what they cover (RFC 7616 §3.4.3). */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ControllerEffect } from "../../../controller/core/controller-port.ts";
import { Secret } from "../../../protocol/secret.ts";
import type { DigestQop } from "../../../protocol/sip/digest.ts";
import { answerChallenge } from "../../../protocol/sip/digest-client.ts";
import {
  appendHeader,
  headerValue,
  type SipRequest,
  withBody,
  withValues,
} from "../../../protocol/sip/message.ts";
import { NOW } from "./call-fixture.ts";
import {
  asked,
  CertificateDriver,
  certificateClaim,
  innerRows,
  type Opening,
  requestClaim,
  sealedRegister,
  storedBy,
} from "./certificate-fixture.ts";
import { DAVE, FROM_NOBODY, peerWith, responsesOf, statusOf } from "./proxy-fixture.ts";

const CONTACT = "<sip:dave@10.10.0.9:42000;transport=tcp>";
const FROM_DAVE = peerWith(FROM_NOBODY, {}, "flow-dave");
const BY_TLS = peerWith(FROM_DAVE, { transport: "tls" });
const CLAIM = requestClaim({ uris: [DAVE] });

const daves = (rows: readonly string[] = [], contacts: readonly string[] = [CONTACT]) =>
  sealedRegister({ user: DAVE, contacts, expires: 60, rows });

/** Dave's credentials for what a challenge asks. */
function credentials(
  request: SipRequest,
  challenged: readonly ControllerEffect[],
  qop: DigestQop,
  password = "swordfish",
): string {
  const [challenge] = responsesOf(challenged);
  assert.equal(challenge?.response.status, 401);
  assert.ok(challenge !== undefined);
  const answer = answerChallenge(request, challenge.response, {
    username: "dave",
    password: new Secret(Buffer.from(password)),
    random: (size) => Buffer.alloc(size, 5),
    qops: [qop],
  });
  assert.ok(answer !== undefined);
  return answer[1];
}

function challengeFor(driver: CertificateDriver, arrival = FROM_DAVE) {
  return driver.receive(sealedRegister({ user: DAVE, contacts: [CONTACT] }), arrival);
}

/** A REGISTER of the private profile with credentials inside, judged. */
function judgePrivate(
  driver: CertificateDriver,
  made: {
    readonly qop: DigestQop;
    readonly entity?: Buffer;
    readonly opening?: Opening;
    readonly password?: string;
    readonly arrival?: typeof FROM_DAVE;
  },
): readonly ControllerEffect[] {
  const { qop, entity = CLAIM.der, opening, password, arrival = FROM_DAVE } = made;
  const request = daves([], []);
  const challenge = challengeFor(driver);
  const value = credentials(withBody(request, entity), challenge, qop, password);
  const rows = innerRows(request, NOW, { Contact: CONTACT, Authorization: value });
  return driver.judge(request, { claim: CLAIM, rows, ...opening }, arrival);
}

test("open profile: challenged unopened, then opened with credentials that cover the body", () => {
  const driver = new CertificateDriver();
  const request = daves();
  const value = credentials(request, challengeFor(driver), "auth-int");
  const proven = appendHeader(request, "Authorization", value);
  asked(driver.judge(proven, { claim: CLAIM }, FROM_DAVE), "certify");
});

test("a body that was exchanged under credentials that cover it is not opened", () => {
  const driver = new CertificateDriver();
  const request = daves();
  const value = credentials(request, challengeFor(driver), "auth-int");
  const changed = withBody(appendHeader(request, "Authorization", value), Buffer.from("mine"));
  assert.equal(statusOf(driver.receive(changed, FROM_DAVE)), 401);
});

for (const [name, arrival, opening, vias, status] of [
  ["a request under credentials that do not cover it", FROM_DAVE, {}, [], 403],
  ["the same with the user's own secret", FROM_DAVE, { holder: "kek" }, [], undefined],
  ["the same with his password", FROM_DAVE, { holder: "password" }, [], undefined],
  ["the same by a TLS connection that anybody may have opened", BY_TLS, {}, [], 403],
  ["no request at all", FROM_DAVE, { claim: { kind: "none" } }, [], undefined],
  [
    "a certificate, whose key is proven",
    FROM_DAVE,
    { claim: certificateClaim({ uris: [DAVE] }) },
    [],
    undefined,
  ],
] as const)
  test(`credentials of qop auth: ${name}: ${status ?? "certified"}`, () => {
    const driver = new CertificateDriver();
    const request = daves(vias);
    const value = credentials(request, challengeFor(driver), "auth");
    const proven = appendHeader(request, "Authorization", value);
    const judged = driver.judge(proven, { claim: CLAIM, ...opening }, arrival);
    assert.equal(statusOf(judged), status);
    if (status === undefined) asked(judged, "certify");
    else assert.equal(driver.wiped, 1);
  });

test("private profile: opened first; credentials inside cover what is claimed", () => {
  const driver = new CertificateDriver();
  const order = asked(judgePrivate(driver, { qop: "auth-int" }), "certify");
  const [put] = storedBy(driver.certify(order));
  assert.ok(put?.kind === "put");
  assert.equal(put.binding.aor, DAVE);
  assert.equal(put.binding.hidden, true);
});

test("private profile: covered by the user's secret, or with nothing to cover", () => {
  for (const opening of [{ holder: "password" }, { claim: { kind: "none" } }] as const)
    asked(judgePrivate(new CertificateDriver(), { qop: "auth", opening }), "certify");
});

for (const [name, made, status] of [
  ["a wrong password", { qop: "auth-int", password: "wrong" }, 401],
  ["credentials for another request", { qop: "auth-int", entity: Buffer.from("other") }, 401],
  ["credentials that cover nothing", { qop: "auth" }, 403],
] as const)
  test(`private profile: ${name}: ${status}, nothing changed`, () => {
    const driver = new CertificateDriver();
    const effects = judgePrivate(driver, made);
    assert.equal(statusOf(effects), status);
    assert.deepEqual(storedBy(effects), []);
    assert.equal(driver.wiped, 1);
  });

test("private profile: without credentials inside there is a challenge, with a wrong body none", () => {
  const driver = new CertificateDriver();
  const request = daves([], []);
  const rows = innerRows(request, NOW, { Contact: CONTACT });
  const [challenge] = responsesOf(driver.judge(request, { claim: CLAIM, rows }, FROM_DAVE));
  assert.equal(challenge?.response.status, 401);
  assert.ok(challenge !== undefined);
  assert.match(headerValue(challenge.response, "WWW-Authenticate") ?? "", /auth-int/);
});

test("credentials inside count once, whoever sends them", () => {
  const driver = new CertificateDriver();
  const request = daves([], []);
  const value = credentials(withBody(request, CLAIM.der), challengeFor(driver), "auth-int");
  const rows = innerRows(request, NOW, { Contact: CONTACT, Authorization: value });
  driver.certify(asked(driver.judge(request, { claim: CLAIM, rows }, FROM_DAVE), "certify"));
  const again = withValues(request, "Max-Forwards", ["69"]);
  assert.equal(statusOf(driver.judge(again, { claim: CLAIM, rows }, FROM_DAVE)), 401);
});

test("a stranger's REGISTERs are limited as the user's own once he is known", () => {
  const driver = new CertificateDriver({ perMinute: { registrations: 1, queries: 1 } });
  asked(judgePrivate(driver, { qop: "auth-int" }), "certify");
  assert.equal(statusOf(judgePrivate(driver, { qop: "auth-int" })), 500);
});
