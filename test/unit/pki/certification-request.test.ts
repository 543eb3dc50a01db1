import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import * as pkijs from "pkijs";
import {
  encodeAlgorithm,
  encodeBitString,
  encodeNull,
  encodeOid,
  encodeSequence,
  encodeSmallInteger,
  encodeTlv,
} from "../../../protocol/der/encode.ts";
import { contextTag, TAG } from "../../../protocol/der/tag.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  CERTIFICATION_REQUEST_MAX_BYTES,
  CERTIFICATION_REQUEST_MAX_NAMES,
  createCertificationRequest,
  decodeCertificationRequest,
} from "../../../protocol/pki/certification-request.ts";
import { ENGINE } from "../../../protocol/pki/engine.ts";
import { EXTENSION, encodeExtension } from "../../../protocol/pki/extension.ts";
import {
  type AlternativeName,
  encodeCommonName,
  encodeGeneralNames,
} from "../../../protocol/pki/general-name.ts";
import { keyIdOf, spkiOf } from "../../../protocol/pki/public-key.ts";
import { encodeSigned } from "../../../protocol/pki/sign-octets.ts";

const ALICE = "sip:alice@atlanta.example.com";
const P256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const RSA = generateKeyPairSync("rsa", { modulusLength: 2048 });

interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

interface Parts {
  readonly version?: Buffer;
  readonly spki?: Buffer;
  readonly attributes?: readonly Buffer[];
  readonly extra?: readonly Buffer[];
  readonly pair?: Pair;
}

const EXTENSION_REQUEST = encodeOid("1.2.840.113549.1.9.14");
const extensionRequest = (...lists: readonly Buffer[]): Buffer =>
  encodeSequence(EXTENSION_REQUEST, encodeTlv(TAG.set, ...lists));
const namesList = (...names: readonly AlternativeName[]): Buffer =>
  encodeSequence(encodeExtension(EXTENSION.subjectAltName, false, encodeGeneralNames(names)));
const uri = (text: string): AlternativeName => ({ kind: "uri", uri: text });

/** A request with parts of its own, signed by its key. */
function request({ version, spki, attributes, extra = [], pair = P256 }: Parts): Promise<Buffer> {
  const info = encodeSequence(
    version ?? encodeSmallInteger(0),
    encodeCommonName("anybody"),
    spki ?? spkiOf(pair.publicKey),
    encodeTlv(contextTag(0), ...(attributes ?? [extensionRequest(namesList(uri(ALICE)))])),
    ...extra,
  );
  return encodeSigned(info, pair.privateKey);
}

const isRefused = (error: unknown): boolean => isProtocolError(error, "ERR_CERTIFICATE_REQUEST");

describe("a certification request", () => {
  for (const [keyType, pair] of [
    ["p256", P256],
    ["rsa2048", RSA],
  ] as const)
    test(`for ${keyType} is made, and read again`, async () => {
      const octets = await createCertificationRequest({ aor: ALICE, ...pair });
      const read = await decodeCertificationRequest(octets);
      assert.deepEqual(read.uris, [ALICE]);
      assert.equal(read.otherNames, false);
      assert.equal(read.keyType, keyType);
      assert.equal(read.keyId, keyIdOf(pair.publicKey));
      assert.ok(read.publicKey.equals(pair.publicKey));
    });

  test("is what pkijs verifies", async () => {
    const octets = await createCertificationRequest({ aor: ALICE, ...P256 });
    const parsed = pkijs.CertificationRequest.fromBER(Uint8Array.from(octets).buffer);
    assert.equal(await parsed.verify(ENGINE), true);
  });

  test("may be empty of names, or hold attributes that we do not know", async () => {
    const password = encodeSequence(encodeOid("1.2.840.113549.1.9.7"), encodeTlv(TAG.set));
    for (const attributes of [[], [password]]) {
      const { uris, otherNames } = await decodeCertificationRequest(await request({ attributes }));
      assert.deepEqual([uris, otherNames], [[], false]);
    }
  });

  test("says whether it asks for names of other kinds", async () => {
    const other: readonly AlternativeName[] = [
      { kind: "dns", name: "atlanta.example.com" },
      { kind: "address", octets: Buffer.alloc(4) },
    ];
    for (const name of other) {
      const octets = await request({ attributes: [extensionRequest(namesList(uri(ALICE), name))] });
      const read = await decodeCertificationRequest(octets);
      assert.deepEqual([read.uris, read.otherNames], [[ALICE], true]);
    }
  });

  test("is not granted what else it asks for", async () => {
    const authority = encodeSequence(encodeTlv(TAG.boolean, Buffer.of(0xff)));
    const lists = encodeSequence(
      encodeExtension(EXTENSION.subjectAltName, false, encodeGeneralNames([uri(ALICE)])),
      encodeExtension(EXTENSION.basicConstraints, true, authority),
    );
    const read = await decodeCertificationRequest(
      await request({ attributes: [extensionRequest(lists)] }),
    );
    assert.deepEqual(Object.keys(read).sort(), [
      "keyId",
      "keyType",
      "otherNames",
      "publicKey",
      "uris",
    ]);
  });
});

describe("a certification request is refused", () => {
  const rsa = (modulusLength: number, publicExponent = 65537): Pair =>
    generateKeyPairSync("rsa", { modulusLength, publicExponent });
  const ec = (namedCurve: string): Pair => generateKeyPairSync("ec", { namedCurve });
  const modulus = RSA.publicKey.export({ format: "jwk" }).n ?? "";
  const longRsa = encodeSequence(
    encodeAlgorithm("1.2.840.113549.1.1.1", encodeNull()),
    encodeBitString(
      encodeSequence(
        encodeTlv(TAG.integer, Buffer.alloc(2), Buffer.from(modulus, "base64url")),
        encodeTlv(TAG.integer, Buffer.of(1, 0, 1)),
      ),
    ),
  );
  const point = spkiOf(P256.publicKey).subarray(-64);
  const compressed = encodeSequence(
    encodeAlgorithm("1.2.840.10045.2.1", encodeOid("1.2.840.10045.3.1.7")),
    encodeBitString(Buffer.concat([Buffer.of(2 + ((point[63] ?? 0) & 1)), point.subarray(0, 32)])),
  );
  const offCurve = Buffer.from(spkiOf(P256.publicKey));
  offCurve[offCurve.length - 1] = (offCurve.at(-1) ?? 0) ^ 1;
  const many = Array.from({ length: CERTIFICATION_REQUEST_MAX_NAMES + 1 }, () => uri(ALICE));
  const list = namesList(uri(ALICE));

  const refused: Readonly<Record<string, Parts | Buffer>> = {
    "with RSA of 1024 bits": { pair: rsa(1024) },
    "with RSA of 2056 bits": { pair: rsa(2056) },
    "with RSA of exponent 3": { pair: rsa(2048, 3) },
    "with P-384": { spki: spkiOf(ec("P-384").publicKey) },
    "with secp256k1": { spki: spkiOf(ec("secp256k1").publicKey) },
    "with Ed25519": { spki: spkiOf(generateKeyPairSync("ed25519").publicKey) },
    "with a key in a second encoding: RSA": { spki: longRsa, pair: RSA },
    "with a key in a second encoding: P-256": { spki: compressed },
    "with a point off the curve": { spki: offCurve },
    "signed by another key": { spki: spkiOf(ec("P-256").publicKey) },
    "signed by a key of another kind": { spki: spkiOf(RSA.publicKey) },
    "of version 2": { version: encodeSmallInteger(1) },
    "with something after its attributes": { extra: [encodeNull()] },
    "with two lists of extensions": {
      attributes: [extensionRequest(list), extensionRequest(list)],
    },
    "with two lists in one attribute": { attributes: [extensionRequest(list, list)] },
    "with too many names": { attributes: [extensionRequest(namesList(...many))] },
    "with a blank in its name": {
      attributes: [extensionRequest(namesList(uri("sip:alice@atlanta sip:bob@biloxi")))],
    },
    "with a NUL in its name": { attributes: [extensionRequest(namesList(uri("sip:a@b\0c")))] },
    "that is none": Buffer.from("3000", "hex"),
    "that is empty": Buffer.alloc(0),
    "that is too long": Buffer.alloc(CERTIFICATION_REQUEST_MAX_BYTES + 1),
  };
  for (const [what, parts] of Object.entries(refused))
    test(what, async () => {
      const octets = Buffer.isBuffer(parts) ? parts : await request(parts);
      await assert.rejects(decodeCertificationRequest(octets), isRefused);
    });

  test("signed with SHA-1", async () => {
    const parsed = new pkijs.CertificationRequest();
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const key = (one: KeyObject, usage: "sign" | "verify") =>
      one.toCryptoKey(algorithm, true, [usage]) as CryptoKey;
    await parsed.subjectPublicKeyInfo.importKey(key(P256.publicKey, "verify"), ENGINE);
    parsed.attributes = [];
    await parsed.sign(key(P256.privateKey, "sign"), "SHA-1", ENGINE);
    const octets = Buffer.from(parsed.toSchema(true).toBER());
    await assert.rejects(decodeCertificationRequest(octets), isRefused);
  });

  test("if any octet of it is another", async () => {
    const octets = await createCertificationRequest({ aor: ALICE, ...P256 });
    await fc.assert(
      fc.asyncProperty(
        fc.nat(octets.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, by) => {
          const changed = Buffer.from(octets);
          changed[at] = (changed[at] ?? 0) ^ by;
          await assert.rejects(decodeCertificationRequest(changed), isRefused);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("by its maker for a key of another kind", async () => {
    const pair = generateKeyPairSync("ed25519");
    await assert.rejects(createCertificationRequest({ aor: ALICE, ...pair }), TypeError);
  });
});
