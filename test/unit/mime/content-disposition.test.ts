import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  dispositionOf,
  parseContentDisposition,
} from "../../../protocol/mime/content-disposition.ts";
import { CONTENT_TYPE_MAX_LENGTH } from "../../../protocol/mime/content-type.ts";
import { entityOfBody, MIME_MAX_BYTES, parseEntity } from "../../../protocol/mime/entity.ts";

describe("Content-Disposition", () => {
  test("type, parameters and handling", () => {
    const parsed = parseContentDisposition(
      'Trust-Anchor; Domain="biloxi.example.com";HANDLING=Optional',
    );
    assert.equal(parsed.disposition, "trust-anchor");
    assert.equal(parsed.parameters.get("domain"), "biloxi.example.com");
    assert.equal(parsed.isRequired, false);
  });

  for (const value of ["signal", " signal ", "signal;handling=required", "signal;handling=other"])
    test(`${value} is required`, () => {
      const { disposition, isRequired } = parseContentDisposition(value);
      assert.deepEqual([disposition, isRequired], ["signal", true]);
    });

  for (const value of [
    "",
    ";a=b",
    "signal handling=optional",
    "signal;a",
    "signal;a=b;A=c",
    'x;a="b',
  ])
    test(`"${value}" is refused`, () =>
      assert.throws(
        () => parseContentDisposition(value),
        (error) => isProtocolError(error, "ERR_MIME_SYNTAX"),
      ));

  test("is bounded", () => {
    const longest = "s".repeat(CONTENT_TYPE_MAX_LENGTH);
    assert.equal(parseContentDisposition(longest).disposition, longest);
    assert.throws(
      () => parseContentDisposition(`${longest}s`),
      (error) => isProtocolError(error, "ERR_MIME_LIMIT"),
    );
  });

  test("of an entity without one is empty and required; two are refused", () => {
    const none = parseEntity(Buffer.from("\r\n"));
    assert.deepEqual(dispositionOf(none), {
      disposition: "",
      parameters: new Map(),
      isRequired: true,
    });
    const row = "Content-Disposition: signal\r\n";
    assert.equal(dispositionOf(parseEntity(Buffer.from(`${row}\r\n`))).disposition, "signal");
    assert.throws(
      () => dispositionOf(parseEntity(Buffer.from(`${row}${row}\r\n`))),
      (error) => isProtocolError(error, "ERR_MIME_SYNTAX"),
    );
  });

  test("parsing is total", () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        try {
          parseContentDisposition(value);
        } catch (error) {
          assert.ok(isProtocolError(error));
        }
      }),
    );
  });
});

describe("the body of a SIP message as an entity", () => {
  test("has the type that the message states", () => {
    const body = Buffer.from("a body");
    const entity = entityOfBody(body, "Multipart/Signed;boundary=b");
    assert.equal(entity.contentType.type, "multipart/signed");
    assert.deepEqual(entity.body, body);
  });

  test("is bounded", () => {
    assert.equal(entityOfBody(Buffer.alloc(MIME_MAX_BYTES), "a/b").depth, 0);
    assert.throws(
      () => entityOfBody(Buffer.alloc(MIME_MAX_BYTES + 1), "a/b"),
      (error) => isProtocolError(error, "ERR_MIME_LIMIT"),
    );
  });
});
