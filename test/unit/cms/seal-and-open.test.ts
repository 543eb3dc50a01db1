import assert from "node:assert/strict";
import { createECDH, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import { type ContentCipher, wrapAlgorithmFor } from "../../../protocol/cms/algorithms.ts";
import { decodeCertificateIdentity } from "../../../protocol/cms/certificate-identity.ts";
import { CMS_MAX_CONTENT_BYTES } from "../../../protocol/cms/encrypted-content.ts";
import { deriveReplyKek } from "../../../protocol/cms/first-key.ts";
import { encodeKeyAgree } from "../../../protocol/cms/key-agreement.ts";
import { decodeMessage } from "../../../protocol/cms/message.ts";
import {
  isEnvelopeFor,
  type KeyHolder,
  openEncryptedData,
  openEnvelope,
} from "../../../protocol/cms/open-message.ts";
import { CMS_MAX_RECIPIENTS } from "../../../protocol/cms/recipient-info.ts";
import {
  type Recipient,
  sealEncryptedData,
  sealEnvelope,
} from "../../../protocol/cms/seal-message.ts";
import { decodeTlv } from "../../../protocol/der/tlv.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import { issueCertificate } from "../../../protocol/pki/issue-certificate.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { Secret } from "../../../protocol/secret.ts";
import { makeIdentity, NOT_AFTER, NOT_BEFORE } from "../pki/make-identity.ts";
import { toIndefinite } from "./craft-message.ts";

const CIPHERS = ["aes-128-cbc", "aes-256-cbc", "aes-128-gcm", "aes-256-gcm"] as const;
const CONTENT = Buffer.from("Content-Type: application/sdp\r\n\r\nv=0\r\n");
const REFERENCE = Buffer.from("0123456789abcdef");
const random = randomBytes;

type HolderName = "p256" | "rsa" | "kek";
let recipients: Readonly<Record<HolderName, Recipient>>;
let holders: Readonly<Record<HolderName, KeyHolder>>;
let ec: Identity;
let rsa: Identity;

before(async () => {
  ec = await makeIdentity({ commonName: "p256" });
  const authority = await makeIdentity({ profile: "authority" });
  rsa = await makeIdentity({ commonName: "rsa", issuer: authority, keyType: "rsa" });
  const shared = {
    kind: "kek" as const,
    keyIdentifier: Buffer.from("id"),
    kek: new Secret(random(32)),
  };
  recipients = {
    p256: { kind: "certificate", certificate: ec.certificate },
    rsa: { kind: "certificate", certificate: rsa.certificate },
    kek: shared,
  };
  holders = {
    p256: { kind: "certificate", ...ec },
    rsa: { kind: "certificate", ...rsa },
    kek: shared,
  };
});

function open(octets: Uint8Array, holder: KeyHolder): ReturnType<typeof openEnvelope> {
  const message = decodeMessage(octets);
  assert.ok(message.kind !== "encrypted");
  return openEnvelope(message, holder);
}

describe("open(seal(x)) = x", () => {
  for (const cipher of CIPHERS)
    for (const name of ["p256", "rsa", "kek"] satisfies HolderName[])
      test(`${cipher} for ${name}, as DER and as a stream`, () => {
        fc.assert(
          fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (content, isReused) => {
            const { message, firstKey } = sealEnvelope({
              content,
              cipher,
              recipients: [recipients[name]],
              ...(isReused ? { reference: REFERENCE } : {}),
              random,
            });
            for (const octets of [message, toIndefinite(decodeTlv(message))]) {
              const opened = open(octets, holders[name]);
              assert.deepEqual(opened.content, Buffer.from(content));
              assert.equal(opened.firstKey.cipher, cipher);
              assert.deepEqual(opened.firstKey.cek.expose(), firstKey.cek.expose());
              assert.deepEqual(opened.firstKey.reference, isReused ? REFERENCE : undefined);
            }
          }),
          { numRuns: name === "rsa" ? 5 : 25 },
        );
      });

  test("EncryptedData under the key of a CBC envelope", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (content) => {
        const firstKey = { cek: new Secret(random(32)), cipher: "aes-256-cbc" as const };
        const message = decodeMessage(sealEncryptedData(content, firstKey, random));
        assert.ok(message.kind === "encrypted");
        assert.deepEqual(openEncryptedData(message, firstKey), Buffer.from(content));
      }),
    );
  });

  test("the longest content, and not an octet more", () => {
    const seal = (contentBytes: number, cipher: ContentCipher): Buffer =>
      sealEnvelope({
        content: Buffer.alloc(contentBytes),
        cipher,
        recipients: [recipients.kek],
        random,
      }).message;
    for (const cipher of CIPHERS) {
      const opened = open(seal(CMS_MAX_CONTENT_BYTES, cipher), holders.kek);
      assert.equal(opened.content.length, CMS_MAX_CONTENT_BYTES);
      assert.throws(() => seal(CMS_MAX_CONTENT_BYTES + 1, cipher), RangeError);
    }
  });

  test("every recipient of sixteen; none and seventeen are refused", () => {
    const seal = (count: number): Buffer => {
      const all = Array.from({ length: count }, (_, index) => ({
        kind: "kek" as const,
        keyIdentifier: Buffer.of(index),
        kek: new Secret(Buffer.alloc(16, index)),
      }));
      return sealEnvelope({ content: CONTENT, cipher: "aes-128-gcm", recipients: all, random })
        .message;
    };
    const message = seal(CMS_MAX_RECIPIENTS);
    for (let index = 0; index < CMS_MAX_RECIPIENTS; index += 1) {
      const kek = new Secret(Buffer.alloc(16, index));
      assert.deepEqual(
        open(message, { kind: "kek", keyIdentifier: Buffer.of(index), kek }).content,
        CONTENT,
      );
    }
    assert.throws(() => seal(0), RangeError);
    assert.throws(() => seal(CMS_MAX_RECIPIENTS + 1), RangeError);
  });
});

describe("a flipped bit of an AuthEnvelopedData never opens", () => {
  const isRefusal = (error: unknown): boolean => isProtocolError(error);

  for (const name of ["kek", "p256", "rsa"] satisfies HolderName[])
    test(`bits of a message for ${name}`, () => {
      const { message } = sealEnvelope({
        content: CONTENT,
        cipher: "aes-256-gcm",
        recipients: [recipients[name]],
        reference: REFERENCE,
        random,
      });
      const stride = name === "rsa" ? 5 : 1; // prime to 8: every position within an octet
      for (let bit = 0; bit < message.length * 8; bit += stride) {
        const flipped = Buffer.from(message);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        assert.throws(() => open(flipped, holders[name]), isRefusal, `bit ${bit}`);
      }
    });
});

describe("recipients", () => {
  test("no private key is touched unless an entry names its certificate", () => {
    const { message } = sealEnvelope({
      content: CONTENT,
      cipher: "aes-256-gcm",
      recipients: [recipients.kek, recipients.rsa],
      random,
    });
    const untouched: KeyHolder = {
      kind: "certificate",
      certificate: ec.certificate,
      get privateKey(): KeyObject {
        throw new assert.AssertionError({ message: "private key touched" });
      },
    };
    assert.throws(
      () => open(message, untouched),
      (error) => isProtocolError(error, "ERR_CMS_NO_RECIPIENT"),
    );
    const envelope = decodeMessage(message);
    assert.ok(envelope.kind !== "encrypted");
    assert.equal(isEnvelopeFor(envelope, decodeCertificateIdentity(rsa.certificate)), true);
    assert.equal(isEnvelopeFor(envelope, decodeCertificateIdentity(ec.certificate)), false);
  });

  test("the kind of a key must be that of its entry", () => {
    const seal = (recipient: Recipient): Buffer =>
      sealEnvelope({ content: CONTENT, cipher: "aes-256-gcm", recipients: [recipient], random })
        .message;
    const swapped: KeyHolder = {
      kind: "certificate",
      certificate: ec.certificate,
      privateKey: rsa.privateKey,
    };
    assert.throws(
      () => open(seal(recipients.p256), swapped),
      (error) => isProtocolError(error, "ERR_CMS_DECRYPT"),
    );
  });

  test("a certificate of another key is refused", async () => {
    const authority = await makeIdentity({ profile: "authority" });
    for (const { publicKey } of [
      generateKeyPairSync("ed25519"),
      generateKeyPairSync("ec", { namedCurve: "P-384" }),
    ]) {
      const certificate = await issueCertificate(
        {
          commonName: "other",
          publicKey,
          profile: "user",
          alternativeNames: [],
          serialNumber: random(16),
          notBefore: NOT_BEFORE,
          notAfter: NOT_AFTER,
        },
        authority,
      );
      const other: Recipient = { kind: "certificate", certificate };
      assert.throws(
        () =>
          sealEnvelope({ content: CONTENT, cipher: "aes-256-gcm", recipients: [other], random }),
        (error) => isProtocolError(error, "ERR_CERTIFICATE"),
      );
    }
  });

  test("an RSA key of 1024 bits is refused", async () => {
    const authority = await makeIdentity({ profile: "authority" });
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const request = {
      commonName: "weak",
      publicKey,
      profile: "user",
      alternativeNames: [],
    } as const;
    const dates = { notBefore: NOT_BEFORE, notAfter: NOT_AFTER };
    const certificate = await issueCertificate(
      { ...request, ...dates, serialNumber: random(16) },
      authority,
    );
    const weak: Recipient = { kind: "certificate", certificate };
    assert.throws(
      () => sealEnvelope({ content: CONTENT, cipher: "aes-256-gcm", recipients: [weak], random }),
      RangeError,
    );
  });
});

describe("keys", () => {
  test("an ephemeral key out of range is drawn again, but not for ever", () => {
    const { key } = decodeCertificateIdentity(ec.certificate);
    assert.ok(key.kind === "p256");
    const draws = [Buffer.alloc(32, 0xff), Buffer.alloc(32), Buffer.alloc(32, 5)];
    const wrapped = encodeKeyAgree(
      Buffer.alloc(16),
      key.point,
      Buffer.alloc(0),
      () => draws.shift() ?? Buffer.alloc(32),
    );
    assert.equal(draws.length, 0);
    const ecdh = createECDH("prime256v1");
    ecdh.setPrivateKey(Buffer.alloc(32, 5));
    assert.ok(wrapped.includes(ecdh.getPublicKey()));
    assert.throws(
      () =>
        encodeKeyAgree(Buffer.alloc(16), key.point, Buffer.alloc(0), (size) => Buffer.alloc(size)),
      RangeError,
    );
  });

  test("the key of an answer is the first key reversed (RFC 3185 §3)", () => {
    const cek = new Secret(Buffer.from("00112233445566778899aabbccddeeff", "hex"));
    const kek = deriveReplyKek({ cek, cipher: "aes-128-gcm" });
    assert.equal(kek.expose().toString("hex"), "ffeeddccbbaa99887766554433221100");
    assert.equal(cek.expose().toString("hex"), "00112233445566778899aabbccddeeff");
  });

  test("EncryptedData is never made under a key of GCM", () => {
    const firstKey = { cek: new Secret(random(32)), cipher: "aes-256-gcm" as const };
    assert.throws(() => sealEncryptedData(CONTENT, firstKey, random), RangeError);
  });

  test("only keys of 16 and 32 octets wrap", () =>
    assert.throws(() => wrapAlgorithmFor(24), RangeError));
});
