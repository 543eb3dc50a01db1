import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import {
  isRecipient,
  openAnswer,
  openOffer,
  recipientCount,
} from "../../../protocol/body/open-body.ts";
import { sealAnswer, sealOffer } from "../../../protocol/body/seal-body.ts";
import { signEntity, verifySignedEntity } from "../../../protocol/body/signed-entity.ts";
import { parseSipfrag, serializeSipfrag } from "../../../protocol/body/sipfrag.ts";
import type { ContentCipher } from "../../../protocol/cms/algorithms.ts";
import type { FirstKey } from "../../../protocol/cms/first-key.ts";
import { deriveReplyKek } from "../../../protocol/cms/first-key.ts";
import { sealEncryptedData, sealEnvelope } from "../../../protocol/cms/seal-message.ts";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import { parseEntity, partsOf, serializeEntity } from "../../../protocol/mime/entity.ts";
import { serializeMultipart } from "../../../protocol/mime/multipart.ts";
import { type Identity, signDetached } from "../../../protocol/pki/signed-data.ts";
import { makeAuthority, makeHost, makeIdentity, makeUser, NOW } from "../pki/make-identity.ts";

const SDP = Buffer.from("v=0\r\no=- 1 1 IN IP4 192.0.2.101\r\ns=-\r\nt=0 0\r\n");
const ROWS = [["Call-ID", "3848276298220188511@atlanta.example.com"]] as const;
const random = randomBytes;

let authority: Identity;
let alice: Identity;
let bob: Identity;
let controller: Identity;

before(async () => {
  authority = await makeAuthority();
  alice = await makeUser(authority, "sip:alice@atlanta.example.com");
  bob = await makeUser(authority, "sip:bob@biloxi.example.com");
  controller = await makeHost(authority, "ss1.atlanta.example.com");
});

const parts = (signer: Identity) => ({ sipfrag: ROWS, sdp: SDP, signer, random });
const offerFor = (recipient: Identity, cipher: ContentCipher = "aes-256-gcm") =>
  sealOffer({ ...parts(alice), recipients: [recipient.certificate], form: "rfc3185", cipher });

const fails =
  (code: ProtocolErrorCode) =>
  (error: unknown): boolean =>
    isProtocolError(error, code);
const failsToDecrypt = (error: unknown): boolean =>
  isProtocolError(error, "ERR_CMS_DECRYPT") &&
  error.message === "message cannot be decrypted" &&
  error.cause === undefined;

describe("openOffer", () => {
  test("tells only that no entry names the holder", async () => {
    const offer = await offerFor(bob);
    await assert.rejects(
      openOffer({ ...offer, holder: controller }),
      fails("ERR_CMS_NO_RECIPIENT"),
    );
    const { firstKey } = await sealOffer({
      ...parts(alice),
      recipients: [bob.certificate],
      form: "patent",
    });
    const answer = await sealAnswer({ ...parts(bob), firstKey });
    await assert.rejects(openOffer({ ...answer, holder: bob }), fails("ERR_CMS_NO_RECIPIENT"));
  });

  test("fails alike for a wrong key, octets cut off, another type, what is no CMS", async () => {
    const { body, contentType } = await offerFor(bob);
    const stolen = { certificate: bob.certificate, privateKey: alice.privateKey };
    const attempts = [
      { body, contentType, holder: stolen },
      { body: body.subarray(0, -1), contentType, holder: bob },
      { body: Buffer.from("v=0\r\n"), contentType, holder: bob },
      { body, contentType: "application/sdp", holder: bob },
      { body, contentType: "application/pkcs7-mime;smime-type=enveloped-data", holder: bob },
      { body, contentType: "application/pkcs7-mime;smime-type=signed-data", holder: bob },
      { body, contentType: "", holder: bob },
    ];
    for (const attempt of attempts) await assert.rejects(openOffer(attempt), failsToDecrypt);
  });

  const types = [
    "application/pkcs7-mime",
    "Application/PKCS7-MIME; smime-type=AuthEnveloped-Data",
    "application/pkcs7-mime;smime-type=auth-enveloped-data;name=smime.p7m",
  ];
  for (const contentType of types)
    test(`takes ${contentType}`, async () => {
      const { body } = await offerFor(bob);
      const { entity } = await openOffer({ body, contentType, holder: bob });
      assert.equal(parseEntity(entity).contentType.type, "multipart/signed");
    });

  for (const content of ["", "no entity", "Content-Type: image/png\r\n\r\n", "\r\nv=0\r\n"])
    test("content that is not ours was not decrypted", async () => {
      const { message } = sealEnvelope({
        content: Buffer.from(content),
        cipher: "aes-256-cbc",
        recipients: [{ kind: "certificate", certificate: bob.certificate }],
        random,
      });
      const contentType = "application/pkcs7-mime";
      await assert.rejects(openOffer({ body: message, contentType, holder: bob }), failsToDecrypt);
    });

  test("has two ways to fail, whatever the octets", async () => {
    const { body, contentType } = await offerFor(bob);
    const change = fc.tuple(fc.nat(body.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const changed = Buffer.from(body);
        for (const [at, value] of changes) changed[at] = value;
        if (changed.equals(body)) return;
        await assert.rejects(
          openOffer({ body: changed, contentType, holder: bob }),
          (error) => failsToDecrypt(error) || fails("ERR_CMS_NO_RECIPIENT")(error),
        );
      }),
      { numRuns: 100 },
    );
  });
});

describe("recipients of a body", () => {
  test("are told without a key, also of a body that cannot be read", async () => {
    const { body } = await offerFor(bob);
    assert.equal(recipientCount(body), 1);
    assert.equal(isRecipient(body, bob.certificate), true);
    assert.equal(isRecipient(body, controller.certificate), false);
    for (const other of [SDP, body.subarray(0, -1), Buffer.alloc(0)]) {
      assert.equal(recipientCount(other), 0);
      assert.equal(isRecipient(other, bob.certificate), false);
    }
  });

  test("EncryptedData has none", async () => {
    const { firstKey } = await sealOffer({
      ...parts(alice),
      recipients: [bob.certificate],
      form: "patent",
    });
    const { body } = await sealAnswer({ ...parts(bob), firstKey });
    assert.equal(recipientCount(body), 0);
    assert.equal(isRecipient(body, bob.certificate), false);
  });

  test("a certificate that cannot be read is the caller's to know", () =>
    assert.throws(() => isRecipient(SDP, SDP), fails("ERR_CERTIFICATE")));
});

describe("openAnswer", () => {
  const contentType = "application/pkcs7-mime";
  const sealUnder = async (firstKey: FirstKey, cipher: ContentCipher): Promise<Buffer> => {
    assert.ok(firstKey.reference);
    const kek = deriveReplyKek(firstKey);
    const recipients = [{ kind: "kek" as const, keyIdentifier: firstKey.reference, kek }];
    const content = await signEntity(parts(bob));
    return sealEnvelope({ content, cipher, recipients, random }).message;
  };

  test("under another first key is not for us", async () => {
    const [one, other] = [await offerFor(bob), await offerFor(bob)];
    const answer = await sealAnswer({ ...parts(bob), firstKey: one.firstKey });
    await assert.rejects(
      openAnswer({ ...answer, firstKey: other.firstKey }),
      fails("ERR_CMS_NO_RECIPIENT"),
    );
    const { cek, cipher } = one.firstKey;
    await assert.rejects(
      openAnswer({ ...answer, firstKey: { cek, cipher } }),
      fails("ERR_CMS_NO_RECIPIENT"),
    );
  });

  test("after GCM, CBC is not believed; after CBC, GCM is", async () => {
    const gcm = (await offerFor(bob, "aes-256-gcm")).firstKey;
    const downgraded = await sealUnder(gcm, "aes-256-cbc");
    await assert.rejects(
      openAnswer({ body: downgraded, contentType, firstKey: gcm }),
      failsToDecrypt,
    );
    const cbc = (await offerFor(bob, "aes-256-cbc")).firstKey;
    const upgraded = await sealUnder(cbc, "aes-256-gcm");
    assert.ok((await openAnswer({ body: upgraded, contentType, firstKey: cbc })).entity.length > 0);
  });

  test("EncryptedData is believed under a key of CBC alone", async () => {
    const { firstKey } = await offerFor(bob, "aes-256-gcm");
    const asCbc: FirstKey = { cek: firstKey.cek, cipher: "aes-256-cbc" };
    const body = sealEncryptedData(await signEntity(parts(bob)), asCbc, random);
    await assert.rejects(openAnswer({ body, contentType, firstKey }), failsToDecrypt);
    assert.ok((await openAnswer({ body, contentType, firstKey: asCbc })).entity.length > 0);
  });

  test("content that is not ours was not decrypted", async () => {
    const { firstKey } = await offerFor(bob, "aes-256-cbc");
    const body = sealEncryptedData(Buffer.from("no entity"), firstKey, random);
    await assert.rejects(openAnswer({ body, contentType, firstKey }), failsToDecrypt);
  });

  test("a key of GCM without a reference cannot be answered", async () => {
    const { cek } = (await offerFor(bob)).firstKey;
    const firstKey: FirstKey = { cek, cipher: "aes-256-gcm" };
    await assert.rejects(sealAnswer({ ...parts(bob), firstKey }), fails("ERR_CMS_UNSUPPORTED"));
  });

  test("opening leaves the first key as it was", async () => {
    const { firstKey } = await offerFor(bob);
    const before = Buffer.from(firstKey.cek.expose());
    const answer = await sealAnswer({ ...parts(bob), firstKey });
    await openAnswer({ ...answer, firstKey });
    assert.deepEqual(firstKey.cek.expose(), before);
  });
});

describe("verifySignedEntity", () => {
  const verify = (entity: Uint8Array, now = NOW) =>
    verifySignedEntity({ entity, anchors: [authority.certificate], now });

  /** Entity over this content, signed by alice. */
  const signed = async (content: Buffer, signer = alice): Promise<Buffer> => {
    const signature = await signDetached(content, signer);
    return multipart('multipart/signed;protocol="application/pkcs7-signature"', [
      content,
      serializeEntity([["Content-Type", "application/pkcs7-signature"]], signature),
    ]);
  };
  const multipart = (type: string, all: readonly Buffer[]): Buffer => {
    const { body, boundary } = serializeMultipart(all, random);
    return serializeEntity([["Content-Type", `${type};boundary=${boundary}`]], body);
  };
  const sipfragPart = serializeEntity(
    [["Content-Type", "message/sipfrag"]],
    serializeSipfrag(ROWS),
  );
  const sdpPart = serializeEntity([["Content-Type", "application/sdp"]], SDP);

  test("takes the SDP in base64", async () => {
    const encoded = serializeEntity(
      [
        ["Content-Type", "application/sdp"],
        ["Content-Transfer-Encoding", "base64"],
      ],
      Buffer.from(SDP.toString("base64")),
    );
    const read = await verify(await signed(multipart("multipart/mixed", [encoded, sipfragPart])));
    assert.deepEqual(read.sdp, SDP);
  });

  const unsigned: Record<string, () => Buffer> = {
    "SDP alone": () => sdpPart,
    "multipart/mixed": () => multipart("multipart/mixed", [sipfragPart, sdpPart]),
    "multipart/signed of another protocol": () =>
      multipart('multipart/signed;protocol="application/pgp-signature"', [sdpPart, sdpPart]),
    "a signature part of another type": () =>
      multipart('multipart/signed;protocol="application/pkcs7-signature"', [sdpPart, sdpPart]),
  };
  for (const [what, entity] of Object.entries(unsigned))
    test(`${what} is not signed`, () =>
      assert.rejects(verify(entity()), fails("ERR_SIGNATURE_MISSING")));

  const malformed: Record<string, () => Promise<Buffer>> = {
    "no entity": async () => Buffer.from("v=0"),
    "a header too many": async () => Buffer.from(`${"X: y\r\n".repeat(40)}\r\n`),
    "content alone": async () =>
      multipart('multipart/signed;protocol="application/pkcs7-signature"', [sdpPart]),
    "SDP without sipfrag": () => signed(sdpPart),
    "two SDP": () => signed(multipart("multipart/mixed", [sipfragPart, sdpPart, sdpPart])),
    "no SDP": () => signed(multipart("multipart/mixed", [sipfragPart])),
    "a multipart not closed": () =>
      signed(Buffer.from("Content-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\n")),
    "a sipfrag with a start line": () =>
      signed(
        multipart("multipart/mixed", [
          sdpPart,
          serializeEntity(
            [["Content-Type", "message/sipfrag"]],
            Buffer.from("INVITE sip:b@c SIP/2.0\r\n"),
          ),
        ]),
      ),
  };
  for (const [what, entity] of Object.entries(malformed))
    test(`${what} is refused`, async () => {
      const octets = await entity();
      await assert.rejects(verify(octets), fails("ERR_BODY"));
    });

  test("refuses octets after the end, be the signature ever so good: CBC can be appended to", async () => {
    const entity = await signEntity(parts(alice));
    const content = Buffer.concat([entity, randomBytes(27)]);
    const { message } = sealEnvelope({
      content,
      cipher: "aes-256-cbc",
      recipients: [{ kind: "certificate", certificate: bob.certificate }],
      random,
    });
    const contentType = "application/pkcs7-mime";
    const opened = await openOffer({ body: message, contentType, holder: bob });
    await assert.rejects(verify(opened.entity), fails("ERR_BODY"));
    await assert.doesNotReject(verify(Buffer.concat([entity, Buffer.from("\r\n\r\n")])));
  });

  test("refuses a signer that no anchor vouches for, or not now", async () => {
    const stranger = await makeUser(await makeAuthority("other"), "sip:alice@atlanta.example.com");
    const selfSigned = await makeIdentity();
    for (const signer of [stranger, selfSigned])
      await assert.rejects(verify(await signEntity(parts(signer))), fails("ERR_CERTIFICATE"));
    const year = 366 * 24 * 3600 * 1000;
    const entity = await signEntity(parts(alice));
    for (const now of [NOW - year, NOW + year])
      await assert.rejects(verify(entity, now), fails("ERR_CERTIFICATE"));
  });

  test("anchors may hang on who signs; a chain leads to them", async () => {
    const root = await makeIdentity({ profile: "authority", commonName: "root", pathLength: 1 });
    const issuer = await makeIdentity({ profile: "authority", commonName: "issuer", issuer: root });
    const carol = await makeUser(issuer, "sip:carol@atlanta.example.com");
    const entity = await signEntity({ ...parts(carol), chain: [issuer.certificate] });
    const trusting = (domain: string) =>
      verifySignedEntity({
        entity,
        anchors: ({ uris }) =>
          uris.some((uri) => uri.endsWith(`@${domain}`)) ? [root.certificate] : [],
        now: NOW,
      });
    assert.deepEqual((await trusting("atlanta.example.com")).sdp, SDP);
    await assert.rejects(trusting("biloxi.example.com"), fails("ERR_CERTIFICATE"));
    const withoutChain = await signEntity(parts(carol));
    await assert.rejects(
      verifySignedEntity({ entity: withoutChain, anchors: [root.certificate], now: NOW }),
      fails("ERR_CERTIFICATE"),
    );
  });

  test("refuses the authority itself as a signer", async () => {
    await assert.rejects(verify(await signEntity(parts(authority))), fails("ERR_SIGNATURE"));
  });

  test("a flipped bit of what is signed never verifies", async () => {
    const entity = await signEntity(parts(alice));
    const [content] = partsOf(parseEntity(entity));
    assert.ok(content);
    const from = entity.indexOf(content.octets);
    await fc.assert(
      fc.asyncProperty(fc.nat(content.octets.length * 8 - 1), async (bit) => {
        const flipped = Buffer.from(entity);
        const at = from + (bit >> 3);
        flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit & 7));
        await assert.rejects(verify(flipped), (error) => isProtocolError(error));
      }),
      { numRuns: 100 },
    );
  });

  test("a flipped bit anywhere never gives another content or signer", async () => {
    const entity = await signEntity(parts(alice));
    const expected = await verify(entity);
    await fc.assert(
      fc.asyncProperty(fc.nat(entity.length * 8 - 1), async (bit) => {
        const flipped = Buffer.from(entity);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        try {
          assert.deepEqual(await verify(flipped), expected);
        } catch (error) {
          assert.ok(isProtocolError(error), String(error));
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe("sipfrag", () => {
  test("comes back", () => {
    const name = fc.stringMatching(/^[A-Za-z][A-Za-z-]{0,10}$/);
    const value = fc
      .string({ unit: "grapheme" })
      .map((text) => text.replaceAll(/[\p{C}\p{Z}]/gu, "."));
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { minLength: 1, maxLength: 10 }), (rows) =>
        assert.deepEqual(parseSipfrag(serializeSipfrag(rows)), rows),
      ),
    );
  });

  test("is read without its last CRLF and unfolded", () => {
    assert.deepEqual(parseSipfrag(Buffer.from("To: a\r\n b\r\nCSeq: 1")), [
      ["To", "a b"],
      ["CSeq", "1"],
    ]);
  });

  test("lets no row break its line", () => {
    for (const row of [
      ["To", "a\r\nFrom: b"],
      ["To:", "a"],
      ["T o", "a"],
      ["", "a"],
    ] as const)
      assert.throws(() => serializeSipfrag([row]), RangeError);
  });
});
