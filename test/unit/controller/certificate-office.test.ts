/** The office as a whole: other rules, other processes, other keys, no database. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { openRegistrationAnswer } from "../../../protocol/body/registration-answer.ts";
import type { RegistrationRecipient } from "../../../protocol/body/registration-body.ts";
import { ALICE, AUTHORITY_CONFIG, AuthorityFiles, DOMAIN } from "./authority-files.ts";
import {
  BY_SHARED_KEY,
  codeOf,
  NOT_AFTER,
  NOT_BEFORE,
  newKeys,
  OfficeFixture,
  opened,
  ROWS,
  requestFor,
  sealedRegister,
  verifyByOpenssl,
} from "./office-fixture.ts";

let files: AuthorityFiles;
let recipient: RegistrationRecipient;

before(() => {
  files = new AuthorityFiles();
  recipient = { kind: "certificate", certificate: files.der("ss1") };
});

after(() => files.remove());

test("a reload takes other keys and users; the database stays", async () => {
  const other = new OfficeFixture(files, "reloaded");
  const text = AUTHORITY_CONFIG.replace(/\[\[user\]\][^[]+/, "");
  other.office.reload(other.rulesOf(files.write("reloaded.toml", text), text));
  const { request } = await sealedRegister({
    claim: { kind: "none" },
    recipient: BY_SHARED_KEY,
  });
  assert.equal(codeOf(await other.open(request)), "ERR_CMS_NO_RECIPIENT");
  await other.office.stop();
});

test("a revocation by another process is told within a poll", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const other = new OfficeFixture(files, "watched");
  other.office.start();
  await other.issue(newKeys());
  const told = () => other.fed.filter(({ kind }) => kind === "certificates-revoked").length;
  context.mock.timers.tick(1000);
  assert.equal(told(), 1, "what was revoked before the start");
  await other.beside((database) =>
    database.revoke({ kind: "aor", aor: ALICE }, { at: Date.now(), reason: "superseded" }),
  );
  context.mock.timers.tick(1000);
  context.mock.timers.tick(1000);
  assert.equal(told(), 2);
  await other.office.stop();
});

test("controller and authority may have RSA keys", async () => {
  const names = `subjectAltName=DNS:ss1.${DOMAIN},URI:sip:${DOMAIN}`;
  const usage = "keyUsage=critical,digitalSignature,keyEncipherment";
  files.make("rsa-ss1", { by: "root", rsaBits: 2048, extensions: [usage, names] });
  const ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
  files.make("rsa-issuer", { by: "root", rsaBits: 2048, extensions: ca });
  const config = AUTHORITY_CONFIG.replaceAll('"ss1.', '"rsa-ss1.')
    .replace(`"rsa-ss1.${DOMAIN}"`, `"ss1.${DOMAIN}"`)
    .replace("chain.pem", "rsa-issuer.pem")
    .replace("issuer.key", "rsa-issuer.key");
  const other = new OfficeFixture(files, "rsa", config);
  const { request, firstKey } = await sealedRegister({
    claim: await requestFor(newKeys(3072)),
    recipient: { kind: "certificate", certificate: files.der("rsa-ss1") },
  });
  const { claim, reply } = opened(await other.open(request));
  const dates = { notBefore: NOT_BEFORE, notAfter: NOT_AFTER };
  const done = await other.ask("certify", { aor: ALICE, rows: ROWS, claim, reply, ...dates });
  assert.ok(done.kind === "done" && done.certificate !== undefined);
  verifyByOpenssl(files, done.certificate.der, "rsa-issuer.pem");
  const answer = await openRegistrationAnswer({ ...done, holders: { firstKey } });
  assert.deepEqual(answer.signer.encoded, files.der("rsa-ss1"));
  await other.office.stop();
});

test("with a database that cannot be read nothing counts as valid", async () => {
  const other = new OfficeFixture(files, "closed");
  await other.office.stop();
  const { directory } = other.office;
  const keyId = randomBytes(32).toString("hex");
  assert.equal(directory.ownerOf(keyId), undefined);
  assert.equal(directory.isRevoked({ keyId }), true);
  const { request } = await sealedRegister({ claim: await requestFor(newKeys()), recipient });
  const { claim, reply } = opened(await other.open(request));
  const dates = { notBefore: NOT_BEFORE, notAfter: NOT_AFTER };
  const outcome = await other.ask("certify", { aor: ALICE, rows: ROWS, claim, reply, ...dates });
  assert.deepEqual(outcome, { kind: "failed" });
});
