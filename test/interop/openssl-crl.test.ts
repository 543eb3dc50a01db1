import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import {
  decodeCertificate,
  encodeCertificatePem,
  encodePem,
} from "../../protocol/pki/certificate.ts";
import { issueCertificate } from "../../protocol/pki/issue-certificate.ts";
import { issueCrl, type RevokedCertificate } from "../../protocol/pki/issue-crl.ts";
import type { RevocationReason } from "../../protocol/pki/revocation-reason.ts";
import type { Identity } from "../../protocol/pki/signed-data.ts";
import { makeIdentity, NOT_BEFORE, NOW } from "../unit/pki/make-identity.ts";
import { OpensslBench } from "./openssl-command.ts";

const ALICE = "sip:alice@atlanta.example.com";
const HOUR_MS = 3_600_000;
/** The end of a registration. */
const ENDS_AT = new Date("2030-06-01T00:30:07Z");
const KEY_TYPES = ["p256", "rsa"] as const;
type KeyType = (typeof KEY_TYPES)[number];

let bench: OpensslBench;
const issuers = new Map<KeyType, Identity>();

before(async () => {
  bench = new OpensslBench();
  for (const keyType of KEY_TYPES) {
    const made = { profile: "authority", keyType } as const;
    const root = await makeIdentity({ ...made, commonName: "root", pathLength: 1 });
    const issuer = await makeIdentity({ ...made, commonName: "issuer", issuer: root });
    bench.writeIdentity(`${keyType}-root`, root);
    bench.writeIdentity(`${keyType}-issuer`, issuer);
    bench.write(`${keyType}-root.crl`, await list(root, []));
    issuers.set(keyType, issuer);
  }
});
after(() => bench.remove());

function issuerOf(keyType: KeyType): Identity {
  const issuer = issuers.get(keyType);
  assert.ok(issuer);
  return issuer;
}

/** A certificate as a registration gets it. */
async function register(keyType: KeyType, issuer: Identity): Promise<Buffer> {
  const { publicKey } =
    keyType === "rsa"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return issueCertificate(
    {
      commonName: ALICE,
      publicKey,
      profile: "user",
      alternativeNames: [{ kind: "uri", uri: ALICE }],
      serialNumber: randomBytes(16),
      notBefore: NOT_BEFORE,
      notAfter: ENDS_AT,
    },
    issuer,
  );
}

const list = async (issuer: Identity, revoked: readonly RevokedCertificate[]): Promise<string> => {
  const thisUpdate = new Date(NOW - HOUR_MS);
  const nextUpdate = new Date(NOW + HOUR_MS);
  return encodePem(
    "X509 CRL",
    await issueCrl({ number: 4711, thisUpdate, nextUpdate, revoked }, issuer),
  );
};

const entryOf = (certificate: Uint8Array, reason: RevocationReason): RevokedCertificate => ({
  serial: decodeCertificate(certificate).serial,
  at: new Date(NOW - HOUR_MS),
  reason,
});

/** `openssl verify -crl_check_all` of `user.pem` at a moment. */
function verify(keyType: KeyType, at: number, ...more: readonly string[]) {
  const path = ["-CAfile", `${keyType}-root.pem`, "-untrusted", `${keyType}-issuer.pem`];
  const lists = ["-CRLfile", `${keyType}-root.crl`, "-CRLfile", "issuer.crl", "-crl_check_all"];
  const when = ["-attime", String(Math.floor(at / 1000)), "-x509_strict"];
  return bench.run(["verify", ...when, ...path, ...lists, ...more, "user.pem"]);
}

for (const issuedBy of KEY_TYPES)
  for (const keyType of KEY_TYPES)
    describe(`a phone's ${keyType} key, certified by ${issuedBy}`, () => {
      let certificate: Buffer;
      before(async () => {
        certificate = await register(keyType, issuerOf(issuedBy));
      });
      const use = (revoked: string): void => {
        bench.write("user.pem", encodeCertificatePem(certificate));
        bench.write("issuer.crl", revoked);
      };

      test("is valid to the second until the registration ends, as TLS client and signer", async () => {
        const other = await register(keyType, issuerOf(issuedBy));
        use(await list(issuerOf(issuedBy), [entryOf(other, "keyCompromise")]));
        for (const purpose of ["sslclient", "smimesign"])
          for (const at of [NOW, ENDS_AT.getTime() - 1000]) {
            const { status, stderr } = verify(issuedBy, at, "-purpose", purpose);
            assert.equal(status, 0, stderr);
          }
        const after = verify(issuedBy, ENDS_AT.getTime()); // OpenSSL ends where the last second begins
        assert.match(after.stderr, /certificate has expired/);
        assert.notEqual(verify(issuedBy, NOW, "-purpose", "sslserver").status, 0);
      });

      test("says whose it is and what it may do", () => {
        use("");
        const show = ["x509", "-in", "user.pem", "-noout", "-text", "-certopt", "no_pubkey"];
        const text = bench.run(show).stdout.toString();
        assert.match(text, /URI:sip:alice@atlanta\.example\.com\n/);
        assert.match(text, /CA:FALSE/);
        const sealing = keyType === "rsa" ? "Key Encipherment" : "Key Agreement";
        assert.match(text, new RegExp(`Digital Signature, ${sealing}\n`));
        assert.match(text, /Not After : Jun {2}1 00:30:07 2030 GMT/);
        assert.match(text, /Subject Key Identifier[\s\S]*Authority Key Identifier/);
      });

      test("is refused once our list names it", async () => {
        use(await list(issuerOf(issuedBy), [entryOf(certificate, "keyCompromise")]));
        const { status, stderr } = verify(issuedBy, NOW);
        assert.notEqual(status, 0);
        assert.match(stderr, /certificate revoked/);
      });

      test("is refused when our list is out of date", async () => {
        use(await list(issuerOf(issuedBy), []));
        const { stderr } = verify(issuedBy, NOW + HOUR_MS + 1000);
        assert.match(stderr, /CRL has expired/);
        assert.match(verify(issuedBy, NOW - HOUR_MS - 1000).stderr, /CRL is not yet valid/);
      });
    });

describe("a revocation list of ours", () => {
  for (const keyType of KEY_TYPES)
    test(`by ${keyType} verifies by itself, and shows number, dates and reasons`, async () => {
      const reasons: readonly RevocationReason[] = [
        "unspecified",
        "keyCompromise",
        "cACompromise",
        "affiliationChanged",
        "superseded",
        "cessationOfOperation",
        "privilegeWithdrawn",
      ];
      const revoked = reasons.map((reason, at) => ({
        serial: (0xf0 + at).toString(16),
        at: new Date(NOW - HOUR_MS),
        reason,
      }));
      bench.write("issuer.crl", await list(issuerOf(keyType), revoked));
      const args = ["crl", "-in", "issuer.crl", "-CAfile", `${keyType}-issuer.pem`, "-noout"];
      const { status, stdout, stderr } = bench.run([...args, "-text"]);
      assert.equal(status, 0, stderr);
      assert.match(stderr, /verify OK/);
      const text = stdout.toString();
      assert.match(text, /X509v3 CRL Number: *\n +4711/);
      assert.match(text, /Last Update: May 31 23:00:00 2030 GMT/);
      assert.match(text, /Next Update: Jun {2}1 01:00:00 2030 GMT/);
      assert.equal(text.match(/Serial Number: F[0-6]\n/g)?.length, reasons.length);
      for (const shown of [
        "Key Compromise",
        "CA Compromise",
        "Affiliation Changed",
        "Superseded",
        "Cessation Of Operation",
        "Privilege Withdrawn",
      ])
        assert.ok(text.includes(shown), shown);
    });

  test("does not verify as another's", async () => {
    bench.write("issuer.crl", await list(issuerOf("p256"), []));
    const args = ["crl", "-in", "issuer.crl", "-CAfile", "rsa-issuer.pem", "-noout"];
    assert.doesNotMatch(bench.run(args).stderr, /verify OK/);
  });
});
