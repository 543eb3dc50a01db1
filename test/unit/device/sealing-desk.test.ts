import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { before, test } from "node:test";
import type { SealingTask } from "../../../device/core/call.ts";
import type { Credentials } from "../../../device/io/credentials.ts";
import { performSealing } from "../../../device/io/sealing-desk.ts";
import { Trust } from "../../../device/io/trust.ts";
import { issueCertificate } from "../../../protocol/pki/issue-certificate.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { makeAuthority, makeUser, NOT_AFTER, NOT_BEFORE, NOW } from "../pki/make-identity.ts";

const ALICE = "sip:alice@atlanta.example.com";
const BOB = "sip:bob@biloxi.example.com";
const OFFER = {
  kind: "seal-offer",
  sipfrag: [["Call-ID", "1"]],
  sdp: Buffer.from("v=0\r\n"),
} as const;
const TLS = { certificate: "", key: "", anchors: [], clientCertificates: "require" } as const;

let atlanta: Identity;
let biloxi: Identity;
let alice: Identity;
let bob: Identity;
/** Of the same key. */
let renewed: Identity;

before(async () => {
  [atlanta, biloxi] = [await makeAuthority("atlanta"), await makeAuthority("biloxi")];
  [alice, bob] = [await makeUser(atlanta, ALICE), await makeUser(biloxi, BOB)];
  const subject = {
    ...{ commonName: BOB, serialNumber: Buffer.alloc(16, 9) },
    profile: "user",
    publicKey: createPublicKey(bob.privateKey),
    alternativeNames: [{ kind: "uri", uri: BOB }],
    ...{ notBefore: NOT_BEFORE, notAfter: NOT_AFTER },
  } as const;
  const certificate = await issueCertificate(subject, biloxi);
  renewed = { certificate, privateKey: bob.privateKey };
});

function credentialsOf(
  identity: Identity | undefined,
  trust: Trust,
  more: Partial<Credentials> = {},
): Credentials {
  const own = identity && { own: { identity, chain: [] } };
  return { ...own, trust, controllers: [], contacts: new Map(), tls: TLS, ...more };
}

const ofAlice = (certificates: readonly Buffer[]): Credentials =>
  credentialsOf(alice, new Trust(ALICE, [atlanta.certificate], []), {
    contacts: new Map([[BOB, certificates]]),
  });
const biloxiTrust = (anchorOfAtlanta: Identity): Trust =>
  new Trust(
    BOB,
    [biloxi.certificate],
    [{ domain: "atlanta.example.com", anchors: [anchorOfAtlanta.certificate] }],
  );

const perform = (task: SealingTask, credentials: Credentials) =>
  performSealing(task, credentials, "rfc3185", NOW);

async function offered(certificates: readonly Buffer[]): Promise<SealingTask> {
  const sealed = await perform({ ...OFFER, callee: BOB }, ofAlice(certificates));
  assert.ok(sealed.kind === "offer-sealed", JSON.stringify(sealed));
  return { ...sealed, kind: "open-offer" };
}

test("an offer for a certificate that was renewed meanwhile is opened", async () => {
  const task = await offered([bob.certificate]);
  const trust = biloxiTrust(atlanta);
  const after = credentialsOf(renewed, trust, { former: [bob] });
  assert.equal((await perform(task, after)).kind, "offer-opened");
  const without = await perform(task, credentialsOf(renewed, trust));
  assert.deepEqual(without, { kind: "not-opened", stage: "open", code: "ERR_CMS_NO_RECIPIENT" });
});

test("an offer for several phones is opened by each", async () => {
  const task = await offered([bob.certificate, renewed.certificate]);
  for (const phone of [bob, renewed])
    assert.equal(
      (await perform(task, credentialsOf(phone, biloxiTrust(atlanta)))).kind,
      "offer-opened",
    );
});

test("a caller of another domain is believed by that domain's anchors alone", async () => {
  const task = await offered([bob.certificate]);
  const result = await perform(task, credentialsOf(bob, biloxiTrust(biloxi)));
  assert.deepEqual(result, { kind: "not-opened", stage: "verify", code: "ERR_CERTIFICATE" });
});

test("an answer is believed of a certificate that the callee's controller vouched for", async () => {
  const sealed = await perform({ ...OFFER, callee: BOB }, ofAlice([bob.certificate]));
  assert.ok(sealed.kind === "offer-sealed");
  const { firstKey } = sealed;
  const answer = await perform(
    { ...OFFER, kind: "seal-answer", firstKey },
    credentialsOf(bob, biloxiTrust(atlanta)),
  );
  assert.ok(answer.kind === "answer-sealed");
  const task = { ...answer, kind: "open-answer", callee: BOB, firstKey } as const;
  assert.equal((await perform(task, ofAlice([bob.certificate]))).kind, "answer-opened");
  const stranger = await perform(task, ofAlice([renewed.certificate]));
  assert.deepEqual(stranger, { kind: "not-opened", stage: "verify", code: "ERR_CERTIFICATE" });
});

test("without a certificate of ours, or one of the callee, nothing is sealed", async () => {
  const nobody = credentialsOf(undefined, biloxiTrust(atlanta));
  for (const credentials of [nobody, ofAlice([])]) {
    const result = await perform({ ...OFFER, callee: BOB }, credentials);
    assert.ok(result.kind === "not-opened" && result.code === "ERR_CERTIFICATE");
  }
});
