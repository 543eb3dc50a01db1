import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { before, test } from "node:test";
import type { QueryInput } from "../../../device/core/certificate-query.ts";
import type { RegistrationResult } from "../../../device/core/registration-port.ts";
import { isOfType, requestKey } from "../../../device/io/own-keys.ts";
import {
  type ClaimPlan,
  RegistrationDesk,
  signQuestion,
  verifyQuestionAnswer,
} from "../../../device/io/registration-desk.ts";
import { Trust } from "../../../device/io/trust.ts";
import { signQueryAnswer, verifyQuery } from "../../../protocol/body/certificate-query.ts";
import { sealRegistrationAnswer } from "../../../protocol/body/registration-answer.ts";
import { decodeRegistration, openRegistration } from "../../../protocol/body/registration-body.ts";
import type { FirstKey } from "../../../protocol/cms/first-key.ts";
import { decodeCertificate } from "../../../protocol/pki/certificate.ts";
import { decodeCertificationRequest } from "../../../protocol/pki/certification-request.ts";
import type { AlternativeName } from "../../../protocol/pki/general-name.ts";
import { issueCertificate } from "../../../protocol/pki/issue-certificate.ts";
import { keyIdOf } from "../../../protocol/pki/public-key.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { makeIdentity } from "../pki/make-identity.ts";

const ALICE = "sip:alice@atlanta.example.com";
const BOB = "sip:bob@biloxi.example.com";
const HOUR_MS = 3_600_000;
const ROWS = [["Call-ID", "one"]] as const;

let atlanta: Identity;
let issuer: Identity;
let biloxi: Identity;
let controller: Identity;
let other: Identity;
let alice: Identity;
let trust: Trust;

/** Valid for two hours, now in the middle: the desk reads the clock. */
const made = (
  profile: "authority" | "host" | "user",
  issuedBy: Identity | undefined,
  alternativeNames: readonly AlternativeName[] = [],
) =>
  makeIdentity({
    ...{ profile, alternativeNames, commonName: JSON.stringify([profile, alternativeNames]) },
    ...(issuedBy && { issuer: issuedBy }),
    ...(profile === "authority" && { pathLength: 1 }),
    notBefore: new Date(Date.now() - HOUR_MS),
    notAfter: new Date(Date.now() + HOUR_MS),
  });

before(async () => {
  atlanta = await made("authority", undefined);
  issuer = await made("authority", atlanta, [{ kind: "dns", name: "issuer" }]);
  biloxi = await made("authority", undefined, [{ kind: "dns", name: "biloxi" }]);
  controller = await made("host", atlanta, [{ kind: "uri", uri: "sip:atlanta.example.com" }]);
  other = await made("host", biloxi, [{ kind: "uri", uri: "sip:biloxi.example.com" }]);
  alice = await made("user", issuer, [{ kind: "uri", uri: ALICE }]);
  trust = new Trust(
    ALICE,
    [atlanta.certificate],
    [{ domain: "biloxi.example.com", anchors: [biloxi.certificate] }],
  );
});

const deskOf = (plan: ClaimPlan): RegistrationDesk =>
  new RegistrationDesk({
    ...{ aor: ALICE, plan, keyType: "p256", trust },
    recipient: { kind: "certificate", certificate: controller.certificate },
  });

const of = <Kind extends RegistrationResult["kind"]>(result: RegistrationResult, kind: Kind) => {
  assert.equal(result.kind, kind, JSON.stringify(result));
  return result as Extract<RegistrationResult, { kind: Kind }>;
};

const sealed = async (desk: RegistrationDesk, withClaim = true) =>
  of(await desk.perform({ kind: "seal", ref: 1, rows: ROWS, withClaim }), "sealed");

const opened = (sealed: { body: Buffer; contentType: string }) =>
  openRegistration(decodeRegistration(sealed), [{ kind: "certificate", ...controller }]);

test("a key is made once, and its request proves it for the user", async () => {
  const desk = deskOf({ kind: "request" });
  const { claim } = of(await desk.perform({ kind: "claim", ref: 1, fresh: false }), "claimed");
  const again = of(await desk.perform({ kind: "claim", ref: 1, fresh: false }), "claimed");
  assert.deepEqual(again.claim, claim);
  assert.equal(claim.isReplaceable, false);
  const { claim: inside } = await opened(await sealed(desk));
  assert.ok(inside.kind === "request");
  const request = await decodeCertificationRequest(inside.request);
  assert.deepEqual(request.uris, [ALICE]);
  assert.equal(request.keyId, claim.keyId);
  assert.ok(desk.privateKey !== undefined);
});

test("an RSA key is made where one is wanted, and kept while its kind is", async () => {
  const { privateKey } = await requestKey(ALICE, undefined, "rsa2048");
  assert.ok(isOfType(privateKey, "rsa2048"));
  assert.ok(!isOfType(privateKey, "rsa3072"));
  assert.ok(!isOfType(privateKey, "p256"));
  assert.ok(isOfType(alice.privateKey, "p256"));
  assert.ok(!isOfType(alice.privateKey, "rsa2048"));
});

test("a key that is kept is used, and can be replaced", async () => {
  const desk = deskOf({ kind: "request", kept: alice.privateKey });
  const { claim } = of(await desk.perform({ kind: "claim", ref: 1, fresh: false }), "claimed");
  assert.equal(claim.keyId, keyIdOf(decodeCertificate(alice.certificate).publicKey));
  assert.ok(claim.isReplaceable);
  const fresh = of(await desk.perform({ kind: "claim", ref: 1, fresh: true }), "claimed").claim;
  assert.notEqual(fresh.keyId, claim.keyId);
  assert.ok(!fresh.isReplaceable);
});

test("a key that was made and kept in this run can be replaced as well", async () => {
  const desk = deskOf({ kind: "request" });
  desk.keepKey();
  const { claim } = of(await desk.perform({ kind: "claim", ref: 1, fresh: false }), "claimed");
  assert.ok(!claim.isReplaceable);
  desk.keepKey();
  const again = of(await desk.perform({ kind: "claim", ref: 1, fresh: false }), "claimed").claim;
  assert.deepEqual(again, { ...claim, isReplaceable: true });
  const fresh = of(await desk.perform({ kind: "claim", ref: 1, fresh: true }), "claimed").claim;
  assert.notEqual(fresh.keyId, claim.keyId);
});

test("a certificate that we have is proven by its key", async () => {
  const own = { identity: alice, chain: [issuer.certificate] };
  const desk = deskOf({ kind: "certificate", own });
  await desk.perform({ kind: "claim", ref: 1, fresh: false });
  const { claim } = await opened(await sealed(desk));
  assert.ok(claim.kind === "certificate");
  assert.ok(claim.certificate.encoded.equals(alice.certificate));
  assert.ok(claim.others.some(({ encoded }) => encoded.equals(issuer.certificate)));
  assert.equal(desk.privateKey, undefined);
});

test("the location alone, and a removal, claim nothing", async () => {
  const none = deskOf({ kind: "none" });
  const { claim } = of(await none.perform({ kind: "claim", ref: 1, fresh: false }), "claimed");
  assert.deepEqual(claim, { der: Buffer.alloc(0), isReplaceable: false });
  assert.equal((await opened(await sealed(none))).claim.kind, "none");
  const desk = deskOf({ kind: "request" });
  await desk.perform({ kind: "claim", ref: 1, fresh: false });
  assert.equal((await opened(await sealed(desk, false))).claim.kind, "none");
});

async function answered(
  signer: Identity,
  change = (body: Buffer) => body,
  chain: readonly Identity[] = [issuer],
) {
  const desk = deskOf({ kind: "none" });
  const { firstKey } = await sealed(desk);
  const answer = await sealRegistrationAnswer({
    ...{ rows: ROWS, certificate: alice.certificate, signer, random: randomBytes },
    chain: chain.map(({ certificate }) => certificate),
    controllers: [controller.certificate],
    trust: [{ domain: "biloxi.example.com", anchors: [biloxi.certificate] }],
    to: { kind: "first-key", firstKey },
  });
  return (key: FirstKey = firstKey) =>
    desk.perform({ kind: "open", ref: 1, ...answer, body: change(answer.body), firstKey: key });
}

test("an answer is opened: certificate, its chain, controllers and whom to trust", async () => {
  const open = await answered(controller);
  const { answer } = of(await open(), "opened");
  assert.ok(answer.certificate?.encoded.equals(alice.certificate));
  assert.deepEqual(answer.chain, [issuer.certificate]);
  assert.deepEqual(answer.controllers, [controller.certificate]);
  assert.deepEqual(answer.trust, [{ domain: "biloxi.example.com", anchors: [biloxi.certificate] }]);
  assert.deepEqual(answer.signer.uris, ["sip:atlanta.example.com"]);
  assert.deepEqual(answer.rows, ROWS);
});

test("authorities that somebody on the way put into the answer are not kept", async () => {
  const namesake = await made("authority", undefined, [{ kind: "dns", name: "issuer" }]);
  const [another, own] = [await made("authority", atlanta), await made("authority", biloxi)];
  const strangers = [atlanta, biloxi, namesake, another, own];
  const { answer } = of(
    await (await answered(controller, undefined, [...strangers, issuer]))(),
    "opened",
  );
  assert.deepEqual(answer.chain, [issuer.certificate]);
});

test("refused: a signer of another domain's authority, a changed octet, another key", async () => {
  const flipped = (body: Buffer): Buffer => {
    const copy = Buffer.from(body);
    const at = Math.floor(copy.length / 2);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
  const foreign = of(await (await answered(other))(), "not-done");
  const changed = of(await (await answered(controller, flipped))(), "not-done");
  const { firstKey } = await sealed(deskOf({ kind: "none" }));
  const another = of(await (await answered(controller))(firstKey), "not-done");
  for (const { reason } of [foreign, changed, another])
    assert.match(reason, /^the answer is refused: /);
});

const QUESTION = { startLine: `OPTIONS ${BOB} SIP/2.0`, rows: ROWS } as const;

test("a question is signed by our certificate, and its chain goes along", async () => {
  const own = { identity: alice, chain: [issuer.certificate] };
  const signed = await signQuestion({ kind: "sign", ...QUESTION }, own);
  assert.ok(signed.kind === "signed");
  const { startLine, rows, signer, others } = await verifyQuery(signed);
  assert.deepEqual({ startLine, rows }, QUESTION);
  assert.ok(signer.encoded.equals(alice.certificate));
  assert.ok(others.some(({ encoded }) => encoded.equals(issuer.certificate)));
});

async function questionAnswered(
  signer: Identity,
  certificates = [alice.certificate],
): Promise<QueryInput> {
  const answer = await signQueryAnswer({ rows: ROWS, certificates, signer, random: randomBytes });
  return verifyQuestionAnswer({ kind: "verify", target: BOB, ...answer }, trust);
}

test("an answer is believed by the anchors of the domain that was asked alone", async () => {
  const good = await questionAnswered(other);
  assert.ok(good.kind === "verified");
  assert.deepEqual(good.answer.signer.uris, ["sip:biloxi.example.com"]);
  assert.equal(good.answer.certificates[0]?.uris[0], ALICE);
  const forged = await questionAnswered(controller);
  assert.ok(forged.kind === "not-done");
  assert.match(forged.reason, /^the answer is refused: /);
});

test("what is no signed answer is refused", async () => {
  const task = { kind: "verify", target: BOB, body: Buffer.from("x"), contentType: "text/plain" };
  const result = await verifyQuestionAnswer({ ...task, kind: "verify" }, trust);
  assert.equal(result.kind, "not-done");
});

for (const [type, options] of [
  ["rsa", { modulusLength: 1024 }],
  ["ec", { namedCurve: "P-384" }],
] as const)
  test(`a phone whose key is ${type} ${JSON.stringify(options)}, for which nothing can be sealed, is passed over`, async () => {
    const { publicKey } = generateKeyPairSync(type as "rsa", options as { modulusLength: number });
    const weak = await issueCertificate(
      {
        ...{ commonName: BOB, profile: "user", publicKey, serialNumber: randomBytes(16) },
        alternativeNames: [{ kind: "uri", uri: BOB }],
        notBefore: new Date(Date.now() - HOUR_MS),
        notAfter: new Date(Date.now() + HOUR_MS),
      },
      biloxi,
    );
    const good = await questionAnswered(other, [weak, alice.certificate]);
    assert.ok(good.kind === "verified");
    assert.deepEqual(
      good.answer.certificates.map(({ encoded }) => encoded),
      [alice.certificate],
    );
  });
