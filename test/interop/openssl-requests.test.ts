import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isProtocolError } from "../../protocol/errors.ts";
import { encodeCertificatePem } from "../../protocol/pki/certificate.ts";
import {
  createCertificationRequest,
  decodeCertificationRequest,
} from "../../protocol/pki/certification-request.ts";
import { issueCertificate } from "../../protocol/pki/issue-certificate.ts";
import { makeAuthority, NOT_AFTER, NOT_BEFORE, NOW } from "../unit/pki/make-identity.ts";
import { OpensslBench } from "./openssl-command.ts";

const ALICE = "sip:alice@atlanta.example.com";
const SAN_ALICE = `subjectAltName=URI:${ALICE}`;

let bench: OpensslBench;
before(() => {
  bench = new OpensslBench();
});
after(() => bench.remove());

describe("requests of ours, at OpenSSL", () => {
  const pairs: Readonly<Record<string, { publicKey: KeyObject; privateKey: KeyObject }>> = {
    "P-256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
    "RSA-2048": generateKeyPairSync("rsa", { modulusLength: 2048 }),
    "RSA-4096": generateKeyPairSync("rsa", { modulusLength: 4096 }),
  };
  for (const [what, pair] of Object.entries(pairs))
    test(`${what}: the signature verifies, the name is there`, async () => {
      bench.write("ours.der", await createCertificationRequest({ aor: ALICE, ...pair }));
      const args = ["req", "-verify", "-inform", "DER", "-in", "ours.der", "-noout", "-text"];
      const { status, stdout, stderr } = bench.run(args);
      assert.equal(status, 0, stderr);
      assert.match(stderr, /verify OK/);
      assert.ok(stdout.includes(`URI:${ALICE}`));
    });

  test("an altered one does not verify", async () => {
    const [pair] = Object.values(pairs);
    assert.ok(pair);
    const octets = await createCertificationRequest({ aor: ALICE, ...pair });
    octets[40] = (octets[40] ?? 0) ^ 1;
    bench.write("ours.der", octets);
    const { stderr } = bench.run(["req", "-verify", "-inform", "DER", "-in", "ours.der", "-noout"]);
    assert.doesNotMatch(stderr, /verify OK/);
  });
});

const EC = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const rsa = (bits: number): string[] => [
  "-algorithm",
  "RSA",
  "-pkeyopt",
  `rsa_keygen_bits:${bits}`,
];

interface Made {
  readonly key?: readonly string[];
  readonly options?: readonly string[];
  readonly names?: string;
}

/** A request by `openssl req`, in DER. */
function make({ key = EC, options = ["-sha256"], names = SAN_ALICE }: Made): Buffer {
  const run = (args: readonly string[]): void => {
    const { status, stderr } = bench.run(args);
    assert.equal(status, 0, stderr);
  };
  run(["genpkey", ...key, "-out", "theirs.key"]);
  const subject = ["-subj", "/CN=anybody", "-addext", names];
  const out = ["-outform", "DER", "-out", "theirs.der"];
  run(["req", "-new", "-key", "theirs.key", ...options, ...subject, ...out]);
  return readFileSync(join(bench.directory, "theirs.der"));
}

describe("requests by `openssl req`", () => {
  const accepted: Readonly<Record<string, readonly [Made, string]>> = {
    "P-256": [{}, "p256"],
    "P-256 with SHA-384": [{ options: ["-sha384"] }, "p256"],
    "RSA-2048": [{ key: rsa(2048) }, "rsa2048"],
    "RSA-2048 with SHA-512": [{ key: rsa(2048), options: ["-sha512"] }, "rsa2048"],
    "RSA-3072": [{ key: rsa(3072) }, "rsa3072"],
  };
  for (const [what, [made, keyType]] of Object.entries(accepted))
    test(`${what}: accepted`, async () => {
      const read = await decodeCertificationRequest(make(made));
      assert.equal(read.keyType, keyType);
      assert.deepEqual([read.uris, read.otherNames], [[ALICE], false]);
      const spki = bench.run(["pkey", "-in", "theirs.key", "-pubout", "-outform", "DER"]).stdout;
      assert.deepEqual(read.publicKey.export({ format: "der", type: "spki" }), spki);
    });

  test("names of every kind are told", async () => {
    const names = `${SAN_ALICE},URI:sip:bob@biloxi.example.com,DNS:atlanta.example.com`;
    const read = await decodeCertificationRequest(make({ names }));
    assert.deepEqual(read.uris, [ALICE, "sip:bob@biloxi.example.com"]);
    assert.equal(read.otherNames, true);
  });

  test("one that asks to be an authority gets a user's certificate", async () => {
    const options = ["-sha256", "-addext", "basicConstraints=critical,CA:TRUE"];
    const { publicKey } = await decodeCertificationRequest(make({ options }));
    const authority = await makeAuthority();
    const certificate = await issueCertificate(
      {
        commonName: ALICE,
        publicKey,
        profile: "user",
        alternativeNames: [{ kind: "uri", uri: ALICE }],
        serialNumber: randomBytes(16),
        notBefore: NOT_BEFORE,
        notAfter: NOT_AFTER,
      },
      authority,
    );
    bench.writeIdentity("authority", authority);
    bench.write("user.pem", encodeCertificatePem(certificate));
    const when = ["-attime", String(NOW / 1000)];
    const args = ["verify", ...when, "-x509_strict", "-CAfile", "authority.pem", "user.pem"];
    assert.equal(bench.run(args).status, 0);
    const text = bench.run(["x509", "-in", "user.pem", "-noout", "-text"]).stdout.toString();
    assert.match(text, /CA:FALSE/);
    assert.doesNotMatch(text, /CA:TRUE|Certificate Sign/);
  });

  const refused: Readonly<Record<string, Made>> = {
    "RSA-1024": { key: rsa(1024) },
    "RSA-2056": { key: rsa(2056) },
    "P-384": { key: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"] },
    "P-256 whose curve is spelt out": { key: [...EC, "-pkeyopt", "ec_param_enc:explicit"] },
    Ed25519: { key: ["-algorithm", "ED25519"], options: [] },
    "a signature with SHA-1": { options: ["-sha1"] },
    "an RSA-PSS signature": {
      key: rsa(2048),
      options: ["-sha256", "-sigopt", "rsa_padding_mode:pss"],
    },
  };
  for (const [what, made] of Object.entries(refused))
    test(`${what}: refused`, async () => {
      await assert.rejects(decodeCertificationRequest(make(made)), (error) =>
        isProtocolError(error, "ERR_CERTIFICATE_REQUEST"),
      );
    });
});
