import assert from "node:assert/strict";
import { randomBytes as random } from "node:crypto";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import {
  decodeRegistration,
  openRegistration,
  type RegistrationRecipient,
  type RegistrationRequest,
  sealRegistration,
} from "../../../protocol/body/registration-body.ts";
import type { ContentCipher } from "../../../protocol/cms/algorithms.ts";
import type { Holder } from "../../../protocol/cms/open-message.ts";
import { sealEncryptedData } from "../../../protocol/cms/seal-message.ts";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { Secret } from "../../../protocol/secret.ts";
import { makeAuthority, makeHost, makeIdentity, makeUser } from "../pki/make-identity.ts";
import {
  alteredOctets,
  anyText,
  fails,
  failsToDecrypt,
  fragment,
  mixed,
  multipart,
  part,
  ROWS,
  SEALED_TYPE,
  sealed,
  signed,
  withFlippedBit,
} from "./craft-entity.ts";

const ALICE = "sip:alice@atlanta.example.com";
const REQUEST = Buffer.from("30820000", "hex");
const PKCS10 = "application/pkcs10";
const PKIX_CERT = "application/pkix-cert";

let authority: Identity;
let alice: Identity;
let mallory: Identity;
let controller: Identity;
let recipients: Record<Holder["kind"], RegistrationRecipient>;
let holders: Record<Holder["kind"], Holder>;

before(async () => {
  authority = await makeAuthority();
  alice = await makeUser(authority, ALICE);
  mallory = await makeUser(authority, ALICE);
  controller = await makeHost(authority, "ss1.atlanta.example.com");
  const keyIdentifier = Buffer.from(ALICE);
  const shared = { kind: "kek" as const, keyIdentifier, kek: new Secret(random(32)) };
  const password = { kind: "password" as const, password: new Secret(Buffer.from("a".repeat(64))) };
  recipients = {
    certificate: { kind: "certificate", certificate: controller.certificate },
    kek: shared,
    password,
  };
  holders = { certificate: { kind: "certificate", ...controller }, kek: shared, password };
});

const KINDS = ["certificate", "kek", "password"] as const satisfies Holder["kind"][];
const all = (): readonly Holder[] => KINDS.map((kind) => holders[kind]);
const seal = (request: Partial<RegistrationRequest> = {}) =>
  sealRegistration({
    rows: ROWS,
    claim: { kind: "request", request: REQUEST },
    recipient: recipients.certificate,
    random,
    ...request,
  });

const openBody = async ({
  holders,
  ...sealed
}: {
  body: Uint8Array;
  contentType: string;
  holders: readonly Holder[];
}) => openRegistration(decodeRegistration(sealed), holders);

/** Opens this content, sealed for the controller. */
const openContent = (content: Buffer, cipher?: ContentCipher) =>
  openBody({
    body: sealed(content, { kind: "certificate", certificate: controller.certificate }, cipher),
    contentType: SEALED_TYPE,
    holders: all(),
  });

describe("a registration comes back", () => {
  for (const kind of KINDS)
    for (const cipher of ["aes-256-gcm", "aes-256-cbc"] as const)
      test(`with a request, for a ${kind}, ${cipher}`, async () => {
        const { firstKey, ...registration } = await seal({ recipient: recipients[kind], cipher });
        const opened = await openBody({ ...registration, holders: all() });
        assert.deepEqual(opened.rows, ROWS);
        assert.deepEqual(opened.claim, { kind: "request", request: REQUEST });
        assert.equal(opened.holder, kind);
        assert.deepEqual(opened.firstKey.cek.expose(), firstKey.cek.expose());
        assert.deepEqual(opened.firstKey.reference, firstKey.reference);
        assert.equal(firstKey.reference?.length, 16);
      });

  for (const keyType of ["p256", "rsa"] as const)
    test(`with an existing certificate, ${keyType}, and its chain`, async () => {
      const identity = await makeIdentity({ issuer: authority, keyType });
      const claim = { kind: "certificate", identity, chain: [authority.certificate] } as const;
      const opened = await openBody({ ...(await seal({ claim })), holders: all() });
      assert.deepEqual(opened.rows, ROWS);
      assert.ok(opened.claim.kind === "certificate");
      assert.deepEqual(opened.claim.certificate.encoded, identity.certificate);
      assert.deepEqual(
        opened.claim.others.map(({ encoded }) => encoded),
        [authority.certificate],
      );
    });

  test("with the location alone, and a key that is not to be used again", async () => {
    const registration = await seal({ claim: { kind: "none" }, reference: false });
    assert.equal(registration.firstKey.reference, undefined);
    const opened = await openBody({ ...registration, holders: all() });
    assert.deepEqual(opened.claim, { kind: "none" });
    assert.equal(opened.firstKey.reference, undefined);
  });

  test("with any rows", async () => {
    const value = fc.string({ unit: "grapheme-ascii", maxLength: 40 }).map((text) => text.trim());
    const row = fc.tuple(fc.constantFrom("From", "Contact", "X-Other"), value);
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 20 }), async (rows) => {
        const registration = await seal({ rows, recipient: recipients.kek });
        const opened = await openBody({ ...registration, holders: all() });
        assert.deepEqual(opened.rows, rows);
      }),
      { numRuns: 50 },
    );
  });
});

describe("a registration that is not for us, or altered", () => {
  test("tells only that no entry names a holder", async () => {
    const registration = await seal({ recipient: recipients.kek });
    for (const kind of ["certificate", "password"] as const)
      await assert.rejects(
        openBody({ ...registration, holders: [holders[kind]] }),
        fails("ERR_CMS_NO_RECIPIENT"),
      );
    const firstKey = { cek: new Secret(random(32)), cipher: "aes-256-cbc" as const };
    const encrypted = sealEncryptedData(mixed(fragment()), firstKey, random);
    await assert.rejects(
      openBody({ body: encrypted, contentType: SEALED_TYPE, holders: all() }),
      fails("ERR_CMS_NO_RECIPIENT"),
    );
  });

  test("fails alike: another key or password, cut off, another type, what is no CMS", async () => {
    const { body, contentType } = await seal();
    const wrong: Holder[] = [
      { kind: "certificate", certificate: controller.certificate, privateKey: alice.privateKey },
    ];
    const byPassword = await seal({ recipient: recipients.password });
    const another: Holder = { kind: "password", password: new Secret(Buffer.from("b".repeat(64))) };
    const attempts = [
      { body, contentType, holders: wrong },
      { ...byPassword, holders: [another] },
      { body: body.subarray(0, -1), contentType, holders: all() },
      { body: body.subarray(0, body.length >> 1), contentType, holders: all() },
      { body: Buffer.alloc(0), contentType, holders: all() },
      { body, contentType: "application/sdp", holders: all() },
      { body, contentType: "application/pkcs7-mime;smime-type=signed-data", holders: all() },
      { body, contentType: "\r\n", holders: all() },
    ];
    for (const attempt of attempts) await assert.rejects(openBody(attempt), failsToDecrypt);
  });

  for (const kind of KINDS)
    test(`a flipped bit never opens, for a ${kind}`, async () => {
      const { body, contentType } = await seal({ recipient: recipients[kind] });
      await fc.assert(
        fc.asyncProperty(fc.nat(body.length * 8 - 1), async (bit) => {
          const flipped = withFlippedBit(body, bit);
          await assert.rejects(
            openBody({ body: flipped, contentType, holders: all() }),
            (error) => failsToDecrypt(error) || fails("ERR_CMS_NO_RECIPIENT")(error),
          );
        }),
        { numRuns: kind === "password" ? 25 : 300 },
      );
    });

  test("any octets and any type give a value or a ProtocolError", async () => {
    const { body, contentType } = await seal({ cipher: "aes-256-cbc" });
    const altered = alteredOctets(body);
    const octets = fc.oneof(altered, fc.uint8Array({ maxLength: 200 }));
    const type = fc.oneof(fc.constant(contentType), anyText);
    await fc.assert(
      fc.asyncProperty(octets, type, async (sealedBody, stated) => {
        try {
          await openBody({ body: sealedBody, contentType: stated, holders: all() });
        } catch (error) {
          assert.ok(isProtocolError(error), String(error));
        }
      }),
      { numRuns: 500 },
    );
  });

  test("any content gives a value or a ProtocolError", async () => {
    const types = fc.constantFrom(
      "message/sipfrag",
      PKCS10,
      PKIX_CERT,
      "multipart/mixed;boundary=b",
      "multipart/signed;boundary=b",
      "text/plain",
    );
    const parts = fc
      .array(fc.tuple(types, fc.uint8Array({ maxLength: 60 })), { maxLength: 4 })
      .map((list) => list.map(([type, octets]) => part(type, octets)));
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((octets) => Buffer.from(octets)),
      parts.map((list) => mixed(...list)),
      parts.map((list) =>
        multipart('multipart/signed;protocol="application/pkcs7-signature"', list),
      ),
    );
    await fc.assert(
      fc.asyncProperty(content, async (octets) => {
        try {
          await openContent(octets);
        } catch (error) {
          assert.ok(isProtocolError(error), String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("a registration whose content is not as agreed", () => {
  const request = part(PKCS10, REQUEST);
  const certificate = (identity = alice): Buffer => part(PKIX_CERT, identity.certificate);
  const bad: Record<string, readonly [ProtocolErrorCode, () => Buffer | Promise<Buffer>]> = {
    "no sipfrag": ["ERR_BODY", () => mixed(request)],
    "two sipfrags": ["ERR_BODY", () => mixed(fragment(), request, fragment())],
    "two requests": ["ERR_BODY", () => mixed(fragment(), request, request)],
    "a part that we do not know": [
      "ERR_BODY",
      () => mixed(fragment(), part("text/plain", REQUEST)),
    ],
    "such a part, required": [
      "ERR_BODY",
      () => mixed(fragment(), part("text/plain", REQUEST, "signal;handling=required")),
    ],
    "a malformed disposition": [
      "ERR_BODY",
      () => mixed(fragment(), part("text/plain", REQUEST, "signal;handling")),
    ],
    "a sipfrag with a start line": [
      "ERR_BODY",
      () => mixed(part("message/sipfrag", Buffer.from("REGISTER sip:a SIP/2.0\r\nTo: b\r\n"))),
    ],
    "a multipart that is not closed": [
      "ERR_BODY",
      () => Buffer.from("Content-Type: multipart/mixed;boundary=b\r\n\r\n--b\r\n"),
    ],
    SDP: ["ERR_BODY", () => part("application/sdp", Buffer.from("v=0\r\n"))],
    "an unsigned certificate": ["ERR_SIGNATURE_MISSING", () => mixed(fragment(), certificate())],
    "an unsigned certificate and a request": [
      "ERR_SIGNATURE_MISSING",
      () => mixed(fragment(), certificate(), request),
    ],
    "multipart/signed of another protocol": [
      "ERR_SIGNATURE_MISSING",
      () =>
        multipart('multipart/signed;protocol="application/pgp-signature"', [
          mixed(fragment(), certificate()),
          part("application/pgp-signature", REQUEST),
        ]),
    ],
    "a signature by another key than the certificate's": [
      "ERR_SIGNATURE",
      () => signed(mixed(fragment(), certificate(alice)), mallory),
    ],
    "the certificate's signature by another's key": [
      "ERR_SIGNATURE",
      () => signed(mixed(fragment(), certificate()), { ...alice, privateKey: mallory.privateKey }),
    ],
    "a signature over other content": [
      "ERR_SIGNATURE",
      () => signed(mixed(fragment(), certificate()), alice, Buffer.from("other")),
    ],
    "signed, but no certificate claimed": ["ERR_BODY", () => signed(mixed(fragment()), alice)],
    "signed, but a request": ["ERR_BODY", () => signed(mixed(fragment(), request), alice)],
    "signed, a request beside the certificate": [
      "ERR_BODY",
      () => signed(mixed(fragment(), certificate(), request), alice),
    ],
    "signed, two certificates": [
      "ERR_BODY",
      () => signed(mixed(fragment(), certificate(), certificate(mallory)), alice),
    ],
    "signed, no sipfrag": ["ERR_BODY", () => signed(mixed(certificate()), alice)],
    "signed, not multipart/mixed": ["ERR_BODY", () => signed(fragment(), alice)],
    "signed, the certificate unreadable": [
      "ERR_CERTIFICATE",
      () => signed(mixed(fragment(), part(PKIX_CERT, REQUEST)), alice),
    ],
  };
  for (const [what, [code, content]] of Object.entries(bad)) {
    test(`${what}: ${code}`, async () => {
      await assert.rejects(openContent(await content()), fails(code));
    });
    test(`${what}, in CBC: like any failure to decrypt`, async () => {
      await assert.rejects(openContent(await content(), "aes-256-cbc"), failsToDecrypt);
    });
  }

  for (const content of ["", "no entity", "Content-Type: image/png\r\n\r\n", "\r\nTo: a\r\n"])
    test("content that is not ours was not decrypted", () =>
      assert.rejects(openContent(Buffer.from(content)), failsToDecrypt));

  test("a part that may be passed over is", async () => {
    const optional = part("text/plain", REQUEST, "render;handling=optional");
    const opened = await openContent(mixed(optional, request, fragment()));
    assert.deepEqual(opened.rows, ROWS);
    assert.deepEqual(opened.claim, { kind: "request", request: REQUEST });
  });

  test("a request in base64 is read", async () => {
    const head = "Content-Type: application/pkcs10\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    const encoded = Buffer.from(head + REQUEST.toString("base64"));
    const { claim } = await openContent(mixed(fragment(), encoded));
    assert.deepEqual(claim, { kind: "request", request: REQUEST });
  });
});

test("what is sealed is as the format says", async () => {
  const { body, contentType, firstKey } = await seal();
  assert.equal(contentType, "application/pkcs7-mime;smime-type=authEnveloped-data;name=smime.p7m");
  assert.equal(firstKey.cipher, "aes-256-gcm");
  assert.ok(!body.includes("alice"));
  const { contentType: cbcType } = await seal({ cipher: "aes-256-cbc" });
  assert.equal(cbcType, "application/pkcs7-mime;smime-type=enveloped-data;name=smime.p7m");
});
