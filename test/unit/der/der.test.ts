import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  encodeBitString,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSetOf,
  encodeSmallInteger,
  encodeTlv,
} from "../../../protocol/der/encode.ts";
import {
  readAlgorithm,
  readBitString,
  readOctetString,
  readOid,
  readSequence,
  readSet,
  readSmallInteger,
} from "../../../protocol/der/read.ts";
import { TAG } from "../../../protocol/der/tag.ts";
import {
  DER_MAX_BYTES,
  DER_MAX_DEPTH,
  DER_MAX_VALUES,
  decodeTlv,
  type Tlv,
} from "../../../protocol/der/tlv.ts";
import { isProtocolError } from "../../../protocol/errors.ts";

const fromHex = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex");
const isSyntax = (error: unknown): boolean => isProtocolError(error, "ERR_DER_SYNTAX");

const nested = (depth: number): Buffer => {
  let value = encodeTlv(TAG.null);
  for (let level = 0; level < depth; level += 1) value = encodeSequence(value);
  return value;
};

describe("decodeTlv", () => {
  const good: Record<string, string> = {
    "short length": "04 02 aabb",
    "long length": "04 81 02 aabb",
    "length of four octets": "04 84 00000002 aabb",
    "indefinite length": "24 80 04 02 aabb 0000",
    "indefinite within definite": "30 08 24 80 04 02 aabb 0000",
    "empty sequence": "30 00",
    "empty sequence of indefinite length": "30 80 0000",
  };
  for (const [what, hex] of Object.entries(good))
    test(`takes ${what}`, () => assert.deepEqual(decodeTlv(fromHex(hex)).encoded, fromHex(hex)));

  const bad: Record<string, string> = {
    nothing: "",
    "a tag alone": "04",
    "content cut short": "04 03 aabb",
    "octets after the value": "04 01 aa bb",
    "length of five octets": "04 85 0000000001 aa",
    "length cut short": "04 82 00",
    "indefinite primitive": "04 80 aa 0000",
    "no end of contents": "30 80 04 01 aa",
    "half an end of contents": "30 80 00",
    "a high tag number": "1f 81 01 00",
    "a child beyond its parent": "30 03 04 02 aa",
    "an end of contents beyond its parent": "30 03 30 80 00 00",
  };
  for (const [what, hex] of Object.entries(bad))
    test(`refuses ${what}`, () => assert.throws(() => decodeTlv(fromHex(hex)), isSyntax));

  test("holds its limits", () => {
    assert.doesNotThrow(() => decodeTlv(nested(DER_MAX_DEPTH)));
    assert.throws(() => decodeTlv(nested(DER_MAX_DEPTH + 1)), isSyntax);
    const values = (count: number): Buffer =>
      encodeSequence(...Array.from({ length: count - 1 }, () => encodeTlv(TAG.null)));
    const few = { maxBytes: 5, maxValues: 2 };
    assert.doesNotThrow(() => decodeTlv(Buffer.from("3003020101", "hex"), few));
    assert.throws(() => decodeTlv(Buffer.from("300402020101", "hex"), few), isSyntax);
    assert.throws(
      () => decodeTlv(Buffer.from("300405000500", "hex"), { ...few, maxBytes: 6 }),
      isSyntax,
    );
    assert.doesNotThrow(() => decodeTlv(values(DER_MAX_VALUES)));
    assert.throws(() => decodeTlv(values(DER_MAX_VALUES + 1)), isSyntax);
    const longest = encodeOctetString(Buffer.alloc(DER_MAX_BYTES - 5));
    assert.equal(longest.length, DER_MAX_BYTES);
    assert.doesNotThrow(() => decodeTlv(longest));
    assert.throws(() => decodeTlv(encodeOctetString(Buffer.alloc(DER_MAX_BYTES - 4))), isSyntax);
    assert.throws(() => decodeTlv(Buffer.alloc(1000, fromHex("3080"))), isSyntax);
  });

  test("is total", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        try {
          assert.deepEqual(decodeTlv(octets).encoded, Buffer.from(octets));
        } catch (error) {
          assert.ok(isSyntax(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});

const tree: fc.Memo<Buffer> = fc.memo((depth) =>
  depth <= 1
    ? fc.uint8Array({ maxLength: 300 }).map(encodeOctetString)
    : fc.array(tree(), { maxLength: 4 }).map((values) => encodeSequence(...values)),
);

const reencode = (value: Tlv): Buffer =>
  encodeTlv(
    value.tag,
    ...(value.children.length > 0 ? value.children.map(reencode) : [value.content]),
  );

describe("DER written and read", () => {
  test("a tree comes back octet for octet", () => {
    fc.assert(
      fc.property(tree(4), (octets) => assert.deepEqual(reencode(decodeTlv(octets)), octets)),
    );
  });

  test("object identifiers come back", () => {
    const arcs = fc.array(fc.integer({ min: 0, max: 2 ** 31 }), { maxLength: 5 });
    const oid = fc
      .tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 39 }), arcs)
      .map(([root, second, rest]) => [root, second, ...rest].join("."));
    fc.assert(
      fc.property(oid, (dotted) => assert.equal(readOid(decodeTlv(encodeOid(dotted))), dotted)),
    );
    assert.deepEqual(encodeOid("1.2.840.113549"), fromHex("06 06 2a864886f70d")); // X.690 §8.19
  });

  test("a SET OF is sorted whatever the order given", () => {
    const values = fc.array(fc.uint8Array({ maxLength: 20 }).map(encodeOctetString), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(values, (given) => {
        const sorted = readSet(decodeTlv(encodeSetOf(given))).map(({ encoded }) => encoded);
        assert.deepEqual(sorted, given.toSorted(Buffer.compare));
        assert.deepEqual(encodeSetOf(given.toReversed()), encodeSetOf(given));
      }),
    );
  });

  test("a segmented OCTET STRING is joined", () => {
    const segmented = fromHex("24 80 04 01 aa 24 04 04 02 bbcc 0000");
    assert.deepEqual(readOctetString(decodeTlv(segmented)), fromHex("aabbcc"));
    const implicit = fromHex("a0 80 04 01 aa 04 01 bb 0000");
    assert.deepEqual(readOctetString(decodeTlv(implicit), 0x80), fromHex("aabb"));
    assert.throws(() => readOctetString(decodeTlv(fromHex("24 03 02 01 05"))), isSyntax);
  });

  test("small integers come back, others are refused", () => {
    for (const value of [0, 1, 127])
      assert.equal(readSmallInteger(decodeTlv(encodeSmallInteger(value))), value);
    assert.equal(readSmallInteger(decodeTlv(fromHex("02 02 0100"))), 256);
    for (const value of [-1, 128, 0.5]) assert.throws(() => encodeSmallInteger(value), RangeError);
    for (const hex of ["02 00", "02 01 ff", "02 05 0000000001"])
      assert.throws(() => readSmallInteger(decodeTlv(fromHex(hex))), isSyntax);
  });
});

describe("values of another kind are refused", () => {
  const readers: Record<string, () => unknown> = {
    "absent sequence": () => readSequence(undefined),
    "sequence for a set": () => readSet(decodeTlv(encodeSequence())),
    "bits left over": () => readBitString(decodeTlv(fromHex("03 02 04 f0"))),
    "bit string of nothing": () => readBitString(decodeTlv(fromHex("03 00"))),
    "empty object identifier": () => readOid(decodeTlv(fromHex("06 00"))),
    "object identifier cut short": () => readOid(decodeTlv(fromHex("06 02 2a 86"))),
    "object identifier too long": () =>
      readOid(decodeTlv(Buffer.concat([fromHex("06 21"), Buffer.alloc(33, 1)]))),
    "object identifier with a huge arc": () =>
      readOid(decodeTlv(fromHex("06 08 2a ffffffffffff 7f"))),
    "algorithm without a name": () => readAlgorithm(decodeTlv(encodeSequence())),
  };
  for (const [what, read] of Object.entries(readers))
    test(what, () => assert.throws(read, isSyntax));

  test("a bit string of whole octets is read", () =>
    assert.deepEqual(readBitString(decodeTlv(encodeBitString(fromHex("aabb")))), fromHex("aabb")));
});
