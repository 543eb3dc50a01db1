import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { before, describe, test } from "node:test";
import * as asn1js from "asn1js";
import fc from "fast-check";
import * as pkijs from "pkijs";
import { isProtocolError } from "../../../protocol/errors.ts";
import { ENGINE } from "../../../protocol/pki/engine.ts";
import {
  type Identity,
  SIGNED_DATA_MAX_BYTES,
  SIGNED_DATA_MAX_CERTIFICATES,
  signDetached,
  verifyDetached,
} from "../../../protocol/pki/signed-data.ts";
import { SIGNED_DATA_MAX_ATTRIBUTES } from "../../../protocol/pki/signer-info.ts";
import { makeAuthority, makeIdentity, makeUser } from "./make-identity.ts";

const CONTENT = Buffer.from("Content-Type: application/sdp\r\n\r\nv=0\r\n");
const CONTENT_TYPE = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const isRefused = (error: unknown): boolean => isProtocolError(error, "ERR_SIGNATURE");

let authority: Identity;
let alice: Identity;

before(async () => {
  authority = await makeAuthority();
  alice = await makeUser(authority, "sip:alice@atlanta.example.com");
});

/** Alice's signature after `change`, signed anew: only what is changed can be wrong. */
async function altered(change: (signedData: pkijs.SignedData) => void): Promise<Buffer> {
  const octets = await signDetached(CONTENT, alice);
  const info = pkijs.ContentInfo.fromBER(Uint8Array.from(octets).buffer);
  const signedData = new pkijs.SignedData({ schema: info.content });
  const [signerInfo] = signedData.signerInfos;
  assert.ok(signerInfo?.signedAttrs);
  change(signedData);
  signerInfo.signedAttrs.encodedValue = new ArrayBuffer(0);
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const key = alice.privateKey.toCryptoKey(algorithm, false, ["sign"]);
  await signedData.sign(key as CryptoKey, 0, "SHA-256", undefined, ENGINE);
  const outer = new pkijs.ContentInfo({
    contentType: pkijs.ContentInfo.SIGNED_DATA,
    content: signedData.toSchema(true),
  });
  return Buffer.from(outer.toSchema().toBER());
}

const attributesOf = (signedData: pkijs.SignedData): pkijs.Attribute[] =>
  signedData.signerInfos[0]?.signedAttrs?.attributes ?? [];

function replace(signedData: pkijs.SignedData, type: string, ...values: asn1js.BaseBlock[]): void {
  const attributes = attributesOf(signedData);
  const at = attributes.findIndex((one) => one.type === type);
  attributes.splice(at, 1, new pkijs.Attribute({ type, values }));
}

describe("a detached signature", () => {
  test("verifies and names its signer", async () => {
    const signature = await signDetached(CONTENT, alice);
    const { signer, others } = await verifyDetached(CONTENT, signature);
    assert.deepEqual(signer.encoded, alice.certificate);
    assert.deepEqual(others, []);
  });

  test("verifies over any content", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (content) => {
        const { signer } = await verifyDetached(content, await signDetached(content, alice));
        assert.deepEqual(signer.encoded, alice.certificate);
      }),
    );
  });

  test("does not verify over other content, nor under another's certificate", async () => {
    const signature = await signDetached(CONTENT, alice);
    await assert.rejects(
      verifyDetached(Buffer.concat([CONTENT, Buffer.of(0)]), signature),
      isRefused,
    );
    const forged = { certificate: alice.certificate, privateKey: authority.privateKey };
    await assert.rejects(verifyDetached(CONTENT, await signDetached(CONTENT, forged)), isRefused);
  });

  test("is made with an RSA key too, and brings the chain along, the signer once", async () => {
    const rsa = await makeIdentity({ issuer: authority, keyType: "rsa" });
    const chain = [authority.certificate, rsa.certificate];
    const verified = await verifyDetached(CONTENT, await signDetached(CONTENT, rsa, chain));
    assert.deepEqual(verified.signer.encoded, rsa.certificate);
    assert.deepEqual(
      verified.others.map(({ encoded }) => encoded),
      [authority.certificate],
    );
  });

  test("is made with no other key, and no longer chain than is read", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    await assert.rejects(signDetached(CONTENT, { ...alice, privateKey }), TypeError);
    const chain = Array<Buffer>(SIGNED_DATA_MAX_CERTIFICATES).fill(authority.certificate);
    await assert.rejects(signDetached(CONTENT, alice, chain), RangeError);
    await assert.doesNotReject(signDetached(CONTENT, alice, chain.slice(1)));
  });

  test("as altered by nothing, verifies", async () => {
    await verifyDetached(CONTENT, await altered(() => undefined));
  });

  test("may carry more certificates, up to its limit", async () => {
    const chain = pkijs.Certificate.fromBER(Uint8Array.from(authority.certificate).buffer);
    const carrying = (count: number): Promise<Buffer> =>
      altered((signedData) => {
        for (let more = 1; more < count; more += 1) signedData.certificates?.push(chain);
      });
    const { others } = await verifyDetached(CONTENT, await carrying(SIGNED_DATA_MAX_CERTIFICATES));
    assert.equal(others.length, SIGNED_DATA_MAX_CERTIFICATES - 1);
    assert.deepEqual(others[0]?.encoded, authority.certificate);
    const tooMany = await carrying(SIGNED_DATA_MAX_CERTIFICATES + 1);
    await assert.rejects(verifyDetached(CONTENT, tooMany), isRefused);
  });

  test("may carry more attributes, up to its limit", async () => {
    const carrying = (count: number): Promise<Buffer> =>
      altered((signedData) => {
        const attributes = attributesOf(signedData);
        const more = Array.from(
          { length: count - attributes.length },
          (_, index) => new pkijs.Attribute({ type: `1.2.${index}`, values: [new asn1js.Null()] }),
        );
        attributes.unshift(...more); // in the order of DER, in which they are verified
      });
    await verifyDetached(CONTENT, await carrying(SIGNED_DATA_MAX_ATTRIBUTES));
    const tooMany = await carrying(SIGNED_DATA_MAX_ATTRIBUTES + 1);
    await assert.rejects(verifyDetached(CONTENT, tooMany), isRefused);
  });

  const bad: Record<string, (signedData: pkijs.SignedData) => void> = {
    "content of another type": (signedData) => {
      signedData.encapContentInfo.eContentType = "1.2.840.113549.1.9.16.1.4";
    },
    "content-type of another type": (signedData) =>
      replace(signedData, CONTENT_TYPE, new asn1js.ObjectIdentifier({ value: "1.2.3" })),
    "content-type that is no identifier": (signedData) =>
      replace(signedData, CONTENT_TYPE, new asn1js.Null()),
    "two values of content-type": (signedData) =>
      replace(
        signedData,
        CONTENT_TYPE,
        new asn1js.ObjectIdentifier({ value: pkijs.SignedData.ID_DATA }),
        new asn1js.ObjectIdentifier({ value: pkijs.SignedData.ID_DATA }),
      ),
    "a digest that is no string": (signedData) =>
      replace(signedData, MESSAGE_DIGEST, new asn1js.Null()),
    "another digest": (signedData) =>
      replace(
        signedData,
        MESSAGE_DIGEST,
        new asn1js.OctetString({ valueHex: new ArrayBuffer(32) }),
      ),
    "a digest that stands twice": (signedData) => {
      const attributes = attributesOf(signedData);
      attributes.push(...attributes.filter(({ type }) => type === MESSAGE_DIGEST));
    },
    "no digest": (signedData) => {
      attributesOf(signedData).pop();
    },
    "a certificate of another format": (signedData) => {
      signedData.certificates?.push(
        new pkijs.OtherCertificateFormat({
          otherCertFormat: "1.2.3",
          otherCert: new asn1js.Null(),
        }),
      );
    },
    "no certificate": (signedData) => {
      signedData.certificates = [];
    },
  };
  for (const [what, change] of Object.entries(bad))
    test(`with ${what} is refused`, async () => {
      const signature = await altered(change);
      await assert.rejects(verifyDetached(CONTENT, signature), isRefused);
    });

  test("of another version, digest or algorithm is refused, the rest being good", async () => {
    const signature = await signDetached(CONTENT, alice);
    const SHA256 = Buffer.from("0609608648016503040201", "hex");
    const ECDSA_SHA256 = Buffer.from("06082a8648ce3d040302", "hex");
    const replacements = [
      { at: signature.indexOf(Buffer.from("020101", "hex")), by: Buffer.from("020102", "hex") },
      { at: signature.lastIndexOf(Buffer.from("020101", "hex")), by: Buffer.from("020103", "hex") },
      { at: signature.lastIndexOf(SHA256), by: Buffer.from("0609608648016503040203", "hex") },
      { at: signature.lastIndexOf(SHA256), by: Buffer.from("0609608648016503040204", "hex") },
      { at: signature.lastIndexOf(ECDSA_SHA256), by: Buffer.from("06082a8648ce3d040303", "hex") },
      { at: signature.lastIndexOf(ECDSA_SHA256), by: Buffer.from("06082a8648ce3d040301", "hex") },
    ];
    for (const { at, by } of replacements) {
      assert.ok(at > 0);
      const changed = Buffer.from(signature);
      by.copy(changed, at);
      await assert.rejects(verifyDetached(CONTENT, changed), isRefused);
    }
  });

  test("any octets verify or are refused", async () => {
    const signature = await signDetached(CONTENT, alice);
    const altered = fc
      .array(fc.tuple(fc.nat(signature.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 })
      .map((changes) => {
        const copy = Buffer.from(signature);
        for (const [at, value] of changes) copy[at] = value;
        return copy;
      });
    await fc.assert(
      fc.asyncProperty(fc.oneof(altered, fc.uint8Array({ maxLength: 300 })), async (octets) => {
        try {
          await verifyDetached(CONTENT, octets);
        } catch (error) {
          assert.ok(isRefused(error), String(error));
        }
      }),
      { numRuns: 500 },
    );
  });

  test("that is none, or too long, is refused", async () => {
    const envelope = new pkijs.ContentInfo({
      contentType: "1.2.840.113549.1.7.3",
      content: new asn1js.Sequence(),
    });
    for (const octets of [Buffer.alloc(0), CONTENT, Buffer.from(envelope.toSchema().toBER())])
      await assert.rejects(verifyDetached(CONTENT, octets), isRefused);
    await assert.rejects(
      verifyDetached(CONTENT, Buffer.alloc(SIGNED_DATA_MAX_BYTES + 1)),
      isRefused,
    );
  });
});
