import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from "node:crypto";
import { before, describe, test } from "node:test";
import * as pkijs from "pkijs";
import { decodeCertificate, fingerprintOf } from "../../../protocol/pki/certificate.ts";
import { ENGINE, toArrayBuffer } from "../../../protocol/pki/engine.ts";
import {
  type CertificateRequest,
  type Issuer,
  issueCertificate,
  serialNumberOf,
} from "../../../protocol/pki/issue-certificate.ts";
import { keyIdOf, keyTypeOf } from "../../../protocol/pki/public-key.ts";
import { makeIdentity, NOT_AFTER, NOT_BEFORE } from "./make-identity.ts";

const ALICE = "sip:alice@atlanta.example.com";
const P256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const RSA = generateKeyPairSync("rsa", { modulusLength: 2048 });

let issuers: Readonly<Record<"p256" | "rsa", Required<Issuer>>>;
before(async () => {
  const make = (keyType: "p256" | "rsa") => makeIdentity({ profile: "authority", keyType });
  issuers = { p256: await make("p256"), rsa: await make("rsa") };
});

const requestFor = (publicKey: KeyObject): CertificateRequest => ({
  commonName: ALICE,
  publicKey,
  profile: "user",
  alternativeNames: [{ kind: "uri", uri: ALICE }],
  serialNumber: randomBytes(16),
  notBefore: NOT_BEFORE,
  notAfter: NOT_AFTER,
});

describe("a user's certificate", () => {
  for (const [keyType, { publicKey }] of Object.entries({ p256: P256, rsa: RSA }))
    for (const issuedBy of ["p256", "rsa"] as const)
      test(`for ${keyType} by ${issuedBy} is what pkijs reads and verifies`, async () => {
        const issuer = issuers[issuedBy];
        const request = requestFor(publicKey);
        const certificate = await issueCertificate(request, issuer);
        const parsed = pkijs.Certificate.fromBER(toArrayBuffer(certificate));
        const authority = pkijs.Certificate.fromBER(toArrayBuffer(issuer.certificate));
        assert.equal(await parsed.verify(authority, ENGINE), true);
        assert.equal(parsed.notAfter.value.getTime(), NOT_AFTER.getTime());
        assert.deepEqual(Buffer.from(parsed.toSchema(true).toBER()), certificate, "it is DER");
        const sealing = keyType === "rsa" ? "keyEncipherment" : "keyAgreement";
        const { keyUsages, isAuthority, uris } = decodeCertificate(certificate);
        assert.deepEqual(keyUsages, new Set(["digitalSignature", sealing]));
        assert.deepEqual([isAuthority, uris], [false, [ALICE]]);
        assert.ok(new X509Certificate(certificate).publicKey.equals(publicKey));
      });

  test("ends at the second that was asked for, not at the next", async () => {
    const notAfter = new Date("2026-11-23T03:04:05.999Z");
    const notBefore = new Date("2026-11-23T02:04:05.999Z");
    const request = { ...requestFor(P256.publicKey), notBefore, notAfter };
    const read = decodeCertificate(await issueCertificate(request, issuers.p256));
    assert.equal(read.notAfter, Date.parse("2026-11-23T03:04:05Z"));
    assert.equal(read.notBefore, Date.parse("2026-11-23T02:04:05Z"));
  });

  test("has a common name of 64 characters at most, and its whole name beside it", async () => {
    const commonName = `${"a".repeat(63)}bc`;
    const request = { ...requestFor(P256.publicKey), commonName };
    const certificate = await issueCertificate(request, issuers.p256);
    assert.equal(new X509Certificate(certificate).subject, `CN=${commonName.slice(0, 64)}`);
    assert.deepEqual(decodeCertificate(certificate).uris, [ALICE]);
  });

  test("has the serial number that its octets make, positive and not short", async () => {
    for (const first of [0x00, 0x7f, 0xff]) {
      const serialNumber = Buffer.alloc(16, first);
      const request = { ...requestFor(P256.publicKey), serialNumber };
      const { serial } = decodeCertificate(await issueCertificate(request, issuers.p256));
      assert.equal(serial, serialNumberOf(serialNumber).toString("hex"));
      assert.match(serial, /^[4-7][\da-f]{31}$/);
    }
    for (const length of [7, 21])
      assert.throws(() => serialNumberOf(Buffer.alloc(length)), RangeError);
  });

  test("names its issuer as the issuer names itself", async () => {
    const certificate = await issueCertificate(requestFor(P256.publicKey), issuers.p256);
    const issuer = decodeCertificate(issuers.p256.certificate);
    assert.deepEqual(decodeCertificate(certificate).issuerName, issuer.subjectName);
    const keyIdentifier = issuer.subjectKeyIdentifier;
    assert.ok(keyIdentifier);
    const authorityKey = decodeCertificate(certificate).extensions.get("2.5.29.35")?.value;
    assert.ok(authorityKey?.subarray(-20).equals(keyIdentifier));
  });

  test("is not issued with dates that are none or in the wrong order", async () => {
    const dates = [
      { notAfter: new Date(Number.NaN) },
      { notBefore: NOT_AFTER, notAfter: NOT_BEFORE },
      { notAfter: new Date(Date.UTC(10_000, 0, 1)) },
    ];
    for (const change of dates)
      await assert.rejects(
        issueCertificate({ ...requestFor(P256.publicKey), ...change }, issuers.p256),
        RangeError,
      );
  });

  test("is not issued by a key of another kind", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    const issuer = { ...issuers.p256, privateKey };
    await assert.rejects(issueCertificate(requestFor(P256.publicKey), issuer), TypeError);
  });
});

test("names of keys and certificates are SHA-256 in hexadecimal", async () => {
  const certificate = await issueCertificate(requestFor(P256.publicKey), issuers.p256);
  const { fingerprint256, publicKey } = new X509Certificate(certificate);
  assert.equal(fingerprintOf(certificate), fingerprint256.replaceAll(":", "").toLowerCase());
  assert.match(keyIdOf(publicKey), /^[\da-f]{64}$/);
  assert.equal(keyIdOf(publicKey), keyIdOf(P256.publicKey));
  assert.notEqual(keyIdOf(publicKey), keyIdOf(RSA.publicKey));
});

describe("keys that we certify", () => {
  const rsa = (modulusLength: number, publicExponent?: number): KeyObject =>
    generateKeyPairSync("rsa", {
      modulusLength,
      ...(publicExponent === undefined ? {} : { publicExponent }),
    }).publicKey;
  const keys: Readonly<Record<string, readonly [KeyObject, string | undefined]>> = {
    "P-256": [P256.publicKey, "p256"],
    "RSA-2048": [RSA.publicKey, "rsa2048"],
    "RSA-3072": [rsa(3072), "rsa3072"],
    "RSA-1024": [rsa(1024), undefined],
    "RSA-2047": [rsa(2047), undefined],
    "RSA-2056": [rsa(2056), undefined],
    "RSA-2048 of exponent 17": [rsa(2048, 17), undefined],
    "P-384": [generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey, undefined],
    X25519: [generateKeyPairSync("x25519").publicKey, undefined],
  };
  for (const [what, [key, type]] of Object.entries(keys))
    test(`${what}: ${type ?? "none"}`, () => assert.equal(keyTypeOf(key), type));
});
