import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ConfigError } from "../../../runtime/config-file.ts";
import { CredentialFiles, parsePemCertificates } from "../../../runtime/credential-files.ts";

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "keyhole-"));
  writeFileSync(join(folder, "a.toml"), '[tls]\ncertificate = "a.pem"\nkey = "a.key"\n');
  writeFileSync(join(folder, "a.key"), "secret words");
});
after(() => rmSync(folder, { recursive: true }));

test("every file at fault is told at once, with the line that names it, never what it holds", () => {
  const files = new CredentialFiles(join(folder, "a.toml"));
  assert.equal(files.read("a.pem", "tls.certificate", parsePemCertificates), undefined);
  const quoting = (pem: string): never => {
    throw new Error(`cannot read ${pem}`);
  };
  assert.equal(files.read("a.key", "tls.key", quoting), undefined);
  assert.throws(
    () => files.throwFaults(),
    (error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(error.faults, [
        { path: "tls.certificate", line: 2, message: "a.pem cannot be read" },
        { path: "tls.key", line: 3, message: "a.key is not what is needed here" },
      ]);
      assert.doesNotMatch(error.message, /secret words/);
      return true;
    },
  );
});

test("files that are right are no fault", () => {
  const files = new CredentialFiles(join(folder, "a.toml"));
  assert.equal(
    files.read("a.key", "tls.key", (pem) => pem.length),
    "secret words".length,
  );
  assert.doesNotThrow(() => files.throwFaults());
});

test("a PEM text without a certificate is refused", () => {
  assert.throws(() => parsePemCertificates("-----BEGIN KEY-----"), TypeError);
});
