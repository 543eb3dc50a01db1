import assert from "node:assert/strict";
import { randomBytes as random } from "node:crypto";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import {
  QUERY_MAX_CERTIFICATES,
  signQuery,
  signQueryAnswer,
  verifyQuery,
  verifyQueryAnswer,
} from "../../../protocol/body/certificate-query.ts";
import { isProtocolError, type ProtocolErrorCode } from "../../../protocol/errors.ts";
import type { Identity } from "../../../protocol/pki/signed-data.ts";
import { makeAuthority, makeHost, makeIdentity, makeUser } from "../pki/make-identity.ts";
import {
  alteredOctets,
  anyText,
  asMessage,
  fails,
  fragment,
  mixed,
  part,
  ROWS,
  signed,
  withFlippedBit,
} from "./craft-entity.ts";

const START_LINE = "OPTIONS sip:alice@atlanta.example.com SIP/2.0";
const PKIX_CERT = "application/pkix-cert";

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

const question = (signer = bob) =>
  signQuery({ startLine: START_LINE, rows: ROWS, signer, chain: [authority.certificate], random });
const answer = (certificates: readonly Buffer[] = [alice.certificate, bob.certificate]) =>
  signQueryAnswer({ rows: ROWS, certificates, signer: controller, random });

describe("a question", () => {
  for (const keyType of ["p256", "rsa"] as const)
    test(`comes back, signed by ${keyType}`, async () => {
      const signer = await makeIdentity({ issuer: authority, keyType });
      const read = await verifyQuery(await question(signer));
      assert.equal(read.startLine, START_LINE);
      assert.deepEqual(read.rows, ROWS);
      assert.deepEqual(read.signer.encoded, signer.certificate);
      assert.deepEqual(
        read.others.map(({ encoded }) => encoded),
        [authority.certificate],
      );
    });

  test("lets no row and no start line break its line", async () => {
    for (const startLine of ["", "a\r\nb", "a\nb"])
      await assert.rejects(signQuery({ startLine, rows: ROWS, signer: bob, random }), RangeError);
    const rows = [["To", "a\r\nFrom: b"]] as const;
    await assert.rejects(
      signQuery({ startLine: START_LINE, rows, signer: bob, random }),
      RangeError,
    );
  });

  const started = (text: string): Buffer => part("message/sipfrag", Buffer.from(text));
  const bad: Record<string, readonly [ProtocolErrorCode, () => Buffer | Promise<Buffer>]> = {
    "not signed": ["ERR_SIGNATURE_MISSING", () => started(`${START_LINE}\r\nTo: a\r\n`)],
    "another type": ["ERR_BODY", () => signed(part("text/plain", Buffer.from("a")), bob)],
    "multipart/mixed": ["ERR_BODY", () => signed(mixed(fragment()), bob)],
    nothing: ["ERR_BODY", () => signed(started(""), bob)],
    "one line that does not end": ["ERR_BODY", () => signed(started(START_LINE), bob)],
    "an empty start line": ["ERR_BODY", () => signed(started("\r\nTo: a\r\n"), bob)],
    "a start line of two": ["ERR_BODY", () => signed(started("a\nb\r\nTo: a\r\n"), bob)],
    "a row that is none": ["ERR_BODY", () => signed(started(`${START_LINE}\r\nTo\r\n`), bob)],
    "a signature over other content": [
      "ERR_SIGNATURE",
      () => signed(started(`${START_LINE}\r\nTo: a\r\n`), bob, Buffer.from("other")),
    ],
    "a signature by another's key": [
      "ERR_SIGNATURE",
      () =>
        signed(started(`${START_LINE}\r\n`), {
          certificate: bob.certificate,
          privateKey: alice.privateKey,
        }),
    ],
  };
  for (const [what, [code, entity]] of Object.entries(bad))
    test(`${what}: ${code}`, async () => {
      await assert.rejects(verifyQuery(asMessage(await entity())), fails(code));
    });

  test("of a start line alone has no rows", async () => {
    const read = await verifyQuery(asMessage(await signed(started(`${START_LINE}\r\n`), bob)));
    assert.deepEqual([read.startLine, read.rows], [START_LINE, []]);
  });
});

describe("an answer", () => {
  test("comes back with every certificate, in order", async () => {
    const read = await verifyQueryAnswer(await answer());
    assert.deepEqual(read.rows, ROWS);
    assert.deepEqual(
      read.certificates.map(({ encoded }) => encoded),
      [alice.certificate, bob.certificate],
    );
    assert.deepEqual(read.signer.encoded, controller.certificate);
    assert.deepEqual(read.others, []);
  });

  test("has one certificate at least, and no more than it holds", async () => {
    const most = Array<Buffer>(QUERY_MAX_CERTIFICATES).fill(alice.certificate);
    const read = await verifyQueryAnswer(await answer(most));
    assert.equal(read.certificates.length, QUERY_MAX_CERTIFICATES);
    await assert.rejects(answer([...most, alice.certificate]), RangeError);
    await assert.rejects(answer([]), RangeError);
  });

  const certificate = (): Buffer => part(PKIX_CERT, alice.certificate);
  const bad: Record<string, readonly [ProtocolErrorCode, () => Buffer | Promise<Buffer>]> = {
    "not signed": ["ERR_SIGNATURE_MISSING", () => mixed(fragment(), certificate())],
    "a certificate alone": ["ERR_SIGNATURE_MISSING", certificate],
    "no certificate": ["ERR_BODY", () => signed(mixed(fragment()), controller)],
    "no sipfrag": ["ERR_BODY", () => signed(mixed(certificate()), controller)],
    "two sipfrags": [
      "ERR_BODY",
      () => signed(mixed(fragment(), certificate(), fragment()), controller),
    ],
    "not multipart/mixed": ["ERR_BODY", () => signed(fragment(), controller)],
    "a part that we do not know": [
      "ERR_BODY",
      () => signed(mixed(fragment(), certificate(), part("text/plain", Buffer.of(1))), controller),
    ],
    "an unreadable certificate": [
      "ERR_CERTIFICATE",
      () => signed(mixed(fragment(), part(PKIX_CERT, Buffer.of(1))), controller),
    ],
    "a signature over other content": [
      "ERR_SIGNATURE",
      () => signed(mixed(fragment(), certificate()), controller, mixed(fragment())),
    ],
  };
  for (const [what, [code, entity]] of Object.entries(bad))
    test(`${what}: ${code}`, async () => {
      await assert.rejects(verifyQueryAnswer(asMessage(await entity())), fails(code));
    });

  test("is cut nowhere", async () => {
    const { body, contentType } = await answer();
    for (const end of [0, 10, body.length >> 1, body.length - 5])
      await assert.rejects(
        verifyQueryAnswer({ body: body.subarray(0, end), contentType }),
        fails("ERR_BODY"),
      );
  });
});

describe("whatever the octets", () => {
  const readers = { verifyQuery, verifyQueryAnswer };
  for (const [name, verify] of Object.entries(readers)) {
    const written = () => (name === "verifyQuery" ? question() : answer());

    test(`${name} gives a value or a ProtocolError`, async () => {
      const { body, contentType } = await written();
      const altered = alteredOctets(body);
      const octets = fc.oneof(altered, fc.uint8Array({ maxLength: 200 }));
      const type = fc.oneof(fc.constant(contentType), anyText);
      await fc.assert(
        fc.asyncProperty(octets, type, async (altered, stated) => {
          try {
            await verify({ body: altered, contentType: stated });
          } catch (error) {
            assert.ok(isProtocolError(error), String(error));
          }
        }),
        { numRuns: 500 },
      );
    });

    test(`${name}: a flipped bit never gives other rows`, async () => {
      const { body, contentType } = await written();
      const expected = await verify({ body, contentType });
      await fc.assert(
        fc.asyncProperty(fc.nat(body.length * 8 - 1), async (bit) => {
          const flipped = withFlippedBit(body, bit);
          try {
            const read = await verify({ body: flipped, contentType });
            assert.deepEqual(read.rows, expected.rows);
          } catch (error) {
            assert.ok(isProtocolError(error), String(error));
          }
        }),
        { numRuns: 300 },
      );
    });
  }
});
