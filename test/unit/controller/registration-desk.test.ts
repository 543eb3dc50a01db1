import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Claim } from "../../../controller/core/certificate-port.ts";
import { PASSWORD_LIMITS } from "../../../controller/io/registration-desk.ts";
import { openRegistrationAnswer } from "../../../protocol/body/registration-answer.ts";
import type { RegistrationRecipient } from "../../../protocol/body/registration-body.ts";
import { decodeCertificate } from "../../../protocol/pki/certificate.ts";
import { keyIdOf } from "../../../protocol/pki/public-key.ts";
import { Secret } from "../../../protocol/secret.ts";
import { ALICE, AuthorityFiles, DOMAIN } from "./authority-files.ts";
import {
  BY_SHARED_KEY,
  codeOf,
  HA1,
  NOT_AFTER,
  NOT_BEFORE,
  newKeys,
  OfficeFixture,
  type Opened,
  opened,
  ROWS,
  registerOf,
  requestFor,
  sealedRegister,
  verifyByOpenssl,
} from "./office-fixture.ts";

let files: AuthorityFiles;
let fixture: OfficeFixture;
let recipient: RegistrationRecipient;

before(() => {
  files = new AuthorityFiles();
  fixture = new OfficeFixture(files, "desk");
  recipient = { kind: "certificate", certificate: files.der("ss1") };
});

after(async () => {
  await fixture.office.stop();
  files.remove();
});

const certify = ({ claim, reply }: Pick<Opened, "claim" | "reply">, aor = ALICE) =>
  fixture.ask("certify", {
    aor,
    claim,
    notBefore: NOT_BEFORE,
    notAfter: NOT_AFTER,
    rows: ROWS,
    reply,
  });

for (const rsaBits of [undefined, 2048])
  test(`a key of ${rsaBits ?? "P-256"} is certified to the second, recorded and handed out`, async () => {
    const keys = newKeys(rsaBits);
    const claim = await requestFor(keys);
    const { request, firstKey } = await sealedRegister({ claim, recipient });
    const registration = opened(await fixture.open(request));
    assert.deepEqual(registration.rows, ROWS);
    assert.equal(registration.holder, "certificate");
    assert.deepEqual((registration.claim as Claim & { kind: "request" }).uris, [ALICE]);
    const certified = await certify(registration);
    assert.ok(certified.kind === "done" && certified.certificate !== undefined);
    const { der, keyId, notAfter, issued } = certified.certificate;
    assert.deepEqual([notAfter, issued], [NOT_AFTER, true]);
    assert.equal(keyId, keyIdOf(keys.publicKey));
    const certificate = decodeCertificate(der);
    assert.deepEqual(
      [certificate.notBefore, certificate.notAfter],
      [Math.floor(NOT_BEFORE / 1000) * 1000, NOT_AFTER],
    );
    assert.deepEqual(certificate.uris, [ALICE]);
    verifyByOpenssl(files, der);
    const [listed] = await fixture.beside((database) =>
      database.list({ aor: ALICE }).filter((one) => one.keyId === keyId),
    );
    assert.deepEqual([listed?.serial, listed?.notAfter], [certificate.serial, NOT_AFTER]);
    assert.deepEqual(Buffer.from(listed?.der ?? []), der);
    assert.ok(policy().directory.hasIssued(listed?.fingerprint ?? ""));
    const answer = await openRegistrationAnswer({ ...certified, holders: { firstKey } });
    assert.deepEqual(answer.rows, ROWS);
    assert.deepEqual(answer.certificate?.encoded, der);
    assert.deepEqual(
      answer.controllers.map(({ encoded }) => encoded),
      [files.der("ss1")],
    );
    assert.deepEqual(
      answer.trust.map(({ domain, anchors }) => [domain, ...anchors.map(({ encoded }) => encoded)]),
      [
        [DOMAIN, files.der("root")],
        ["biloxi.example.com", files.der("biloxi")],
      ],
    );
    assert.deepEqual(answer.signer.encoded, files.der("ss1"));
    assert.deepEqual(
      answer.others.map(({ encoded }) => encoded),
      [files.der("issuer")],
    );
  });

const SECRETS: readonly [name: string, recipient: RegistrationRecipient][] = [
  ["kek", BY_SHARED_KEY],
  ["password", { kind: "password", password: new Secret(Buffer.from(HA1)) }],
];

for (const [holder, own] of SECRETS) {
  test(`a registration sealed by ${holder} is opened, and proves its user`, async () => {
    const { request, firstKey } = await sealedRegister({ claim: { kind: "none" }, recipient: own });
    const registration = opened(await fixture.open(request));
    assert.equal(registration.holder, holder);
    const certified = await certify(registration);
    assert.ok(certified.kind === "done");
    assert.equal(certified.certificate, undefined);
    const answer = await openRegistrationAnswer({ ...certified, holders: { firstKey } });
    assert.equal(answer.certificate, undefined);
  });

  test(`CBC by ${holder} proves nobody, since it authenticates nothing`, async () => {
    const { request } = await sealedRegister({
      claim: { kind: "none" },
      recipient: own,
      cipher: "aes-256-cbc",
    });
    assert.equal(opened(await fixture.open(request)).holder, "certificate");
  });
}

test("CBC: a claim that fails reads like a body that does not open", async () => {
  const { publicKey } = newKeys();
  const claim = await requestFor({ publicKey, privateKey: newKeys().privateKey });
  const { request } = await sealedRegister({ claim, recipient, cipher: "aes-256-cbc" });
  assert.equal(codeOf(await fixture.open(request)), "ERR_CMS_DECRYPT");
});

test("a password is tried for who is nobody as well: the time it takes tells nothing", async () => {
  const [, password] = SECRETS[1] ?? [undefined, recipient];
  const { request } = await sealedRegister({ claim: { kind: "none" }, recipient: password });
  const nobody = { request, aor: `sip:nobody@${DOMAIN}`, labelled: true, source: "192.0.2.1" };
  assert.equal(codeOf(await fixture.ask("open-registration", nobody)), "ERR_CMS_DECRYPT");
});

test("no password is tried where no label names us", async () => {
  const claim = { kind: "none" as const };
  const { request } = await sealedRegister({ claim, recipient: SECRETS[1]?.[1] ?? recipient });
  assert.equal(codeOf(await fixture.open(request, { labelled: false })), "ERR_CMS_NO_RECIPIENT");
});

test("passwords wait their turn, and who asks for too many gets none", async () => {
  const { request } = await sealedRegister({
    claim: { kind: "none" },
    recipient: { kind: "password", password: new Secret(Buffer.from("another")) },
  });
  const most = PASSWORD_LIMITS.running + PASSWORD_LIMITS.waitingOfOne;
  const asked = Array.from({ length: most + 1 }, () => fixture.open(request));
  const other = fixture.open(request, { source: "192.0.2.2" });
  const codes = (await Promise.all(asked)).map(codeOf);
  assert.deepEqual(codes.slice(0, most), Array(most).fill("ERR_CMS_DECRYPT"));
  assert.equal(codes.at(-1), undefined);
  assert.equal(codeOf(await other), "ERR_CMS_DECRYPT");
});

test("a key that may not be used again is answered to the certificate it asked for", async () => {
  const keys = newKeys();
  const claim = await requestFor(keys);
  const { request } = await sealedRegister({ claim, recipient, reference: false });
  const certified = await certify(opened(await fixture.open(request)));
  assert.ok(certified.kind === "done" && certified.certificate !== undefined);
  const identity = { certificate: certified.certificate.der, privateKey: keys.privateKey };
  const answer = await openRegistrationAnswer({ ...certified, holders: { identity } });
  assert.deepEqual(answer.certificate?.encoded, certified.certificate.der);
});

test("what nobody could answer is not accepted", async () => {
  const claim = { kind: "none" as const };
  const { request } = await sealedRegister({ claim, recipient, reference: false });
  assert.equal(codeOf(await fixture.open(request)), "ERR_CMS_UNSUPPORTED");
});

test("what was changed, or is for another, is not opened", async () => {
  const claim = { kind: "none" as const };
  const { request } = await sealedRegister({ claim, recipient });
  const body = Buffer.from(request.body);
  body[body.length - 1] = (body[body.length - 1] ?? 0) ^ 1;
  assert.equal(codeOf(await fixture.open({ ...request, body })), "ERR_CMS_DECRYPT");
  const others = { kind: "certificate" as const, certificate: files.der("issuer") };
  const stranger = await sealedRegister({ claim, recipient: others });
  assert.equal(codeOf(await fixture.open(stranger.request)), "ERR_CMS_NO_RECIPIENT");
  const junk = registerOf({ body: Buffer.from("junk"), contentType: "application/pkcs7-mime" });
  assert.equal(codeOf(await fixture.open(junk)), "ERR_CMS_DECRYPT");
});

/** A request made by OpenSSL. */
function opensslRequest(name: string, key: readonly string[], names: string): Buffer {
  const argv = [
    ...["req", "-new", "-nodes", "-newkey", ...key, "-keyout", `${name}.key`, "-subj", "/CN=alice"],
    ...["-addext", `subjectAltName=${names}`, "-outform", "DER", "-out", `${name}.csr`],
  ];
  const made = spawnSync("openssl", argv, { cwd: files.path });
  assert.equal(made.status, 0, String(made.stderr));
  return readFileSync(join(files.path, `${name}.csr`));
}

const P256 = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const REQUESTS: readonly [name: string, key: readonly string[], names: string, code: string][] = [
  ["a good key and name", P256, `URI:${ALICE}`, "opened"],
  ["a key of RSA 1024", ["rsa:1024"], `URI:${ALICE}`, "ERR_CERTIFICATE_REQUEST"],
  [
    "a key of another curve",
    ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    `URI:${ALICE}`,
    "ERR_CERTIFICATE_REQUEST",
  ],
  ["names beside URIs", P256, `URI:${ALICE},DNS:ss1.${DOMAIN}`, "ERR_CERTIFICATE_REQUEST"],
];

for (const [name, key, names, code] of REQUESTS)
  test(`a request of OpenSSL with ${name}: ${code}`, async () => {
    const claim = { kind: "request" as const, request: opensslRequest("asked", key, names) };
    const { request } = await sealedRegister({ claim, recipient });
    assert.equal(codeOf(await fixture.open(request)), code);
  });

test("a request that its key did not sign is refused", async () => {
  const claim = await requestFor(newKeys());
  const at = claim.request.length - 1;
  claim.request[at] = (claim.request[at] ?? 0) ^ 1;
  const { request } = await sealedRegister({ claim, recipient });
  assert.equal(codeOf(await fixture.open(request)), "ERR_CERTIFICATE_REQUEST");
});

test("a certificate that the phone has is served to its end, and its key is its user's", async () => {
  files.makeUser("corporate", "root", ALICE);
  const identity = files.identity("corporate");
  const { request, firstKey } = await sealedRegister({
    claim: { kind: "certificate", identity },
    recipient,
  });
  const registration = opened(await fixture.open(request));
  assert.ok(registration.claim.kind === "certificate");
  const { uris, notAfter, fingerprint } = registration.claim;
  assert.deepEqual(uris, [ALICE]);
  const x509 = new X509Certificate(identity.certificate);
  assert.equal(fingerprint, x509.fingerprint256.replaceAll(":", "").toLowerCase());
  assert.equal(notAfter, Date.parse(x509.validTo));
  const certified = await certify(registration);
  assert.ok(certified.kind === "done" && certified.certificate !== undefined);
  assert.deepEqual(certified.certificate.der, identity.certificate);
  assert.equal(certified.certificate.issued, false);
  const answer = await openRegistrationAnswer({ ...certified, holders: { firstKey } });
  assert.deepEqual(answer.certificate?.encoded, identity.certificate);
  const { keyId } = registration.claim;
  assert.equal(await fixture.beside((database) => database.ownerOf(keyId)), ALICE);
});

test("a certificate below an issuer of ours is believed without that issuer beside it", async () => {
  files.makeUser("ours", "issuer", ALICE);
  const claim = { kind: "certificate" as const, identity: files.identity("ours") };
  const { request } = await sealedRegister({ claim, recipient });
  assert.equal(codeOf(await fixture.open(request)), "opened");
});

test("certificates of foreign authorities, and such as are over, are refused", async (context) => {
  files.makeUser("foreign", "biloxi", ALICE);
  files.makeUser("bob", "biloxi", "sip:bob@biloxi.example.com");
  files.make("self", { extensions: [`subjectAltName=URI:${ALICE}`] });
  await files.makeExpired("over", "root", ALICE);
  const cases: readonly [name: string, code: string][] = [
    ["foreign", "ERR_CERTIFICATE"],
    ["self", "ERR_CERTIFICATE"],
    ["over", "ERR_CERTIFICATE"],
    ["bob", "opened"], // whose name it is, the core compares
  ];
  for (const [name, code] of cases)
    await context.test(name, async () => {
      const claim = { kind: "certificate" as const, identity: files.identity(name) };
      const { request } = await sealedRegister({ claim, recipient });
      assert.equal(codeOf(await fixture.open(request)), code);
    });
});

test("of a certificate count the names alone that its own authority may speak for", async () => {
  const bob = "sip:bob@biloxi.example.com";
  files.makeUser("both", "biloxi", `${bob},URI:${ALICE}`);
  const claim = { kind: "certificate" as const, identity: files.identity("both") };
  const { request } = await sealedRegister({ claim, recipient });
  const { claim: read } = opened(await fixture.open(request));
  assert.ok(read.kind === "certificate");
  assert.deepEqual(read.uris, [bob]);
});

test("a key that is another's, or was revoked, is not certified", async () => {
  const keys = newKeys();
  const claim = await requestFor(keys);
  const next = async () =>
    opened(await fixture.open((await sealedRegister({ claim, recipient })).request));
  assert.equal((await certify(await next())).kind, "done");
  assert.equal((await certify(await next())).kind, "done", "a refresh with one's own key is fine");
  assert.deepEqual(await certify(await next(), `sip:eve@${DOMAIN}`), {
    kind: "refused",
    reason: "key-of-another",
  });
  const keyId = keyIdOf(keys.publicKey);
  const { directory } = policy();
  assert.equal(directory.ownerOf(keyId), ALICE);
  assert.equal(directory.isRevoked({ keyId }), false);
  await fixture.beside((database) => {
    const serial = database.list().find((one) => one.keyId === keyId)?.serial ?? "";
    database.revoke({ kind: "serial", serial }, { at: Date.now(), reason: "keyCompromise" });
  });
  assert.equal(directory.isRevoked({ keyId }), true, "at the next question");
  assert.deepEqual(await certify(await next()), { kind: "refused", reason: "key-revoked" });
});

const policy = () => fixture.office.policyOf(fixture.rules);

test("what is certified ends with its issuer at the latest, and the reply is wiped whatever comes", async () => {
  const claim = await requestFor(newKeys());
  const { request } = await sealedRegister({ claim, recipient });
  const registration = opened(await fixture.open(request));
  const { notAfter } = decodeCertificate(files.der("issuer"));
  const outcome = await fixture.ask("certify", {
    ...{ aor: ALICE, claim: registration.claim, rows: ROWS, reply: registration.reply },
    notBefore: NOT_BEFORE,
    notAfter: notAfter + 1000,
  });
  assert.deepEqual(outcome, { kind: "failed" });
  assert.deepEqual(await certify({ ...registration, claim: { kind: "none" } }), { kind: "failed" });
});

test("nothing is known of a key that was never seen", () => {
  const { directory, skewMs, perMinute, locationTo } = policy();
  const keyId = randomBytes(32).toString("hex");
  assert.equal(directory.ownerOf(keyId), undefined);
  assert.equal(directory.isRevoked({ keyId }), false);
  assert.deepEqual(
    [skewMs, perMinute, locationTo],
    [300_000, { registrations: 60, queries: 300 }, "nobody"],
  );
});
