import assert from "node:assert/strict";
import { createECDH, createHash, randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import { AES256_WRAP, CONTENT_CIPHERS, OID } from "../../../protocol/cms/algorithms.ts";
import { CEK_REFERENCE_MAX_BYTES, CMS_MAX_ATTRIBUTES } from "../../../protocol/cms/attributes.ts";
import { decodeCertificateIdentity } from "../../../protocol/cms/certificate-identity.ts";
import { GCM_MIN_TAG_BYTES } from "../../../protocol/cms/encrypted-content.ts";
import { wrapKey } from "../../../protocol/cms/key-wrap.ts";
import { decodeMessage } from "../../../protocol/cms/message.ts";
import {
  type Holder,
  openEncryptedData,
  openEnvelope,
} from "../../../protocol/cms/open-message.ts";
import { CMS_MAX_RECIPIENTS } from "../../../protocol/cms/recipient-info.ts";
import {
  encodeAlgorithm,
  encodeBitString,
  encodeNull,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSetOf,
  encodeSmallInteger,
  encodeTlv,
} from "../../../protocol/der/encode.ts";
import { contextTag, primitiveContextTag } from "../../../protocol/der/tag.ts";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { Secret } from "../../../protocol/secret.ts";
import { makeIdentity } from "../pki/make-identity.ts";
import {
  attribute,
  authEnveloped,
  CEK,
  CONTENT,
  cbcContent,
  enveloped,
  gcmContent,
  KEK,
  KEK_ID,
  kekRecipient,
  message,
} from "./craft-message.ts";

const HOLDER: Holder = { kind: "kek", keyIdentifier: KEK_ID, kek: new Secret(KEK) };

function open(octets: Uint8Array, holder = HOLDER): Buffer {
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

const reference = (octets: Uint8Array): Buffer =>
  attribute(OID.cekReference, encodeOctetString(octets));
const many = (count: number): readonly Buffer[] =>
  Array.from({ length: count }, (_, index) => attribute(`1.2.3.${index}`, encodeNull()));

describe("what is opened all the same", () => {
  const good: Record<string, Buffer> = {
    "EnvelopedData without attributes": enveloped(),
    "EnvelopedData with the most attributes": enveloped([kekRecipient()], many(CMS_MAX_ATTRIBUTES)),
    "EnvelopedData for the most recipients": enveloped([
      ...Array.from({ length: CMS_MAX_RECIPIENTS - 1 }, (_, index) =>
        kekRecipient(Buffer.of(index)),
      ),
      kekRecipient(),
    ]),
    "a password and an unknown recipient beside ours": enveloped([
      encodeTlv(contextTag(3), encodeSmallInteger(0)),
      encodeTlv(contextTag(4), encodeSmallInteger(0)),
      kekRecipient(),
    ]),
    "AuthEnvelopedData without attributes": authEnveloped(),
    "AuthEnvelopedData with attributes": authEnveloped({ authAttributes: many(3) }),
    "attributes out of DER's order": authEnveloped({
      authAttributes: many(3),
      encodedAuthAttributes: encodeTlv(contextTag(1), ...many(3).toReversed()),
    }),
    "the shortest tag": authEnveloped({ tagBytes: GCM_MIN_TAG_BYTES }),
    "the shortest tag, by default": authEnveloped({
      tagBytes: GCM_MIN_TAG_BYTES,
      statedTagBytes: undefined,
    }),
    "originatorInfo in front": message(
      OID.envelopedData,
      encodeSmallInteger(2),
      encodeTlv(contextTag(0)),
      encodeSetOf([kekRecipient()]),
      cbcContent(),
    ),
  };
  for (const [what, octets] of Object.entries(good))
    test(what, () => assert.deepEqual(open(octets), CONTENT));

  test("a reference is kept", () => {
    const longest = Buffer.alloc(CEK_REFERENCE_MAX_BYTES, 1);
    for (const octets of [
      enveloped([kekRecipient()], [reference(longest)]),
      authEnveloped({ authAttributes: [reference(longest)] }),
    ])
      assert.deepEqual(decodeMessage(octets).reference, longest);
  });

  test("a reference that is not authenticated is none (RFC 5083 unauthAttrs)", () => {
    const { info, mac } = gcmContent();
    const octets = message(
      OID.authEnvelopedData,
      encodeSmallInteger(0),
      encodeSetOf([kekRecipient()]),
      info,
      encodeOctetString(mac),
      encodeSetOf([reference(Buffer.of(1))], contextTag(2)),
    );
    assert.equal(decodeMessage(octets).reference, undefined);
    assert.deepEqual(open(octets), CONTENT);
  });
});

describe("what cannot be a message is refused before any key is used", () => {
  const version = encodeSmallInteger(2);
  const bad: Record<string, readonly [ProtocolErrorCode, Buffer]> = {
    nothing: ["ERR_DER_SYNTAX", Buffer.alloc(0)],
    "no content": ["ERR_CMS_SYNTAX", encodeSequence(encodeOid(OID.envelopedData))],
    "content of another tag": [
      "ERR_CMS_SYNTAX",
      encodeSequence(encodeOid(OID.envelopedData), encodeSequence()),
    ],
    "signed data": ["ERR_CMS_UNSUPPORTED", message("1.2.840.113549.1.7.2", version)],
    "EnvelopedData of another version": [
      "ERR_CMS_SYNTAX",
      message(
        OID.envelopedData,
        encodeSmallInteger(1),
        encodeSetOf([kekRecipient()]),
        cbcContent(),
      ),
    ],
    "EncryptedData of another version": [
      "ERR_CMS_SYNTAX",
      message(OID.encryptedData, encodeSmallInteger(1), cbcContent()),
    ],
    "AuthEnvelopedData of another version": [
      "ERR_CMS_SYNTAX",
      message(OID.authEnvelopedData, version, encodeSetOf([kekRecipient()])),
    ],
    "nobody to read it": ["ERR_CMS_SYNTAX", enveloped([])],
    "too many recipients": [
      "ERR_CMS_LIMIT",
      enveloped(Array.from({ length: CMS_MAX_RECIPIENTS + 1 }, () => kekRecipient())),
    ],
    "a recipient of another version": ["ERR_CMS_SYNTAX", enveloped([kekRecipient(KEK_ID, 3)])],
    "a recipient without a name": [
      "ERR_DER_SYNTAX",
      enveloped([encodeSequence(encodeSmallInteger(0), encodeSequence())]),
    ],
    "key agreement without an originator": [
      "ERR_DER_SYNTAX",
      enveloped([encodeTlv(contextTag(1), encodeSmallInteger(3), encodeSequence())]),
    ],
    "too many attributes": [
      "ERR_CMS_LIMIT",
      enveloped([kekRecipient()], many(CMS_MAX_ATTRIBUTES + 1)),
    ],
    "two references": [
      "ERR_CMS_SYNTAX",
      enveloped([kekRecipient()], [reference(Buffer.of(1)), reference(Buffer.of(2))]),
    ],
    "a reference of two values": [
      "ERR_CMS_SYNTAX",
      enveloped(
        [kekRecipient()],
        [
          attribute(
            OID.cekReference,
            encodeOctetString(Buffer.of(1)),
            encodeOctetString(Buffer.of(2)),
          ),
        ],
      ),
    ],
    "an empty reference": [
      "ERR_CMS_LIMIT",
      enveloped([kekRecipient()], [reference(Buffer.alloc(0))]),
    ],
    "a long reference": [
      "ERR_CMS_LIMIT",
      enveloped([kekRecipient()], [reference(Buffer.alloc(CEK_REFERENCE_MAX_BYTES + 1))]),
    ],
    "AuthEnvelopedData without a MAC": [
      "ERR_DER_SYNTAX",
      message(
        OID.authEnvelopedData,
        encodeSmallInteger(0),
        encodeSetOf([kekRecipient()]),
        gcmContent().info,
      ),
    ],
  };
  for (const [what, [code, octets]] of Object.entries(bad))
    test(what, () => assert.throws(() => decodeMessage(octets), fails(code)));

  test("reading is total", () => {
    const known = [enveloped(), authEnveloped({ authAttributes: many(2) })];
    const mutated = fc
      .tuple(
        fc.constantFrom(...known),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      )
      .map(([octets, changes]) => {
        const copy = Buffer.from(octets);
        for (const [at, value] of changes) copy[at % copy.length] = value;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 100 })), (octets) => {
        try {
          const decoded = decodeMessage(octets);
          if (decoded.kind !== "encrypted") openEnvelope(decoded, HOLDER);
        } catch (error) {
          assert.ok(isProtocolError(error));
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe("every failure to decrypt is the same failure", () => {
  const wrapIn = (type: string, version: number, ...fields: readonly Buffer[]): Buffer =>
    message(type, encodeSmallInteger(version), encodeSetOf([kekRecipient()]), ...fields);
  const { info, mac } = gcmContent();
  const withoutContent = encodeSequence(
    encodeOid(OID.data),
    encodeAlgorithm(CONTENT_CIPHERS["aes-256-cbc"].oid, encodeOctetString(Buffer.alloc(16))),
  );
  const longContent = encodeSequence(
    encodeOid(OID.data),
    encodeAlgorithm(CONTENT_CIPHERS["aes-256-cbc"].oid, encodeOctetString(Buffer.alloc(16))),
    encodeTlv(primitiveContextTag(0), Buffer.alloc(128 * 1024 + 32)),
  );
  const bad: Record<string, Buffer> = {
    "GCM in EnvelopedData": wrapIn(OID.envelopedData, 2, info),
    "CBC in AuthEnvelopedData": wrapIn(
      OID.authEnvelopedData,
      0,
      cbcContent(),
      encodeOctetString(mac),
    ),
    "an unknown cipher": authEnveloped({ oid: "1.2.3.4" }),
    "content of another type": authEnveloped({ contentType: "1.2.840.113549.1.7.2" }),
    "a tag of 4 octets": authEnveloped({ tagBytes: 4 }),
    "a tag cut to less than stated": wrapIn(
      OID.authEnvelopedData,
      0,
      info,
      encodeOctetString(mac.subarray(0, 12)),
    ),
    "a tag longer than stated": authEnveloped({ tagBytes: 16, statedTagBytes: 12 }),
    "a stated tag of 17 octets": authEnveloped({ statedTagBytes: 17 }),
    "a nonce of 13 octets": authEnveloped({ nonceBytes: 13 }),
    "an IV of 8 octets": wrapIn(OID.envelopedData, 2, cbcContent(8)),
    "no content": wrapIn(OID.envelopedData, 2, withoutContent),
    "content too long": wrapIn(OID.envelopedData, 2, longContent),
    "no content info": wrapIn(OID.envelopedData, 2),
    "attributes that were not authenticated": wrapIn(
      OID.authEnvelopedData,
      0,
      info,
      encodeSetOf(many(1), contextTag(1)),
      encodeOctetString(mac),
    ),
    "attributes taken away": wrapIn(
      OID.authEnvelopedData,
      0,
      gcmContent({ authAttributes: many(1) }).info,
      encodeOctetString(gcmContent({ authAttributes: many(1) }).mac),
    ),
  };
  for (const [what, octets] of Object.entries(bad))
    test(what, () => assert.throws(() => open(octets), failsToDecrypt));

  test("another KEK, another size of KEK, another size of content key", () => {
    for (const kek of [Buffer.alloc(32, 8), Buffer.alloc(16, 7)])
      assert.throws(
        () => open(authEnveloped(), { kind: "kek", keyIdentifier: KEK_ID, kek: new Secret(kek) }),
        failsToDecrypt,
      );
    assert.throws(
      () => open(authEnveloped({ oid: CONTENT_CIPHERS["aes-128-gcm"].oid })),
      failsToDecrypt,
    );
  });

  test("EncryptedData: another cipher, GCM, another key", () => {
    const decoded = decodeMessage(message(OID.encryptedData, encodeSmallInteger(0), cbcContent()));
    assert.ok(decoded.kind === "encrypted");
    const cek = new Secret(CEK);
    assert.deepEqual(openEncryptedData(decoded, { cek, cipher: "aes-256-cbc" }), CONTENT);
    for (const cipher of ["aes-256-gcm", "aes-128-cbc"] as const)
      assert.throws(() => openEncryptedData(decoded, { cek, cipher }), failsToDecrypt);
    const other = new Secret(Buffer.alloc(32, 1));
    assert.throws(
      () => openEncryptedData(decoded, { cek: other, cipher: "aes-256-cbc" }),
      failsToDecrypt,
    );
    const gcm = decodeMessage(message(OID.encryptedData, encodeSmallInteger(0), info));
    assert.ok(gcm.kind === "encrypted");
    assert.throws(() => openEncryptedData(gcm, { cek, cipher: "aes-256-gcm" }), failsToDecrypt);
  });
});

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

  const holder = (): Holder => ({ kind: "certificate", ...ec });

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
