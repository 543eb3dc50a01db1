import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  canonicalName,
  isListField,
  isName,
  isNamed,
  readName,
} from "../../../protocol/sip/header-name.ts";
import { headerValue } from "../../../protocol/sip/message.ts";
import {
  REMEMBERED_CHARACTERS,
  REMEMBERED_TEXTS,
  remembering,
} from "../../../protocol/sip/remember.ts";
import { sampleRequest } from "./sample.ts";

test("compact forms and any case are one field (RFC 3261 §7.3.1, §7.3.3)", () => {
  const spellings = [
    ["v", "via"],
    ["V", "via"],
    ["VIA", "via"],
    ["vIa", "via"],
    ["i", "call-id"],
    ["x", "session-expires"],
    ["X", "session-expires"],
    ["r", "refer-to"],
    ["z", "z"],
    ["Q", "q"],
    ["X-Any", "x-any"],
  ] as const;
  for (const [name, canonical] of spellings) {
    assert.equal(canonicalName(name), canonical);
    assert.ok(isNamed(name, canonical), name);
    assert.ok(!isNamed(name, "to") && !isNamed(name, "t"), name);
  }
  assert.ok(isListField("via") && !isListField("proxy-inspect-body"));
});

test("a field is found under whatever spelling it came and is asked for", () => {
  const fields = fc.constantFrom("Call-ID", "via", "CSEQ", "x-new", "WWW-Authenticate", "Contact");
  const shuffled = fc
    .tuple(fields, fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }))
    .map(([name, upper]) =>
      [...name]
        .map((each, at) => (upper[at] === true ? each.toUpperCase() : each.toLowerCase()))
        .join(""),
    );
  fc.assert(
    fc.property(shuffled, fields, (name, asked) => {
      const message = sampleRequest("BYE", { headers: [{ name, value: "found" }] });
      const isSame = name.toLowerCase() === asked.toLowerCase();
      assert.equal(headerValue(message, asked), isSame ? "found" : undefined);
    }),
  );
});

test("a name that is no token is none; a well-known one is one string for all", () => {
  const read = (name: string) => readName(`Via${name}: x`, 3, 3 + name.length);
  for (const name of ["", "a b", "a:b", "ä", "a\0", "From "]) {
    assert.equal(read(name), undefined, name);
    assert.equal(isName(name), false, name);
  }
  for (const name of ["X-new", "MAX-FORWARDS", "f", "From", "Fron", "x".repeat(300)]) {
    assert.equal(read(name), name);
    assert.equal(isName(name), true);
  }
});

test("a remembering parser parses a text once, forgets in time and remembers no failure", () => {
  let parsed = 0;
  const parse = remembering((text) => {
    parsed += 1;
    if (text === "bad") throw new RangeError("bad");
    return { text };
  });
  assert.equal(parse("a"), parse("a"));
  assert.equal(parsed, 1);
  for (let count = 0; count < 2; count += 1) assert.throws(() => parse("bad"), RangeError);
  assert.equal(parsed, 3);
  const long = "x".repeat(REMEMBERED_CHARACTERS + 1);
  assert.notEqual(parse(long), parse(long));

  const first = parse("a");
  parse("b");
  assert.equal(parse("a"), first);
  for (let count = 0; count < REMEMBERED_TEXTS * 50; count += 1) parse(`text ${count}`);
  assert.notEqual(parse("a"), first, "others have taken its place");
});
