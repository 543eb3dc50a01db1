import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { planAuthority } from "../../../ca/core/authority-plan.ts";
import { makeAuthority } from "../../../ca/io/make-authority.ts";
import { main } from "../../../ca/main.ts";
import { decodeCertificate, fingerprintOf } from "../../../protocol/pki/certificate.ts";
import { decodeCrl, verifyCrl } from "../../../protocol/pki/crl.ts";
import { issueCertificate } from "../../../protocol/pki/issue-certificate.ts";
import { keyIdOf } from "../../../protocol/pki/public-key.ts";
import { AuthorityDatabase } from "../../../runtime/authority-database.ts";
import type { IssuedCertificate } from "../../../runtime/authority-tables.ts";
import { ConfigError } from "../../../runtime/config-file.ts";

const ALICE = "sip:alice@a.example";
const BOB = "sip:bob@a.example";
const HOUR_MS = 3_600_000;

const folder = mkdtempSync(join(tmpdir(), "keyhole-ca-"));
const pathOf = (name: string): string => join(folder, name);
let database: string;
let count = 0;

before(async () => {
  const plan = planAuthority({
    domain: "a.example",
    controller: "ss1.a.example",
    users: [],
    addresses: [],
    keyType: "p256",
  });
  assert.ok(plan.kind === "plan");
  await makeAuthority(folder, plan.items, { authorityDays: 30, certificateDays: 10 });
});
beforeEach(() => {
  count += 1;
  database = pathOf(`${count}.sqlite`);
  AuthorityDatabase.open(database).close();
});
after(() => rmSync(folder, { recursive: true, force: true }));

const certificateOf = (file: string): Buffer => new X509Certificate(readFileSync(pathOf(file))).raw;

/** Issues as a controller does. */
async function issue(aor: string, endsAt: number, by = "issuer"): Promise<IssuedCertificate> {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = {
    certificate: certificateOf(`${by}.pem`),
    privateKey: createPrivateKey(readFileSync(pathOf(`${by}.key`))),
  };
  const der = await issueCertificate(
    {
      commonName: aor,
      publicKey,
      profile: "user",
      alternativeNames: [{ kind: "uri", uri: aor }],
      serialNumber: Buffer.from(
        `00${(count * 1000 + endsAt).toString(16).padStart(30, "0")}`,
        "hex",
      ),
      notBefore: new Date(0),
      notAfter: new Date(endsAt),
    },
    issuer,
  );
  const { serial, notAfter } = decodeCertificate(der);
  const keyId = keyIdOf(publicKey);
  const issued = { serial, aor, keyId, fingerprint: fingerprintOf(der), notAfter, der };
  const book = AuthorityDatabase.open(database);
  await book.record(issued, 0);
  book.close();
  return issued;
}

async function ca(command: string, ...args: readonly string[]) {
  const said = { stdout: "", stderr: "" };
  const into = (name: keyof typeof said) => ({
    write: (text: string) => {
      said[name] += text;
    },
  });
  const terminal = { stdout: into("stdout"), stderr: into("stderr") };
  const status = await main([command, "--database", database, ...args], terminal);
  return { status, ...said };
}
const crl = (...more: readonly string[]) => {
  const issuer = ["--certificate", pathOf("issuer.pem"), "--key", pathOf("issuer.key")];
  return ca("crl", ...issuer, "--out", pathOf("issuer.crl"), ...more);
};

describe("keyhole ca list", () => {
  test("shows what is valid or revoked, and with --all what expired", async () => {
    const valid = await issue(ALICE, Date.now() + HOUR_MS);
    const expired = await issue(BOB, Date.now() - HOUR_MS);
    const { status, stdout, stderr } = await ca("list");
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^serial +valid until +user +state\n/);
    const row = stdout.split("\n").find((line) => line.startsWith(valid.serial)) ?? "";
    const until = new Date(valid.notAfter).toISOString().replace(".000", "");
    assert.match(row, new RegExp(`${until} +${ALICE} +valid$`));
    assert.equal(stdout.includes(expired.serial), false);
    assert.match(
      (await ca("list", "--all")).stdout,
      new RegExp(`${expired.serial} .*${BOB} +expired`),
    );
    assert.equal((await ca("list", "--all", "--user", BOB)).stdout.includes(valid.serial), false);
  });

  test("gives programs one object a line", async () => {
    const { serial, keyId, fingerprint, notAfter } = await issue(ALICE, Date.now() + HOUR_MS);
    await ca("revoke", serial, "--reason", "keyCompromise");
    const { revokedAt, ...rest } = JSON.parse((await ca("list", "--json")).stdout);
    assert.ok(Math.abs(Date.parse(revokedAt) - Date.now()) < HOUR_MS);
    assert.deepEqual(rest, {
      serial,
      aor: ALICE,
      state: "revoked",
      notAfter: new Date(notAfter).toISOString().replace(".000", ""),
      reason: "keyCompromise",
      keyId,
      fingerprint,
    });
  });

  test("makes no database where there is none", async () => {
    database = pathOf("none.sqlite");
    for (const run of [() => ca("list"), () => ca("revoke", ALICE), () => crl()])
      await assert.rejects(run, (error) => {
        assert.ok(error instanceof ConfigError);
        return /none\.sqlite: \(authority database\) is not there/.test(error.message);
      });
    assert.throws(() => statSync(database));
  });
});

describe("keyhole ca revoke", () => {
  test("takes a serial number as OpenSSL prints it, or a user", async () => {
    const first = await issue(ALICE, Date.now() + HOUR_MS);
    const second = await issue(BOB, Date.now() + 2 * HOUR_MS);
    const colons = first.serial.toUpperCase().replaceAll(/(..)(?=.)/g, "$1:");
    const revoked = await ca("revoke", colons, "--reason", "superseded");
    assert.equal(revoked.status, 0, revoked.stderr);
    assert.match(revoked.stdout, new RegExp(`^Revoked\\.\n[\\s\\S]*${first.serial}.*superseded`));
    assert.equal((await ca("revoke", BOB)).status, 0);
    const book = AuthorityDatabase.open(database);
    assert.deepEqual(
      [first, second].map((each) => book.isRevoked(each)),
      [true, true],
    );
    book.close();
    const again = await ca("revoke", first.serial);
    assert.deepEqual([again.status, again.stdout], [0, "Revoked before.\n"]);
  });

  test("says so if there is nothing to revoke", async () => {
    for (const target of ["5f00", ALICE]) {
      const { status, stdout, stderr } = await ca("revoke", target);
      assert.deepEqual([status, stdout], [1, ""]);
      assert.match(stderr, /^keyhole ca: no certificate/);
    }
  });
});

describe("keyhole ca crl", () => {
  const read = () => {
    const pem = readFileSync(pathOf("issuer.crl"), "utf8");
    return decodeCrl(Buffer.from(pem.replaceAll(/-----.*-----|\n/g, ""), "base64"));
  };

  test("writes numbered lists of what this issuer's certificates are revoked", async () => {
    const revoked = await issue(ALICE, Date.now() + HOUR_MS);
    const ended = await issue(ALICE, Date.now() - HOUR_MS);
    const longAgo = await issue(ALICE, Date.now() - 30 * 24 * HOUR_MS);
    await issue(BOB, Date.now() + HOUR_MS);
    const ofRoot = await issue(ALICE, Date.now() + 2 * HOUR_MS, "ca");
    assert.match((await crl()).stdout, /^List 1 written to .*issuer\.crl; revoked: 0\n$/);
    await ca("revoke", ALICE);
    assert.match((await crl("--days", "3")).stdout, /^List 2 .* revoked: 2\n$/);
    const list = read();
    verifyCrl(list, decodeCertificate(certificateOf("issuer.pem")), Date.now());
    assert.equal(list.number, "02");
    assert.equal(list.nextUpdate - list.thisUpdate, 3 * 24 * HOUR_MS);
    assert.deepEqual([...list.revoked.keys()].sort(), [revoked.serial, ended.serial].sort());
    for (const { serial } of [longAgo, ofRoot]) assert.equal(list.revoked.has(serial), false);
    assert.equal(statSync(pathOf("issuer.crl")).mode & 0o777, 0o644);
    assert.equal((await crl("--der")).status, 0);
    assert.equal(decodeCrl(readFileSync(pathOf("issuer.crl"))).number, "03");
  });

  test("says which file is wrong, and uses no number up", async () => {
    const attempts: readonly (readonly [readonly string[], RegExp])[] = [
      [["--certificate", pathOf("none.pem")], /none\.pem: cannot be read/],
      [["--certificate", pathOf("issuer.key")], /issuer\.key: holds none in PEM/],
      [["--key", pathOf("issuer.pem")], /issuer\.pem: holds none in PEM/],
      [["--key", pathOf("ca.key")], /ca\.key: is not the key of .*issuer\.pem/],
      [["--certificate", pathOf("ss1.a.example.pem")], /is no authority/],
    ];
    for (const [change, fault] of attempts) {
      const { status, stdout, stderr } = await crl(...change);
      assert.deepEqual([status, stdout], [65, ""]);
      assert.match(stderr, fault);
      assert.doesNotMatch(stderr, /\n.*\n/);
    }
    for (const days of ["0", "366", "1.5"])
      assert.equal((await crl("--days", days)).status, 64, days);
    assert.match((await crl()).stdout, /^List 1 /);
    const unwritable = await crl("--out", pathOf("no/such/place.crl"));
    assert.equal(unwritable.status, 65);
    assert.match(unwritable.stderr, /place\.crl: cannot be written/);
  });
});
