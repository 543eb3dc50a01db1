import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseSipDate, serializeSipDate } from "../../../device/core/sip-date.ts";
import { isProtocolError } from "../../../protocol/errors.ts";

const YEAR_9999_MS = 253_402_300_799_999;

test("dates are written as the platform writes them, and read back to the second", () => {
  fc.assert(
    fc.property(fc.integer({ min: -62_000_000_000_000, max: YEAR_9999_MS }), (time) => {
      const text = serializeSipDate(time);
      assert.equal(text, new Date(time).toUTCString());
      assert.equal(parseSipDate(text), Math.floor(time / 1000) * 1000);
    }),
  );
});

test("the date of RFC 3261 §20.17 is read", () => {
  assert.equal(parseSipDate("Sat, 13 Nov 2010 23:29:00 GMT"), Date.UTC(2010, 10, 13, 23, 29));
});

const REFUSED = [
  "",
  "Sat, 13 Nov 2010 23:29:00 UTC",
  "Fri, 13 Nov 2010 23:29:00 GMT",
  "Sat, 13 Bus 2010 23:29:00 GMT",
  "Tue, 30 Feb 2010 23:29:00 GMT",
  "Sat, 13 Nov 2010 24:00:00 GMT",
  "Sat, 13 Nov 2010 23:60:00 GMT",
  "Sat, 13 Nov 2010 23:29:60 GMT",
  "Sat, 13 Nov 10 23:29:00 GMT",
];

for (const text of REFUSED)
  test(`refused: '${text}'`, () => {
    assert.throws(
      () => parseSipDate(text),
      (error) => isProtocolError(error, "ERR_SIP_SYNTAX"),
    );
  });
