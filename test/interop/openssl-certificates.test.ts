import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { planAuthority } from "../../ca/core/authority-plan.ts";
import { makeAuthority } from "../../ca/io/make-authority.ts";
import { OpensslBench } from "./openssl-command.ts";

const HOST = "ss1.atlanta.example.com";
const ALICE = "sip:alice@atlanta.example.com";

let bench: OpensslBench;

before(async () => {
  bench = new OpensslBench();
  const plan = planAuthority({
    domain: "atlanta.example.com",
    controller: HOST,
    users: [ALICE],
    addresses: ["10.10.0.1", "2001:db8::1"],
    keyType: "p256",
  });
  assert.ok(plan.kind === "plan");
  const validity = { authorityDays: 30, certificateDays: 10 };
  await makeAuthority(bench.directory, plan.items, validity);
});
after(() => bench.remove());

describe("certificates of `keyhole ca init` and OpenSSL", () => {
  const purposes = {
    [`${HOST}.pem`]: ["sslserver", "sslclient", "smimesign"],
    "alice.pem": ["sslclient", "smimesign"],
    "issuer.pem": ["any"],
  };
  for (const [file, accepted] of Object.entries(purposes))
    for (const purpose of accepted)
      test(`${file} verifies as ${purpose}`, () => {
        const options = ["-x509_strict", "-CAfile", "ca.pem", "-purpose", purpose];
        const result = bench.run(["verify", ...options, file]);
        assert.equal(result.status, 0, result.stderr);
      });

  test("a user's certificate is no TLS server and no authority", () => {
    const verify = ["verify", "-CAfile", "ca.pem"];
    assert.notEqual(bench.run([...verify, "-purpose", "sslserver", "alice.pem"]).status, 0);
    assert.notEqual(bench.run(["verify", "-CAfile", "alice.pem", `${HOST}.pem`]).status, 0);
  });

  test("the controller's certificate names host and addresses", () => {
    const verify = ["verify", "-CAfile", "ca.pem"];
    for (const name of [
      ["-verify_hostname", HOST],
      ["-verify_ip", "10.10.0.1"],
      ["-verify_ip", "2001:db8::1"],
    ])
      assert.equal(bench.run([...verify, ...name, `${HOST}.pem`]).status, 0, name.join(" "));
    const other = ["-verify_hostname", "ss2.biloxi.example.com"];
    assert.notEqual(bench.run([...verify, ...other, `${HOST}.pem`]).status, 0);
  });

  test("x509 -text shows what each may do", () => {
    const textOf = (file: string): string =>
      bench.run(["x509", "-in", file, "-noout", "-text"]).stdout.toString();
    assert.match(textOf("alice.pem"), /Digital Signature, Key Agreement/);
    assert.match(textOf("alice.pem"), /URI:sip:alice@atlanta\.example\.com/);
    assert.match(textOf("ca.pem"), /Certificate Sign, CRL Sign/);
    assert.match(textOf("ca.pem"), /CA:TRUE, pathlen:1/);
    assert.match(textOf("issuer.pem"), /CA:TRUE, pathlen:0/);
    assert.match(textOf(`${HOST}.pem`), /URI:sip:atlanta\.example\.com/);
  });

  test("the issuer's file is a chain: its own certificate, then the authority's", () => {
    const args = ["storeutl", "-noout", "-text", "-certs", "issuer.pem"];
    const subjects = bench
      .run(args)
      .stdout.toString()
      .matchAll(/Subject: CN ?= ?(.*)/g);
    assert.deepEqual(
      [...subjects].map(([, name]) => name),
      ["atlanta.example.com Keyhole issuer", "atlanta.example.com Keyhole CA"],
    );
  });

  for (const name of ["ca", "issuer", HOST, "alice", "order", "recorder", "archive", "ledger"])
    test(`${name}: private and public file belong together`, () => {
      const fromPrivate = bench.run(["pkey", "-in", `${name}.key`, "-pubout"]);
      assert.equal(fromPrivate.status, 0, fromPrivate.stderr);
      const isKeyPair = ["order", "recorder", "archive", "ledger"].includes(name);
      const fromPublic = isKeyPair
        ? bench.run(["pkey", "-pubin", "-in", `${name}.pub`, "-pubout"])
        : bench.run(["x509", "-in", `${name}.pem`, "-noout", "-pubkey"]);
      assert.deepEqual(fromPublic.stdout, fromPrivate.stdout);
    });
});
