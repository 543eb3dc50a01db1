/** The office as a whole: other rules, other processes, other keys, no database. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { KeyDirectory, UNREADABLE_TOLD_MS } from "../../../controller/io/key-directory.ts";
import { openRegistrationAnswer } from "../../../protocol/body/registration-answer.ts";
import type { RegistrationRecipient } from "../../../protocol/body/registration-body.ts";
import type { AuthorityDatabase } from "../../../runtime/authority-database.ts";
import { ConfigError } from "../../../runtime/config-file.ts";
import type { Logger } from "../../../runtime/logger.ts";
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
  const { request } = await sealedRegister({ claim: await requestFor(newKeys()), recipient });
  const { claim, reply } = opened(await other.open(request));
  await other.office.stop();
  const { directory } = other.office;
  const keyId = randomBytes(32).toString("hex");
  assert.equal(directory.ownerOf(keyId), undefined);
  assert.equal(directory.isRevoked({ keyId }), true);
  assert.deepEqual(await other.open(request), { kind: "failed" }, "ours, not the phone's");
  const asker = await other.ask("verify-asker", { request, source: "192.0.2.1" });
  assert.deepEqual(asker, { kind: "failed" });
  assert.throws(() => other.office.reload(other.rules), ConfigError);
  const dates = { notBefore: NOT_BEFORE, notAfter: NOT_AFTER };
  const outcome = await other.ask("certify", { aor: ALICE, rows: ROWS, claim, reply, ...dates });
  assert.deepEqual(outcome, { kind: "failed" });
});

test("a database that cannot be read is told of once a minute, however often it is asked", (context) => {
  const lines: string[] = [];
  const log = { error: (_: object, line: string) => lines.push(line) } as unknown as Logger;
  const broken = { ownerOf: () => assert.fail() } as unknown as AuthorityDatabase;
  const directory = new KeyDirectory(broken, log);
  let now = 0;
  context.mock.method(performance, "now", () => now);
  for (let count = 0; count < 100; count += 1) directory.ownerOf("key");
  assert.deepEqual(lines, ["authority database cannot be read"]);
  now += UNREADABLE_TOLD_MS;
  directory.ownerOf("key");
  assert.equal(lines.length, 2);
});
