import assert from "node:assert/strict";
import { randomBytes as random } from "node:crypto";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import {
  ANSWER_MAX_ANCHORS,
  ANSWER_MAX_CONTROLLERS,
  openRegistrationAnswer,
  type RegistrationAnswerRequest,
  sealRegistrationAnswer,
} from "../../../protocol/body/registration-answer.ts";
import { deriveReplyKek, type FirstKey } from "../../../protocol/cms/first-key.ts";
import type { Recipient } from "../../../protocol/cms/seal-message.ts";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import { parseEntity, partsOf } from "../../../protocol/mime/entity.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { Secret } from "../../../protocol/secret.ts";
import { makeAuthority, makeHost, makeIdentity, makeUser } from "../pki/make-identity.ts";
import {
  alteredOctets,
  anyText,
  asMessage,
  fails,
  failsToDecrypt,
  fragment,
  mixed,
  part,
  ROWS,
  SEALED_TYPE,
  sealed,
  signed,
  withFlippedBit,
} from "./craft-entity.ts";

const PKIX_CERT = "application/pkix-cert";

let authority: Identity;
let other: Identity;
let alice: Identity;
let controller: Identity;
let firstKey: FirstKey;

before(async () => {
  authority = await makeAuthority();
  other = await makeAuthority("biloxi");
  alice = await makeUser(authority, "sip:alice@atlanta.example.com");
  controller = await makeHost(authority, "ss1.atlanta.example.com");
  firstKey = { cek: new Secret(random(32)), cipher: "aes-256-gcm", reference: random(16) };
});

const seal = (request: Partial<RegistrationAnswerRequest> = {}) =>
  sealRegistrationAnswer({
    rows: ROWS,
    certificate: alice.certificate,
    controllers: [controller.certificate],
    trust: [
      { domain: "atlanta.example.com", anchors: [authority.certificate] },
      { domain: "biloxi.example.com", anchors: [other.certificate, authority.certificate] },
    ],
    to: { kind: "first-key", firstKey },
    signer: controller,
    chain: [authority.certificate],
    random,
    ...request,
  });
const encodedOf = (certificates: readonly { readonly encoded: Buffer }[]) =>
  certificates.map(({ encoded }) => encoded);

describe("an answer comes back", () => {
  const withoutReference = (cipher: FirstKey["cipher"]): FirstKey => ({
    cek: new Secret(random(32)),
    cipher,
  });
  const keys: Record<string, () => FirstKey> = {
    "GCM, with a reference": () => firstKey,
    "CBC, with a reference": () => ({ ...firstKey, cipher: "aes-256-cbc" }),
    "CBC, without": () => withoutReference("aes-256-cbc"),
  };
  for (const [what, key] of Object.entries(keys))
    test(`under the first key: ${what}`, async () => {
      const to = { kind: "first-key", firstKey: key() } as const;
      const answer = await seal({ to });
      for (const identity of [undefined, alice]) {
        const holders = { firstKey: to.firstKey, ...(identity ? { identity } : {}) };
        const opened = await openRegistrationAnswer({ ...answer, holders });
        assert.deepEqual(opened.rows, ROWS);
        assert.deepEqual(opened.certificate?.encoded, alice.certificate);
      }
    });

  for (const keyType of ["p256", "rsa"] as const)
    test(`for a certificate, ${keyType}, be there a first key or not`, async () => {
      const identity = await makeIdentity({ issuer: authority, keyType });
      const answer = await seal({ to: { kind: "certificate", certificate: identity.certificate } });
      for (const holders of [{ identity }, { identity, firstKey }]) {
        const opened = await openRegistrationAnswer({ ...answer, holders });
        assert.deepEqual(opened.certificate?.encoded, alice.certificate);
      }
    });

  test("with signer, chain, controllers and anchors by domain", async () => {
    const opened = await openRegistrationAnswer({ ...(await seal()), holders: { firstKey } });
    assert.deepEqual(opened.signer.encoded, controller.certificate);
    assert.deepEqual(encodedOf(opened.others), [authority.certificate]);
    assert.deepEqual(encodedOf(opened.controllers), [controller.certificate]);
    assert.deepEqual(
      opened.trust.map(({ domain, anchors }) => [domain, encodedOf(anchors)]),
      [
        ["atlanta.example.com", [authority.certificate]],
        ["biloxi.example.com", [other.certificate, authority.certificate]],
      ],
    );
  });

  test("with nothing but rows", async () => {
    const { certificate: _, ...rest } = {
      rows: ROWS,
      certificate: undefined,
      controllers: [],
      trust: [],
      to: { kind: "first-key", firstKey } as const,
      signer: controller,
      random,
    };
    const answer = await sealRegistrationAnswer(rest);
    const opened = await openRegistrationAnswer({ ...answer, holders: { firstKey } });
    assert.deepEqual([opened.certificate, opened.controllers, opened.trust], [undefined, [], []]);
  });

  test("signed with an RSA key", async () => {
    const signer = await makeIdentity({ issuer: authority, keyType: "rsa" });
    const answer = await seal({ signer });
    const opened = await openRegistrationAnswer({ ...answer, holders: { firstKey } });
    assert.deepEqual(opened.signer.encoded, signer.certificate);
  });

  test("with as much as one answer holds, and no more", async () => {
    const most = {
      controllers: Array<Buffer>(ANSWER_MAX_CONTROLLERS).fill(controller.certificate),
      trust: [
        { domain: "a", anchors: Array<Buffer>(ANSWER_MAX_ANCHORS - 1).fill(other.certificate) },
        { domain: "B", anchors: [authority.certificate] },
      ],
    };
    const opened = await openRegistrationAnswer({ ...(await seal(most)), holders: { firstKey } });
    assert.equal(opened.controllers.length, ANSWER_MAX_CONTROLLERS);
    assert.deepEqual(
      opened.trust.map(({ domain, anchors }) => [domain, anchors.length]),
      [
        ["a", ANSWER_MAX_ANCHORS - 1],
        ["b", 1],
      ],
    );
    const [one] = most.trust;
    for (const more of [
      { controllers: [...most.controllers, controller.certificate] },
      { trust: [...most.trust, { domain: "c", anchors: [other.certificate] }] },
      { trust: [{ domain: "no domain", anchors: one?.anchors ?? [] }] },
    ])
      await assert.rejects(seal(more), RangeError);
  });

  test("not under a key of GCM that may not be used again", () =>
    assert.rejects(
      seal({ to: { kind: "first-key", firstKey: withoutReference("aes-256-gcm") } }),
      fails("ERR_CMS_UNSUPPORTED"),
    ));
});

/** This content, sealed under the first key and signed by the controller. */
async function answerOf(content: Buffer, cipher: FirstKey["cipher"] = "aes-256-gcm") {
  const kek = deriveReplyKek(firstKey);
  const to: Recipient = { kind: "kek", keyIdentifier: firstKey.reference ?? Buffer.alloc(0), kek };
  return asMessage(await signed(part(SEALED_TYPE, sealed(content, to, cipher)), controller));
}

describe("an answer that is not for us, or altered", () => {
  test("tells only that it is for somebody else", async () => {
    const answer = await seal();
    const anotherKey: FirstKey = { ...firstKey, reference: random(16) };
    for (const holders of [
      {},
      { identity: alice },
      { firstKey: anotherKey },
      { firstKey: anotherKey, identity: alice },
    ])
      await assert.rejects(
        openRegistrationAnswer({ ...answer, holders }),
        fails("ERR_CMS_NO_RECIPIENT"),
      );
    const toAlice = await seal({ to: { kind: "certificate", certificate: alice.certificate } });
    for (const holders of [{ firstKey }, { identity: controller }])
      await assert.rejects(
        openRegistrationAnswer({ ...toAlice, holders }),
        fails("ERR_CMS_NO_RECIPIENT"),
      );
  });

  test("fails alike: another key, CBC after GCM, EncryptedData for a certificate, no CMS", async () => {
    const answer = await seal();
    const wrong: FirstKey = { ...firstKey, cek: new Secret(random(32)) };
    const encrypted = await seal({
      to: {
        kind: "first-key",
        firstKey: { cek: new Secret(random(32)), cipher: "aes-256-cbc" },
      },
    });
    const stolen = { certificate: alice.certificate, privateKey: controller.privateKey };
    const toAlice = await seal({ to: { kind: "certificate", certificate: alice.certificate } });
    const noCms = asMessage(await signed(part(SEALED_TYPE, Buffer.from("no CMS")), controller));
    const inClear = asMessage(await signed(mixed(fragment()), controller));
    const attempts = [
      { ...answer, holders: { firstKey: wrong } },
      { ...answer, holders: { firstKey: wrong, identity: alice } },
      { ...(await answerOf(mixed(fragment()), "aes-256-cbc")), holders: { firstKey } },
      { ...encrypted, holders: { identity: alice } },
      { ...encrypted, holders: { firstKey } },
      { ...toAlice, holders: { identity: stolen } },
      { ...noCms, holders: { firstKey } },
      { ...inClear, holders: { firstKey } },
    ];
    for (const attempt of attempts)
      await assert.rejects(openRegistrationAnswer(attempt), failsToDecrypt);
  });

  test("is verified before it is opened", async () => {
    const { body, contentType } = await seal();
    const [content] = partsOf(
      parseEntity(Buffer.concat([Buffer.from(`Content-Type: ${contentType}\r\n\r\n`), body])),
    );
    assert.ok(content);
    const unsigned = [
      asMessage(await signed(part(SEALED_TYPE, content.body), controller)),
      { body: content.body, contentType: SEALED_TYPE },
    ] as const;
    await assert.doesNotReject(openRegistrationAnswer({ ...unsigned[0], holders: { firstKey } }));
    await assert.rejects(
      openRegistrationAnswer({ ...unsigned[1], holders: { firstKey } }),
      fails("ERR_SIGNATURE_MISSING"),
    );
    const flipped = Buffer.from(body);
    const at = body.indexOf(content.body) + (content.body.length >> 1);
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    await assert.rejects(
      openRegistrationAnswer({ body: flipped, contentType, holders: { firstKey } }),
      fails("ERR_SIGNATURE"),
    );
    await assert.rejects(
      openRegistrationAnswer({ body: body.subarray(0, -40), contentType, holders: { firstKey } }),
      fails("ERR_BODY"),
    );
  });

  test("a flipped bit anywhere never gives another content", async () => {
    const { body, contentType } = await seal();
    const holders = { firstKey };
    const contentOf = async (octets: Buffer) => {
      const opened = await openRegistrationAnswer({ body: octets, contentType, holders });
      return [opened.rows, opened.certificate?.encoded, opened.trust.length];
    };
    const expected = await contentOf(body);
    await fc.assert(
      fc.asyncProperty(fc.nat(body.length * 8 - 1), async (bit) => {
        const flipped = withFlippedBit(body, bit);
        try {
          assert.deepEqual(await contentOf(flipped), expected);
        } catch (error) {
          assert.ok(isProtocolError(error), String(error));
        }
      }),
      { numRuns: 300 },
    );
  });

  test("any octets and any type give a value or a ProtocolError", async () => {
    const { body, contentType } = await seal();
    const altered = alteredOctets(body);
    const type = fc.oneof(fc.constant(contentType), anyText);
    const octets = fc.oneof(altered, fc.uint8Array({ maxLength: 200 }));
    await fc.assert(
      fc.asyncProperty(octets, type, async (answer, stated) => {
        try {
          const request = { body: answer, contentType: stated };
          await openRegistrationAnswer({ ...request, holders: { firstKey } });
        } catch (error) {
          assert.ok(isProtocolError(error), String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("an answer whose content is not as agreed", () => {
  const certificate = (disposition?: string): Buffer =>
    part(PKIX_CERT, alice.certificate, disposition);
  const bad: Record<string, readonly [ProtocolErrorCode, () => Buffer]> = {
    "no entity": ["ERR_BODY", () => Buffer.from("no entity")],
    "sipfrag alone, no multipart": ["ERR_BODY", () => fragment()],
    "no sipfrag": ["ERR_BODY", () => mixed(certificate("signal"))],
    "two sipfrags": ["ERR_BODY", () => mixed(fragment(), fragment())],
    "two certificates of the device": [
      "ERR_BODY",
      () => mixed(fragment(), certificate("signal"), certificate("signal;handling=required")),
    ],
    "a certificate without a disposition": ["ERR_BODY", () => mixed(fragment(), certificate())],
    "a certificate of an unknown role": [
      "ERR_BODY",
      () => mixed(fragment(), certificate("recorder")),
    ],
    "a part that we do not know": [
      "ERR_BODY",
      () => mixed(fragment(), part("text/plain", Buffer.from("a"))),
    ],
    "a malformed disposition": ["ERR_BODY", () => mixed(fragment(), certificate("signal;="))],
    "a trust anchor without domain": [
      "ERR_BODY",
      () => mixed(fragment(), certificate("trust-anchor")),
    ],
    "a trust anchor of an empty domain": [
      "ERR_BODY",
      () => mixed(fragment(), certificate('trust-anchor;domain=""')),
    ],
    "a trust anchor of what is no domain": [
      "ERR_BODY",
      () => mixed(fragment(), certificate('trust-anchor;domain="biloxi.example.com, *"')),
    ],
    "an unreadable certificate": [
      "ERR_CERTIFICATE",
      () => mixed(fragment(), part(PKIX_CERT, Buffer.from("a"), "signal")),
    ],
    "an unreadable controller": [
      "ERR_CERTIFICATE",
      () => mixed(fragment(), part(PKIX_CERT, Buffer.from("a"), "controller")),
    ],
    "an unreadable anchor": [
      "ERR_CERTIFICATE",
      () => mixed(fragment(), part(PKIX_CERT, Buffer.from("a"), "trust-anchor;domain=a")),
    ],
  };
  for (const [what, [code, content]] of Object.entries(bad))
    test(`${what}: ${code}`, async () => {
      const answer = await answerOf(content());
      await assert.rejects(
        openRegistrationAnswer({ ...answer, holders: { firstKey } }),
        fails(code),
      );
    });

  test("what may be passed over is", async () => {
    const answer = await answerOf(
      mixed(
        certificate("recorder;handling=optional"),
        part("text/plain", Buffer.from("a"), "render;handling=optional"),
        certificate("controller"),
        fragment(),
        certificate('trust-anchor;domain="BILOXI.example.com"'),
        certificate("trust-anchor;domain=biloxi.example.com;handling=optional"),
      ),
    );
    const opened = await openRegistrationAnswer({ ...answer, holders: { firstKey } });
    assert.equal(opened.certificate, undefined);
    assert.equal(opened.controllers.length, 1);
    assert.deepEqual(
      opened.trust.map(({ domain, anchors }) => [domain, anchors.length]),
      [["biloxi.example.com", 2]],
    );
  });
});
