import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeOid, encodeSequence, encodeTlv } from "../../../protocol/der/encode.ts";
import { TAG } from "../../../protocol/der/tag.ts";
import { isSameName } from "../../../protocol/pki/name.ts";

const UTF8 = 0x0c;
const PRINTABLE = 0x13;
const TELETEX = 0x14;
const COMMON_NAME = encodeOid("2.5.4.3");
const COUNTRY = encodeOid("2.5.4.6");

const attribute = (text: string, tag = UTF8, type = COMMON_NAME): Buffer =>
  encodeSequence(type, encodeTlv(tag, Buffer.from(text)));
const name = (...parts: readonly (readonly Buffer[])[]): Buffer =>
  encodeSequence(...parts.map((attributes) => encodeTlv(TAG.set, ...attributes)));
const one = (text: string, tag?: number, type?: Buffer): Buffer =>
  name([attribute(text, tag, type)]);

const CASES: Readonly<Record<string, readonly [Buffer, Buffer, boolean]>> = {
  "the same octets": [one("Root"), one("Root"), true],
  "another case": [one("Root CA"), one("rOOT ca"), true],
  "another string type": [one("Root", UTF8), one("Root", PRINTABLE), true],
  "more blanks": [one(" Root  CA "), one("Root CA"), true],
  "attributes of one part in another order": [
    name([attribute("a"), attribute("b", UTF8, COUNTRY)]),
    name([attribute("b", UTF8, COUNTRY), attribute("a")]),
    true,
  ],
  "another text": [one("Root"), one("Boot"), false],
  "another attribute": [one("Root"), one("Root", UTF8, COUNTRY), false],
  "another number of parts": [one("Root"), name([attribute("Root")], [attribute("Root")]), false],
  "parts drawn together": [
    name([attribute("a")], [attribute("b")]),
    name([attribute("a"), attribute("b")]),
    false,
  ],
  "a text that looks like two": [
    name([attribute("a\0" + "2.5.4.3=b")]),
    name([attribute("a"), attribute("b")]),
    false,
  ],
  "a type of string that we do not fold": [one("Root", TELETEX), one("ROOT", TELETEX), false],
  "what is no Name": [Buffer.from("0500", "hex"), one("Root"), false],
};

describe("Names with", () => {
  for (const [what, [left, right, isSame]] of Object.entries(CASES))
    test(`${what}: ${isSame ? "the same" : "others"}`, () => {
      assert.equal(isSameName(left, right), isSame);
      assert.equal(isSameName(right, left), isSame);
    });
});
