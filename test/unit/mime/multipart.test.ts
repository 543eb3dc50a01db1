import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import { parseEntity, partsOf } from "../../../protocol/mime/entity.ts";
import {
  MIME_MAX_PARTS,
  serializeMultipart,
  splitMultipart,
} from "../../../protocol/mime/multipart.ts";

const isSyntax = (error: unknown): boolean => isProtocolError(error, "ERR_MIME_SYNTAX");
const split = (body: string, boundary = "b"): string[] =>
  splitMultipart(Buffer.from(body, "latin1"), boundary).map((part) => part.toString("latin1"));

describe("splitMultipart", () => {
  const good: Record<string, readonly [string, readonly string[]]> = {
    "two parts": ["--b\r\nA\r\n--b\r\nB\r\n--b--\r\n", ["A", "B"]],
    "a preamble": ["pre\r\n--b\r\nA\r\n--b--\r\n", ["A"]],
    "blank lines at the end": ["--b\r\nA\r\n--b-- \t\r\n\r\n", ["A"]],
    "a preamble that only looks like a delimiter": ["x--b\r\n--b\r\nA\r\n--b--", ["A"]],
    "transport padding": ["--b \t \r\nA\r\n--b  \r\nB\r\n--b--", ["A", "B"]],
    "the CRLF before a delimiter is not the part's": ["--b\r\nA\r\n\r\n--b--", ["A\r\n"]],
    "LF and CR at the end of a part": ["--b\r\nA\n\r\r\n--b--", ["A\n\r"]],
    "dashes within a part": ["--b\r\n--a\r\n--\r\nx--b--\r\n--b--", ["--a\r\n--\r\nx--b--"]],
    "an empty part": ["--b\r\n\r\n--b--", [""]],
    "a part of nothing at all": ["--b\r\n--b--", [""]],
    "no CRLF at the end": ["--b\r\nA\r\n--b--", ["A"]],
  };
  for (const [what, [body, parts]] of Object.entries(good))
    test(`takes ${what}`, () => assert.deepEqual(split(body), parts));

  const bad: Record<string, readonly [string, string?]> = {
    nothing: [""],
    "no delimiter": ["A\r\n--c\r\n"],
    "no closing delimiter": ["--b\r\nA\r\n--b\r\nB"],
    "a delimiter cut short": ["--b\r\nA\r\n--b"],
    "no part": ["--b--\r\n"],
    "a line that starts with the boundary": ["--b\r\nA\r\n--bc\r\n\r\n--b--"],
    "delimiters ended by LF": ["--b\nA\n--b--\n"],
    "an epilogue": ["--b\r\nA\r\n--b--\r\npost"],
    "octets right after the end": ["--b\r\nA\r\n--b--post\r\n"],
    "an empty boundary": ["--\r\nA\r\n----", ""],
    "a boundary that ends in a blank": ["--b \r\nA\r\n--b --", "b "],
    "a boundary of 71 characters": ["", "b".repeat(71)],
  };
  for (const [what, [body, boundary]] of Object.entries(bad))
    test(`refuses ${what}`, () => assert.throws(() => split(body, boundary), isSyntax));

  test("holds its limit of parts", () => {
    const body = (count: number): string => `${"--b\r\nA\r\n".repeat(count)}--b--`;
    assert.equal(split(body(MIME_MAX_PARTS)).length, MIME_MAX_PARTS);
    assert.throws(
      () => split(body(MIME_MAX_PARTS + 1)),
      (error) => isProtocolError(error, "ERR_MIME_LIMIT"),
    );
  });

  test("is total", () => {
    const pieces = fc.constantFrom("--b", "--", "\r\n", "\r", "\n", " ", "A", "--b--", "--b\r\n");
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (all) => {
        try {
          split(all.join(""));
        } catch (error) {
          assert.ok(isProtocolError(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("serializeMultipart", () => {
  const line = fc.constantFrom("\r\n", "--", "kh-", "\r\n--kh-", "a");
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 100 }).map(Buffer.from),
    fc.array(line, { maxLength: 10 }).map((all) => Buffer.from(all.join(""))),
  );

  test("comes back octet for octet", () => {
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: MIME_MAX_PARTS }), (parts) => {
        const { body, boundary } = serializeMultipart(parts, randomBytes);
        assert.deepEqual(splitMultipart(body, boundary), parts);
      }),
    );
  });

  test("draws another boundary if a part holds the first, but not for ever", () => {
    const draws = [Buffer.alloc(16, 0xaa), Buffer.alloc(16, 0xbb)];
    const parts = [Buffer.from(`it says kh-${"aa".repeat(16)} here`)];
    const { boundary } = serializeMultipart(parts, () => draws.shift() ?? Buffer.alloc(16));
    assert.equal(boundary, `kh-${"bb".repeat(16)}`);
    assert.throws(() => serializeMultipart(parts, () => Buffer.alloc(16, 0xaa)), RangeError);
  });
});

test("the signed layout of RFC 3261 §23.4.3: nested, with a binary part", () => {
  const binary = Buffer.from([0, 0x0d, 0x0a, 0x2d, 0x2d, 0xff, 0x0d, 0x0a]);
  const head = [
    'Content-Type: multipart/signed;protocol="application/pkcs7-signature";micalg=sha-256;boundary=boundary1\r\n',
    "\r\n--boundary1\r\n",
  ];
  const signed =
    "Content-Type: multipart/mixed;boundary=boundary2\r\n\r\n--boundary2\r\nContent-Type: message/sipfrag\r\n\r\nCSeq: 1 INVITE\r\n\r\n--boundary2--\r\n";
  const signature =
    "Content-Type: application/pkcs7-signature;name=smime.p7s\r\nContent-Transfer-Encoding: binary\r\n\r\n";
  const octets = Buffer.concat([
    Buffer.from(`${head.join("")}${signed}\r\n--boundary1\r\n${signature}`),
    binary,
    Buffer.from("\r\n--boundary1--\r\n"),
  ]);
  const [content, detached] = partsOf(parseEntity(octets));
  assert.ok(content && detached);
  assert.equal(content.octets.toString(), signed);
  assert.deepEqual(detached.body, binary);
  assert.equal(partsOf(content)[0]?.body.toString(), "CSeq: 1 INVITE\r\n");
});
