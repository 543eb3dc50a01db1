import assert from "node:assert/strict";
import { createECDH, createHash, randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import { AES256_WRAP, OID } from "../../../protocol/cms/algorithms.ts";
import { decodeCertificateIdentity } from "../../../protocol/cms/certificate-identity.ts";
import { wrapKey } from "../../../protocol/cms/key-wrap.ts";
import { decodeMessage } from "../../../protocol/cms/message.ts";
import { type KeyHolder, openEnvelope } from "../../../protocol/cms/open-message.ts";
import {
  encodeAlgorithm,
  encodeBitString,
  encodeNull,
  encodeOctetString,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../../../protocol/der/encode.ts";
import { contextTag, primitiveContextTag } from "../../../protocol/der/tag.ts";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { makeIdentity } from "../pki/make-identity.ts";
import { CEK, CONTENT, cbcContent, enveloped, message } from "./craft-message.ts";

function open(octets: Uint8Array, holder: KeyHolder): Buffer {
  const decoded = decodeMessage(octets);
  assert.ok(decoded.kind !== "encrypted");
  return openEnvelope(decoded, holder).content;
}

const fails =
  (code: ProtocolErrorCode) =>
  (error: unknown): boolean =>
    isProtocolError(error, code);

/** Code and words: nothing else may tell one failure from another. */
const failsToDecrypt = (error: unknown): boolean =>
  isProtocolError(error, "ERR_CMS_DECRYPT") &&
  error.message === "message cannot be decrypted" &&
  error.cause === undefined;

describe("entries for a P-256 certificate", () => {
  let ec: Identity;
  let rid: Buffer;
  let ephemeral: ReturnType<typeof createECDH>;
  let sharedSecret: Buffer;

  before(async () => {
    ec = await makeIdentity();
    const { issuer, serialNumber, key } = decodeCertificateIdentity(ec.certificate);
    rid = encodeSequence(issuer, serialNumber);
    ephemeral = createECDH("prime256v1");
    ephemeral.generateKeys();
    assert.ok(key.kind === "p256");
    sharedSecret = ephemeral.computeSecret(key.point);
  });

  interface Parts {
    readonly point?: Buffer;
    readonly pointAlgorithm?: string;
    readonly originator?: Buffer;
    readonly ukm?: Buffer;
    readonly scheme?: string;
    readonly wrap?: string;
  }

  /** KeyAgreeRecipientInfo whose KEK is derived as RFC 5753 §7.2 says, by other code than ours. */
  function keyAgree(parts: Parts = {}): Buffer {
    const wrapAlgorithm = encodeAlgorithm(parts.wrap ?? AES256_WRAP.oid);
    const ukm = parts.ukm === undefined ? [] : [encodeOctetString(parts.ukm)];
    const sharedInfo = encodeSequence(
      wrapAlgorithm,
      ...ukm.map((octets) => encodeTlv(contextTag(0), octets)),
      encodeTlv(contextTag(2), encodeOctetString(Buffer.of(0, 0, 1, 0))),
    );
    const counter = Buffer.of(0, 0, 0, 1);
    const kek = createHash("sha256")
      .update(sharedSecret)
      .update(counter)
      .update(sharedInfo)
      .digest();
    const key = encodeTlv(
      contextTag(1),
      encodeAlgorithm(parts.pointAlgorithm ?? OID.ecPublicKey),
      encodeBitString(parts.point ?? ephemeral.getPublicKey()),
    );
    return encodeTlv(
      contextTag(1),
      encodeSmallInteger(3),
      encodeTlv(contextTag(0), parts.originator ?? key),
      ...ukm.map((octets) => encodeTlv(contextTag(1), octets)),
      encodeAlgorithm(parts.scheme ?? "1.3.132.1.11.1", wrapAlgorithm),
      encodeSequence(encodeSequence(rid, encodeOctetString(wrapKey(AES256_WRAP, kek, CEK)))),
    );
  }

  const holder = (): KeyHolder => ({ kind: "certificate", ...ec });

  test("is opened, with and without user keying material", () => {
    assert.deepEqual(open(enveloped([keyAgree()]), holder()), CONTENT);
    assert.deepEqual(open(enveloped([keyAgree({ ukm: randomBytes(20) })]), holder()), CONTENT);
  });

  const bad: Record<string, () => Parts> = {
    "a point that is not on the curve": () => ({
      point: Buffer.concat([Buffer.of(4), Buffer.alloc(64, 1)]),
    }),
    "the point at infinity": () => ({ point: Buffer.of(0) }),
    "a compressed point": () => ({
      point: Buffer.from(ephemeral.getPublicKey(null, "compressed")),
    }),
    "a hybrid point": () => ({ point: Buffer.from(ephemeral.getPublicKey(null, "hybrid")) }),
    "a point of another algorithm": () => ({ pointAlgorithm: "1.3.101.110" }),
    "an originator named by key identifier": () => ({
      originator: encodeTlv(primitiveContextTag(0), Buffer.of(1)),
    }),
    "an unknown scheme": () => ({ scheme: "1.3.132.1.11.9" }),
    "an unknown wrap": () => ({ wrap: "2.16.840.1.101.3.4.1.25" }),
  };
  for (const [what, parts] of Object.entries(bad))
    test(`${what} is a failure to decrypt`, () =>
      assert.throws(() => open(enveloped([keyAgree(parts())]), holder()), failsToDecrypt));

  test("only the first entry for a holder is tried", () => {
    const spoilt = keyAgree({ scheme: "1.3.132.1.11.9" });
    const order = [spoilt, keyAgree()];
    const both = message(
      OID.envelopedData,
      encodeSmallInteger(2),
      encodeTlv(0x31, ...order),
      cbcContent(),
    );
    assert.throws(() => open(both, holder()), failsToDecrypt);
  });

  test("key transport under this certificate is a failure to decrypt", () => {
    const transport = encodeSequence(
      encodeSmallInteger(0),
      rid,
      encodeAlgorithm(OID.rsaesOaep, encodeSequence()),
      encodeOctetString(Buffer.alloc(256)),
    );
    assert.throws(() => open(enveloped([transport]), holder()), failsToDecrypt);
  });
});

describe("entries for an RSA certificate", () => {
  const sha256 = encodeAlgorithm("2.16.840.1.101.3.4.2.1");
  const sha512 = encodeAlgorithm("2.16.840.1.101.3.4.2.3");
  const field = (number: number, value: Buffer): Buffer => encodeTlv(contextTag(number), value);
  const mgf1 = (digest: Buffer): Buffer => field(1, encodeAlgorithm(OID.mgf1, digest));
  const algorithms: Record<string, Buffer> = {
    "PKCS#1 v1.5": encodeAlgorithm(OID.rsaEncryption, encodeNull()),
    "an unknown algorithm": encodeAlgorithm("1.2.3.4"),
    "SHA-512": encodeAlgorithm(OID.rsaesOaep, encodeSequence(field(0, sha512), mgf1(sha512))),
    "digests that differ": encodeAlgorithm(OID.rsaesOaep, encodeSequence(field(0, sha256))),
    "another mask": encodeAlgorithm(
      OID.rsaesOaep,
      encodeSequence(field(0, sha256), field(1, encodeAlgorithm("1.2.3.4", sha256))),
    ),
    "a label": encodeAlgorithm(
      OID.rsaesOaep,
      encodeSequence(
        field(0, sha256),
        mgf1(sha256),
        field(2, encodeAlgorithm(OID.pSpecified, encodeOctetString(Buffer.of(1)))),
      ),
    ),
    "an empty label and a wrong key": encodeAlgorithm(
      OID.rsaesOaep,
      encodeSequence(
        field(0, sha256),
        mgf1(sha256),
        field(2, encodeAlgorithm(OID.pSpecified, encodeOctetString(Buffer.alloc(0)))),
      ),
    ),
    "defaults and a wrong key": encodeAlgorithm(OID.rsaesOaep),
  };
  let rsa: Identity;
  before(async () => {
    const authority = await makeIdentity({ profile: "authority" });
    rsa = await makeIdentity({ issuer: authority, keyType: "rsa" });
  });
  for (const [what, algorithm] of Object.entries(algorithms))
    test(`${what} is a failure to decrypt`, () => {
      const { issuer, serialNumber } = decodeCertificateIdentity(rsa.certificate);
      const transport = encodeSequence(
        encodeSmallInteger(0),
        encodeSequence(issuer, serialNumber),
        algorithm,
        encodeOctetString(Buffer.alloc(256, 1)),
      );
      assert.throws(
        () => open(enveloped([transport]), { kind: "certificate", ...rsa }),
        failsToDecrypt,
      );
    });
});

describe("decodeCertificateIdentity", () => {
  test("refuses what is no certificate", () => {
    for (const octets of [
      Buffer.alloc(0),
      encodeSequence(),
      encodeSequence(encodeSequence(encodeNull())),
    ])
      assert.throws(() => decodeCertificateIdentity(octets), fails("ERR_CERTIFICATE"));
  });
});
