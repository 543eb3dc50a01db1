import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { planAuthority } from "../../../ca/core/authority-plan.ts";
import { CannotWriteError, makeAuthority } from "../../../ca/io/make-authority.ts";
import { requireSecondOpinion } from "../../../ca/io/second-opinion.ts";
import { main } from "../../../ca/main.ts";
import { makeIdentity } from "../pki/make-identity.ts";

const plan = planAuthority({
  domain: "atlanta.example.com",
  controller: "ss1.atlanta.example.com",
  users: ["sip:alice@atlanta.example.com"],
  addresses: [],
  keyType: "p256",
});
assert.ok(plan.kind === "plan");
const { items } = plan;
const VALIDITY = { authorityDays: 30, certificateDays: 10 };
const DAY_MS = 24 * 3600 * 1000;

let parent: string;
before(() => {
  parent = mkdtempSync(join(tmpdir(), "keyhole-ca-"));
});
after(() => rmSync(parent, { recursive: true, force: true }));

describe("makeAuthority", () => {
  test("writes private files for their owner alone, with the validity asked for", async () => {
    const directory = join(parent, "new", "directory");
    await makeAuthority(directory, items, VALIDITY);
    for (const { privateFile, publicFile } of items) {
      assert.equal(statSync(join(directory, privateFile)).mode & 0o777, 0o600);
      assert.equal(statSync(join(directory, publicFile)).mode & 0o133, 0);
    }
    const lifeDays = (file: string): number => {
      const { validFromDate, validToDate } = new X509Certificate(
        readFileSync(join(directory, file)),
      );
      return Math.floor((validToDate.getTime() - validFromDate.getTime()) / DAY_MS);
    };
    assert.equal(lifeDays("ca.pem"), 30);
    assert.equal(lifeDays("issuer.pem"), 30);
    assert.equal(lifeDays("alice.pem"), 10);
  });

  test("overwrites nothing, names what is in the way and writes nothing else", async () => {
    const directory = mkdtempSync(join(parent, "taken-"));
    const existing = join(directory, "archive.key");
    writeFileSync(existing, "precious");
    await assert.rejects(makeAuthority(directory, items, VALIDITY), (error) => {
      assert.ok(error instanceof CannotWriteError);
      assert.match(error.message, /will not overwrite/);
      return error.message.includes(existing);
    });
    assert.deepEqual(readdirSync(directory), ["archive.key"]);
    assert.equal(readFileSync(existing, "utf8"), "precious");
  });

  test("takes back what it wrote if a file cannot be written", async () => {
    const directory = mkdtempSync(join(parent, "half-"));
    const unwritable = items.map((item, index) =>
      index === items.length - 1 ? { ...item, privateFile: "no/such/place.key" } : item,
    );
    await assert.rejects(makeAuthority(directory, unwritable, VALIDITY), CannotWriteError);
    assert.deepEqual(readdirSync(directory), []);
  });

  test("says so if the directory is a file", async () => {
    const file = join(parent, "file");
    writeFileSync(file, "");
    await assert.rejects(makeAuthority(file, items, VALIDITY), CannotWriteError);
  });
});

test("a second opinion refuses what another authority issued", async () => {
  const dates = { notBefore: new Date(0), notAfter: new Date(Date.now() + DAY_MS) };
  const make = (commonName: string) => makeIdentity({ ...dates, commonName, profile: "authority" });
  const [one, other] = [await make("one"), await make("other")];
  const { certificate } = await makeIdentity({ ...dates, issuer: one });
  await requireSecondOpinion(certificate, one.certificate);
  await assert.rejects(requireSecondOpinion(certificate, other.certificate), TypeError);
});

describe("keyhole ca", () => {
  const keyhole = async (...args: readonly string[]) => {
    const said = { stdout: "", stderr: "" };
    const into = (name: keyof typeof said) => ({
      write: (text: string) => {
        said[name] += text;
      },
    });
    const status = await main(args, { stdout: into("stdout"), stderr: into("stderr") });
    return { status, ...said };
  };
  const init = (directory: string, ...more: readonly string[]) => {
    const options = ["--domain", "a.example", "--controller", "ss1.a.example"];
    return keyhole(
      "init",
      "--out",
      directory,
      ...options,
      "--user",
      "sip:alice@a.example",
      ...more,
    );
  };

  test("says what it wrote and for whom, and never a key", async () => {
    const directory = join(parent, "told");
    const { status, stdout, stderr } = await init(
      directory,
      "--address",
      "10.10.0.1",
      "--days",
      "3",
    );
    assert.equal(status, 0, stderr);
    for (const file of readdirSync(directory)) assert.ok(stdout.includes(file), file);
    assert.doesNotMatch(stdout, /BEGIN/);
    const again = await init(directory);
    assert.equal(again.status, 73);
    assert.match(again.stderr, /will not overwrite/);
    assert.equal(again.stdout, "");
  });

  test("refuses bad arguments with exit code 64 and makes nothing", async () => {
    const directory = join(parent, "not-made");
    const attempts = await Promise.all([
      init(directory, "--user", "alice"),
      init(directory, "--days", "0"),
      init(directory, "--days", "x"),
      init(directory, "--key-type", "dsa"),
      init(directory, "--unknown"),
      keyhole("init", "--out", directory),
      keyhole("unknown"),
      keyhole("revoke", "--database", "none"),
      keyhole("revoke", "--database", "none", "alice"),
      keyhole("revoke", "--database", "none", "sip:alice@a.example", "--reason", "dislike"),
      keyhole("crl", "--database", "none"),
    ]);
    for (const { status, stderr } of attempts) {
      assert.equal(status, 64);
      assert.notEqual(stderr, "");
    }
    assert.throws(() => statSync(directory));
  });

  test("helps", async () => {
    const { status, stdout } = await keyhole("init", "--help");
    assert.equal(status, 0);
    assert.match(stdout, /--controller <host>/);
  });

  test("is a program of `keyhole`", () => {
    const args = ["bin/keyhole.ts", "ca", "--help"];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    assert.equal(status, 0);
    for (const command of ["init", "list", "revoke", "crl"])
      assert.match(stdout, new RegExp(`^  ${command} `, "m"));
  });

  test("makes certificates with the keys asked for", async () => {
    const directory = join(parent, "rsa");
    assert.equal((await init(directory, "--key-type", "rsa2048")).status, 0);
    for (const file of ["ca", "issuer", "ss1.a.example", "alice"]) {
      const { publicKey } = new X509Certificate(readFileSync(join(directory, `${file}.pem`)));
      assert.equal(publicKey.asymmetricKeyDetails?.modulusLength, 2048, file);
    }
  });
});
