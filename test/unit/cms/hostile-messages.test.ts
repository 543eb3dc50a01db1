import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { CONTENT_CIPHERS, OID } from "../../../protocol/cms/algorithms.ts";
import { CEK_REFERENCE_MAX_BYTES, CMS_MAX_ATTRIBUTES } from "../../../protocol/cms/attributes.ts";
import { GCM_MIN_TAG_BYTES } from "../../../protocol/cms/encrypted-content.ts";
import { decodeMessage } from "../../../protocol/cms/message.ts";
import {
  type KeyHolder,
  openEncryptedData,
  openEnvelope,
} from "../../../protocol/cms/open-message.ts";
import { CMS_MAX_RECIPIENTS } from "../../../protocol/cms/recipient-info.ts";
import {
  encodeAlgorithm,
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
import { Secret } from "../../../protocol/secret.ts";
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

const HOLDER: KeyHolder = { kind: "kek", keyIdentifier: KEK_ID, kek: new Secret(KEK) };

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
      encodeTlv(
        contextTag(3),
        encodeSmallInteger(0),
        encodeAlgorithm(OID.passwordWrap),
        encodeOctetString(Buffer.alloc(32)),
      ),
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
