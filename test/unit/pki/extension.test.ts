import assert from "node:assert/strict";
import { test } from "node:test";
import {
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeTlv,
} from "../../../protocol/der/encode.ts";
import { TAG } from "../../../protocol/der/tag.ts";
import { decodeTlv } from "../../../protocol/der/tlv.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import { EXTENSIONS_MAX, readExtensions } from "../../../protocol/pki/extension.ts";

const VALUE = encodeOctetString(Buffer.of(1));
const numbered = (number: number): Buffer => encodeSequence(encodeOid(`1.2.${number}`), VALUE);
const listOf = (...each: readonly Buffer[]) => decodeTlv(encodeSequence(...each));
const many = (count: number) => listOf(...Array.from({ length: count }, (_, at) => numbered(at)));
const boolean = (...octets: readonly number[]) => encodeTlv(TAG.boolean, Buffer.of(...octets));
const isRefused = (error: unknown): boolean => isProtocolError(error, "ERR_DER_SYNTAX");

test("extensions are read by identifier, critical or not", () => {
  const critical = encodeSequence(encodeOid("1.2.9"), boolean(0xff), VALUE);
  const read = readExtensions(listOf(numbered(3), critical));
  assert.deepEqual([...read.keys()], ["1.2.3", "1.2.9"]);
  assert.deepEqual(read.get("1.2.3"), { oid: "1.2.3", critical: false, value: Buffer.of(1) });
  assert.equal(read.get("1.2.9")?.critical, true);
});

test("so many extensions in one place are read, and no more", () => {
  assert.equal(readExtensions(many(EXTENSIONS_MAX)).size, EXTENSIONS_MAX);
  assert.throws(() => readExtensions(many(EXTENSIONS_MAX + 1)), isRefused);
});

const BAD: Readonly<Record<string, readonly Buffer[]>> = {
  "one that stands twice": [numbered(3), numbered(3)],
  "one without a value": [encodeSequence(encodeOid("1.2.3"))],
  "one with more behind its value": [encodeSequence(encodeOid("1.2.3"), VALUE, VALUE)],
  "a flag of two octets": [encodeSequence(encodeOid("1.2.3"), boolean(0xff, 0xff), VALUE)],
};
for (const [what, each] of Object.entries(BAD))
  test(`refused: ${what}`, () => assert.throws(() => readExtensions(listOf(...each)), isRefused));
