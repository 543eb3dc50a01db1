import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isProtocolError } from "../../../protocol/errors.ts";
import { parseSipDate, serializeSipDate } from "../../../protocol/sip/date.ts";

test("any second until 9999 is written as the platform writes it, and read back", () => {
  const second = fc.integer({ min: 0, max: 253_402_300_799 });
  fc.assert(
    fc.property(second, fc.nat(999), (seconds, millis) => {
      const text = serializeSipDate(seconds * 1000 + millis);
      assert.equal(text, new Date(seconds * 1000).toUTCString());
      assert.equal(parseSipDate(text), seconds * 1000);
    }),
  );
});

test("what is no date", () => {
  const bad = [
    "",
    "Fri, 01 Jan 2010 16:00:00 EST",
    "Thu, 01 Jan 2010 16:00:00 GMT",
    "Tue, 30 Feb 2010 16:00:00 GMT",
    "Fri, 01 Foo 2010 16:00:00 GMT",
    "Fri, 01 Jan 2010 24:00:00 GMT",
    "Fri, 01 Jan 2010 16:60:00 GMT",
    "Wed, 31 Dec 1969 23:59:59 GMT",
    "Fri, 1 Jan 2010 16:00:00 GMT",
  ];
  for (const text of bad)
    assert.throws(
      () => parseSipDate(text),
      (error) => isProtocolError(error, "ERR_SIP_SYNTAX"),
      text,
    );
  for (const at of [-1, Number.NaN, 253_402_300_800_000])
    assert.throws(() => serializeSipDate(at), RangeError);
});
