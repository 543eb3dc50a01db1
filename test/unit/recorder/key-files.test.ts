import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { KeyFileError, readPrivateKey, readPublicKey } from "../../../recorder/io/key-files.ts";

const directory = mkdtempSync(join(tmpdir(), "keyhole-keys-"));
after(() => rmSync(directory, { recursive: true }));
const at = (name: string) => join(directory, name);
const pair = generateKeyPairSync("x25519");
writeFileSync(at("key"), pair.privateKey.export({ type: "pkcs8", format: "pem" }));
writeFileSync(at("pub"), pair.publicKey.export({ type: "spki", format: "pem" }));
writeFileSync(at("rubbish"), "-----BEGIN RUBBISH-----");

describe("key file", () => {
  it("is read as the half that is wanted; a private one has both", () => {
    assert.ok(readPrivateKey(at("key"), "x25519").equals(pair.privateKey));
    for (const name of ["pub", "key"])
      assert.ok(readPublicKey(at(name), "x25519").equals(pair.publicKey));
  });

  const bad: readonly [string, () => unknown, RegExp][] = [
    ["not there", () => readPublicKey(at("none"), "x25519"), /none: cannot be read \(ENOENT\)/],
    ["no key", () => readPublicKey(at("rubbish"), "x25519"), /rubbish: no public key in PEM/],
    ["the other half", () => readPrivateKey(at("pub"), "x25519"), /pub: no private key in PEM/],
    ["another kind", () => readPublicKey(at("pub"), "ed25519"), /pub: x25519 key, not ed25519/],
  ];
  for (const [what, read, message] of bad)
    it(`is refused when it is ${what}`, () =>
      assert.throws(read, (error) => error instanceof KeyFileError && message.test(error.message)));
});
