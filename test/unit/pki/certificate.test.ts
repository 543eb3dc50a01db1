import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { before, describe, test } from "node:test";
import * as asn1js from "asn1js";
import fc from "fast-check";
import * as pkijs from "pkijs";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  CERTIFICATE_MAX_BYTES,
  decodeCertificate,
  encodeCertificatePem,
  mayBeUsedFor,
} from "../../../protocol/pki/certificate.ts";
import { ENGINE } from "../../../protocol/pki/engine.ts";
import { EXTENSION } from "../../../protocol/pki/extension.ts";
import { issueCertificate } from "../../../protocol/pki/issue-certificate.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { makeAuthority, makeIdentity, NOT_AFTER, NOT_BEFORE } from "./make-identity.ts";

const isRefused = (error: unknown): boolean => isProtocolError(error, "ERR_CERTIFICATE");

let authority: Identity;
let user: Identity;

before(async () => {
  authority = await makeAuthority();
  user = await makeIdentity({
    issuer: authority,
    alternativeNames: [
      { kind: "uri", uri: "sip:alice@atlanta.example.com" },
      { kind: "dns", name: "phone.atlanta.example.com" },
      { kind: "address", octets: Uint8Array.of(192, 0, 2, 101) },
    ],
  });
});

/** The user's certificate with other extensions, signed anew. */
async function withExtensions(extensions: pkijs.Extension[]): Promise<Buffer> {
  const certificate = pkijs.Certificate.fromBER(Uint8Array.from(user.certificate).buffer);
  certificate.extensions = extensions;
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const key = authority.privateKey.toCryptoKey(algorithm, false, ["sign"]);
  await certificate.sign(key as CryptoKey, "SHA-256", ENGINE);
  return Buffer.from(certificate.toSchema(true).toBER());
}

const extension = (extnID: string, value: asn1js.BaseBlock, critical = false): pkijs.Extension =>
  new pkijs.Extension({ extnID, critical, extnValue: value.toBER() });

describe("decodeCertificate", () => {
  test("reads names, dates, key and uses", () => {
    const read = decodeCertificate(user.certificate);
    assert.deepEqual(read.encoded, user.certificate);
    assert.deepEqual(read.uris, ["sip:alice@atlanta.example.com"]);
    assert.deepEqual(read.dnsNames, ["phone.atlanta.example.com"]);
    assert.equal(read.notBefore, NOT_BEFORE.getTime());
    assert.equal(read.notAfter, NOT_AFTER.getTime());
    assert.equal(read.isAuthority, false);
    assert.equal(read.pathLength, undefined);
    assert.deepEqual(read.keyUsages, new Set(["digitalSignature", "keyAgreement"]));
    assert.deepEqual(read.criticalExtensions, [EXTENSION.basicConstraints, EXTENSION.keyUsage]);
    assert.ok(new X509Certificate(user.certificate).checkPrivateKey(user.privateKey));
  });

  test("reads an authority", () => {
    const read = decodeCertificate(authority.certificate);
    assert.equal(read.isAuthority, true);
    assert.equal(read.pathLength, 0);
    assert.equal(mayBeUsedFor(read, "keyCertSign"), true);
    assert.equal(mayBeUsedFor(read, "digitalSignature"), false);
    assert.deepEqual(read.uris, []);
  });

  test("without key usage every use is allowed", async () => {
    const read = decodeCertificate(await withExtensions([]));
    assert.equal(read.keyUsages, undefined);
    assert.equal(mayBeUsedFor(read, "keyCertSign"), true);
    assert.equal(read.isAuthority, false);
  });

  const names = (...values: readonly pkijs.GeneralName[]): asn1js.Sequence =>
    new pkijs.AltName({ altNames: [...values] }).toSchema();
  const uri = (value: string): pkijs.GeneralName => new pkijs.GeneralName({ type: 6, value });
  const bad: Record<string, () => pkijs.Extension[]> = {
    "an extension that stands twice": () => [
      extension(EXTENSION.subjectAltName, names(uri("sip:a@b"))),
      extension(EXTENSION.subjectAltName, names(uri("sip:c@d"))),
    ],
    "names that cannot be read": () => [
      extension(EXTENSION.subjectAltName, new asn1js.Integer({ value: 1 })),
    ],
    "a NUL in a name": () => [extension(EXTENSION.subjectAltName, names(uri("sip:a@b\0.evil")))],
    "a blank in a name": () => [extension(EXTENSION.subjectAltName, names(uri("sip:a@b sip:c@d")))],
    "a huge path length": () => [
      extension(
        EXTENSION.basicConstraints,
        new asn1js.Sequence({
          value: [
            new asn1js.Boolean({ value: true }),
            new asn1js.Integer({ valueHex: Buffer.alloc(9, 1).buffer.slice(0, 9) }),
          ],
        }),
      ),
    ],
  };
  for (const [what, extensions] of Object.entries(bad))
    test(`refuses ${what}`, async () => {
      const certificate = await withExtensions(extensions());
      assert.throws(() => decodeCertificate(certificate), isRefused);
    });

  test("refuses what is none, or too long", () => {
    for (const octets of [
      Buffer.alloc(0),
      Buffer.from("3000", "hex"),
      user.certificate.subarray(1),
    ])
      assert.throws(() => decodeCertificate(octets), isRefused);
    const padded = Buffer.concat([user.certificate, Buffer.alloc(CERTIFICATE_MAX_BYTES)]);
    assert.throws(() => decodeCertificate(padded), isRefused);
  });

  test("is total", () => {
    const change = fc.tuple(fc.nat(user.certificate.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const changed = Buffer.from(user.certificate);
        for (const [at, value] of changes) changed[at] = value;
        try {
          decodeCertificate(changed);
        } catch (error) {
          assert.ok(isRefused(error));
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("issueCertificate", () => {
  test("makes any serial number positive and gives it back", async () => {
    for (const first of [0, 0x7f, 0x80, 0xff]) {
      const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const serialNumber = Buffer.alloc(16, first);
      const request = {
        commonName: "x",
        publicKey,
        profile: "host",
        alternativeNames: [],
      } as const;
      const dates = { notBefore: NOT_BEFORE, notAfter: new Date("2051-01-01T00:00:00Z") };
      const certificate = await issueCertificate({ ...request, ...dates, serialNumber }, authority);
      const read = new X509Certificate(certificate);
      assert.match(read.serialNumber, /^[4-7]/);
      assert.equal(read.serialNumber.length, 32);
      assert.equal(decodeCertificate(certificate).notAfter, dates.notAfter.getTime());
    }
  });

  for (const serialBytes of [7, 21])
    test(`refuses a serial number of ${serialBytes} octets`, async () => {
      const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const request = {
        commonName: "x",
        publicKey,
        profile: "user",
        alternativeNames: [],
      } as const;
      const dates = { notBefore: NOT_BEFORE, notAfter: NOT_AFTER };
      await assert.rejects(
        issueCertificate(
          { ...request, ...dates, serialNumber: randomBytes(serialBytes) },
          { privateKey },
        ),
        RangeError,
      );
    });

  test("the PEM form is what others read", () =>
    assert.deepEqual(
      new X509Certificate(encodeCertificatePem(user.certificate)).raw,
      user.certificate,
    ));
});
