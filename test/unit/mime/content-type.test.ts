import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  CONTENT_TYPE_MAX_LENGTH,
  CONTENT_TYPE_MAX_PARAMETERS,
  parseContentType,
} from "../../../protocol/mime/content-type.ts";

const isMimeError = (error: unknown): boolean =>
  isProtocolError(error, "ERR_MIME_SYNTAX") || isProtocolError(error, "ERR_MIME_LIMIT");

describe("parseContentType", () => {
  const good: Record<string, readonly [string, Record<string, string>]> = {
    "application/sdp": ["application/sdp", {}],
    " Application/PKCS7-Mime ": ["application/pkcs7-mime", {}],
    "application/pkcs7-mime;smime-type=enveloped-data;name=smime.p7m": [
      "application/pkcs7-mime",
      { "smime-type": "enveloped-data", name: "smime.p7m" },
    ],
    'multipart/signed; Protocol="application/pkcs7-signature" ; micalg = sha-256;boundary="a b"': [
      "multipart/signed",
      { protocol: "application/pkcs7-signature", micalg: "sha-256", boundary: "a b" },
    ],
    "multipart/signed;protocol=application/pkcs7-signature;boundary==_1": [
      "multipart/signed",
      { protocol: "application/pkcs7-signature", boundary: "=_1" },
    ],
    'text/plain;name="a\\"b;c\\\\"': ["text/plain", { name: 'a"b;c\\' }],
    'text/plain;name=""': ["text/plain", { name: "" }],
  };
  for (const [value, [type, parameters]] of Object.entries(good))
    test(`takes ${value}`, () => {
      const parsed = parseContentType(value);
      assert.equal(parsed.type, type);
      assert.deepEqual(Object.fromEntries(parsed.parameters), parameters);
    });

  const bad = [
    "",
    "text",
    "text/",
    "/plain",
    "text/plain x",
    "text/plain;",
    "text/plain;a",
    "text/plain;a=",
    'text/plain;a="b',
    "text/plain;a=b;A=c",
    "text/plain;a=b c",
    'text/plain;a="b\r\nc"',
  ];
  for (const value of bad)
    test(`refuses '${value.replaceAll(/\s+/g, " ")}'`, () =>
      assert.throws(
        () => parseContentType(value),
        (error) => isProtocolError(error, "ERR_MIME_SYNTAX"),
      ));

  test("holds its limits", () => {
    const withParameters = (count: number): string =>
      `a/b${Array.from({ length: count }, (_, index) => `;p${index}=1`).join("")}`;
    assert.equal(parseContentType(withParameters(CONTENT_TYPE_MAX_PARAMETERS)).parameters.size, 16);
    const isLimit = (error: unknown): boolean => isProtocolError(error, "ERR_MIME_LIMIT");
    assert.throws(() => parseContentType(withParameters(CONTENT_TYPE_MAX_PARAMETERS + 1)), isLimit);
    const long = `a/${"b".repeat(CONTENT_TYPE_MAX_LENGTH - 2)}`;
    assert.equal(parseContentType(long).type, long);
    assert.throws(() => parseContentType(`${long}b`), isLimit);
  });

  test("is total", () => {
    const pieces = fc.constantFrom(
      "a/b",
      ";",
      "=",
      '"',
      "\\",
      " ",
      "x",
      "/",
      "\r\n",
      "é",
      "boundary",
    );
    const value = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 30 }).map((all) => all.join("")),
    );
    fc.assert(
      fc.property(value, (text) => {
        try {
          parseContentType(text);
        } catch (error) {
          assert.ok(isMimeError(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
