import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  CRL_LIFE_MS,
  CRL_RENEWAL_MS,
  CRL_RETRY_MS,
  CrlFile,
} from "../../../controller/io/crl-file.ts";
import { decodeCrl } from "../../../protocol/pki/crl.ts";
import { issueCrl } from "../../../protocol/pki/issue-crl.ts";
import { AuthorityDatabase } from "../../../runtime/authority-database.ts";
import { createLogger } from "../../../runtime/logger.ts";
import { ALICE, AUTHORITY_CONFIG, AuthorityFiles } from "./authority-files.ts";
import { newKeys, OfficeFixture, sealedRegister } from "./office-fixture.ts";

let files: AuthorityFiles;
let database: AuthorityDatabase;
const log = createLogger("controller", "silent");
const NOW = Date.now();

before(() => {
  files = new AuthorityFiles();
  database = AuthorityDatabase.open(join(files.path, "crl.sqlite"));
});

after(() => {
  database.close();
  files.remove();
});

const fileOf = (name: string): CrlFile =>
  new CrlFile({ file: join(files.path, name), issuer: files.identity("issuer"), database, log });

test("a list is DER or PEM by its name, signed by the issuer, for everybody to read", async () => {
  for (const [name, form] of [
    ["list.crl", "DER"],
    ["list.pem", "PEM"],
  ] as const) {
    await fileOf(name).write(NOW);
    const argv = ["crl", "-in", name, "-inform", form, "-CAfile", "issuer.pem", "-noout"];
    const read = spawnSync("openssl", argv, { cwd: files.path });
    assert.match(String(read.stderr), /verify OK/);
    assert.equal(statSync(join(files.path, name)).mode & 0o777, 0o644);
  }
});

test("lists are numbered in the order of their writing and renewed long before their end", async () => {
  const crl = fileOf("numbered.crl");
  assert.ok(crl.isDue(NOW), "a new one at once");
  await Promise.all([crl.write(NOW), crl.write(NOW), crl.write(NOW)]);
  const list = decodeCrl(readFileSync(join(files.path, "numbered.crl")));
  assert.equal(Number.parseInt(list.number ?? "", 16), database.nextCrlNumber() - 1);
  assert.equal(list.nextUpdate - list.thisUpdate, CRL_LIFE_MS);
  assert.ok(!crl.isDue(NOW + CRL_RENEWAL_MS - 1));
  assert.ok(crl.isDue(NOW + CRL_RENEWAL_MS));
});

test("a list that cannot be written is tried again soon", async () => {
  const crl = fileOf("nowhere/list.crl");
  await crl.write(NOW);
  assert.ok(!crl.isDue(NOW + CRL_RETRY_MS - 1));
  assert.ok(crl.isDue(NOW + CRL_RETRY_MS));
});

test("the office writes a list at its start, and another when something was revoked", async (context) => {
  const fixture = new OfficeFixture(files, "office");
  const file = join(files.path, "issuer.crl");
  const serials = () => [...decodeCrl(readFileSync(file)).revoked.keys()];
  context.mock.timers.enable({ apis: ["setInterval"] });
  fixture.office.start();
  await fixture.office.settled();
  assert.deepEqual(serials(), []);
  const serial = await fixture.issue(newKeys());
  await fixture.beside((other) =>
    other.revoke({ kind: "serial", serial }, { at: NOW, reason: "superseded" }),
  );
  context.mock.timers.tick(1000);
  await fixture.office.settled();
  assert.deepEqual(serials(), [serial]);
  rmSync(file);
  context.mock.timers.tick(1000);
  await fixture.office.settled();
  assert.throws(() => statSync(file), "nothing new, nothing written");
  await fixture.office.stop();
});

/** A list of the root's, and what becomes of a certificate that it issued. */
async function claimUnder(list: {
  readonly revoked: readonly string[];
  readonly ageMs?: number;
}): Promise<string | undefined> {
  const thisUpdate = new Date(NOW - 1000 - (list.ageMs ?? 0));
  const nextUpdate = new Date(thisUpdate.getTime() + 3_600_000);
  const revoked = list.revoked.map((serial) => ({
    ...{ serial, at: thisUpdate, reason: "keyCompromise" as const },
  }));
  const request = { number: 1, thisUpdate, nextUpdate, revoked };
  const der = await issueCrl(request, files.identity("root"));
  files.write(
    "root.crl",
    `-----BEGIN X509 CRL-----\n${der.toString("base64")}\n-----END X509 CRL-----\n`,
  );
  const config = AUTHORITY_CONFIG.replace("[[authority", 'foreignCrls = ["root.crl"]\n[[authority');
  const fixture = new OfficeFixture(files, "foreign", config);
  const sealed = await sealedRegister({
    claim: { kind: "certificate", identity: files.identity("corporate") },
    recipient: { kind: "certificate", certificate: files.der("ss1") },
  });
  const outcome = await fixture.open(sealed.request);
  const { directory } = fixture.office;
  const corporate = { keyId: "00".repeat(32), der: files.der("corporate").toString("base64") };
  assert.equal(directory.isRevoked(corporate), list.revoked.length > 0, "one in service");
  await fixture.office.stop();
  return outcome.kind === "failed" ? outcome.code : outcome.kind;
}

test("a certificate of another authority is checked against that authority's list", async () => {
  files.makeUser("corporate", "root", ALICE);
  const listed = spawnSync("openssl", ["x509", "-in", "corporate.pem", "-noout", "-serial"], {
    cwd: files.path,
  });
  const serial = String(listed.stdout).trim().replace("serial=", "").toLowerCase();
  assert.equal(await claimUnder({ revoked: [] }), "opened");
  assert.equal(await claimUnder({ revoked: [serial] }), "ERR_CERTIFICATE");
  assert.equal(
    await claimUnder({ revoked: [], ageMs: 7_200_000 }),
    "ERR_CERTIFICATE",
    "a list that ran out",
  );
});
