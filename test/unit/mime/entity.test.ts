import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import {
  MIME_MAX_BYTES,
  MIME_MAX_DEPTH,
  MIME_MAX_HEADER_BYTES,
  MIME_MAX_HEADERS,
  mimeHeaderValue,
  parseEntity,
  partsOf,
  serializeEntity,
} from "../../../protocol/mime/entity.ts";

const isSyntax = (error: unknown): boolean => isProtocolError(error, "ERR_MIME_SYNTAX");
const isLimit = (error: unknown): boolean => isProtocolError(error, "ERR_MIME_LIMIT");

describe("parseEntity", () => {
  test("keeps the octets and unfolds the headers", () => {
    const octets = Buffer.from(
      "Content-Type: multipart/mixed;\r\n boundary=b\r\ncontent-id : <1234@host>\r\nX-Name: ü\r\n\r\n\0\xffbody\r\n",
      "utf8",
    );
    const entity = parseEntity(octets);
    assert.deepEqual(entity.octets, octets);
    assert.equal(entity.contentType.type, "multipart/mixed");
    assert.equal(mimeHeaderValue(entity, "Content-ID"), "<1234@host>");
    assert.equal(mimeHeaderValue(entity, "Content-Language"), undefined);
    assert.deepEqual(entity.body, Buffer.from("\0\xffbody\r\n", "utf8"));
  });

  test("without headers is text/plain", () => {
    const entity = parseEntity(Buffer.from("\r\nbody"));
    assert.deepEqual(entity.headers, []);
    assert.equal(entity.contentType.type, "text/plain");
    assert.equal(entity.body.toString(), "body");
  });

  const encodings: Record<string, readonly [string, string]> = {
    binary: ["a\r\nb=", "a\r\nb="],
    "8bit": ["a=b", "a=b"],
    BASE64: ["aGVs\r\nbG8=\r\n", "hello"],
    base64: ["", ""],
  };
  for (const [encoding, [body, decoded]] of Object.entries(encodings))
    test(`takes off ${encoding}`, () => {
      const octets = `Content-Transfer-Encoding: ${encoding}\r\n\r\n${body}`;
      assert.equal(parseEntity(Buffer.from(octets)).body.toString(), decoded);
    });

  const bad: Record<string, string> = {
    nothing: "",
    "no end of headers": "Content-Type: text/plain\r\n",
    "lines ended by LF": "Content-Type: text/plain\n\nbody",
    "LF within a header": "Content-Type: text/plain\nX: y\r\n\r\nbody",
    "NUL within a header": "X: \0\r\n\r\n",
    "a header without a colon": "Content-Type text/plain\r\n\r\n",
    "a header without a name": ": text/plain\r\n\r\n",
    "a blank before the first header": " X: y\r\n\r\n",
    "two content types": "Content-Type: a/b\r\nCONTENT-TYPE: c/d\r\n\r\n",
    "an unknown encoding": "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
    "base64 of three characters": "Content-Transfer-Encoding: base64\r\n\r\naGV",
    "other characters in base64": "Content-Transfer-Encoding: base64\r\n\r\naG-_",
    "base64 after its end": "Content-Transfer-Encoding: base64\r\n\r\naGU=aGU=",
    "an encoded multipart":
      "Content-Type: multipart/mixed;boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\nLS0=",
  };
  for (const [what, octets] of Object.entries(bad))
    test(`refuses ${what}`, () => assert.throws(() => parseEntity(Buffer.from(octets)), isSyntax));

  test("holds its limits", () => {
    const withHeaders = (count: number): Buffer => Buffer.from(`${"X: y\r\n".repeat(count)}\r\n`);
    assert.equal(parseEntity(withHeaders(MIME_MAX_HEADERS)).headers.length, MIME_MAX_HEADERS);
    assert.throws(() => parseEntity(withHeaders(MIME_MAX_HEADERS + 1)), isLimit);

    const block = (bytes: number): Buffer => Buffer.from(`X: ${"y".repeat(bytes - 7)}\r\n\r\n`);
    assert.doesNotThrow(() => parseEntity(block(MIME_MAX_HEADER_BYTES)));
    assert.throws(() => parseEntity(block(MIME_MAX_HEADER_BYTES + 1)), isSyntax);

    const long = Buffer.concat([Buffer.from("\r\n"), Buffer.alloc(MIME_MAX_BYTES - 2)]);
    assert.doesNotThrow(() => parseEntity(long));
    assert.throws(() => parseEntity(Buffer.concat([long, Buffer.of(0)])), isLimit);
  });
});

describe("partsOf", () => {
  const nested = (depth: number): Buffer => {
    let octets = Buffer.from("\r\ninnermost");
    for (let level = depth; level > 0; level -= 1) {
      const boundary = `level.${String(level).padStart(3, "0")}`;
      const head = `Content-Type: multipart/mixed;boundary=${boundary}\r\n\r\n--${boundary}\r\n`;
      octets = Buffer.concat([Buffer.from(head), octets, Buffer.from(`\r\n--${boundary}--\r\n`)]);
    }
    return octets;
  };
  const innermost = (octets: Buffer, depth: number): string => {
    let entity = parseEntity(octets);
    for (let level = 0; level < depth; level += 1) {
      const [part] = partsOf(entity);
      assert.ok(part);
      entity = part;
    }
    return entity.body.toString();
  };

  test("goes as deep as its limit", () => {
    assert.equal(innermost(nested(MIME_MAX_DEPTH), MIME_MAX_DEPTH), "innermost");
    const deeper = MIME_MAX_DEPTH + 1;
    assert.throws(() => innermost(nested(deeper), deeper), isLimit);
  });

  test("wants a multipart with a boundary", () => {
    for (const type of ["text/plain;boundary=b", "multipart/mixed"])
      assert.throws(
        () =>
          partsOf(parseEntity(Buffer.from(`Content-Type: ${type}\r\n\r\n--b\r\n\r\n\r\n--b--`))),
        isSyntax,
      );
  });
});

describe("serializeEntity", () => {
  test("comes back octet for octet", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (body) => {
        const octets = serializeEntity([["Content-Type", "application/sdp"]], body);
        const entity = parseEntity(octets);
        assert.deepEqual(entity.body, Buffer.from(body));
        assert.deepEqual(entity.octets, octets);
        assert.deepEqual(entity.headers, [{ name: "Content-Type", value: "application/sdp" }]);
      }),
    );
  });

  test("lets no header break its line", () => {
    for (const header of [
      ["A", "b\r\nC: d"],
      ["A\nB", "c"],
    ] as const)
      assert.throws(() => serializeEntity([header], Buffer.alloc(0)), RangeError);
  });
});
