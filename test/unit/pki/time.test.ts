import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decodeTlv } from "../../../protocol/der/tlv.ts";
import { isProtocolError } from "../../../protocol/errors.ts";
import { encodeTime, readTime } from "../../../protocol/pki/time.ts";

const UTC = 0x17;
const GENERALIZED = 0x18;
const timeOf = (tag: number, text: string) =>
  decodeTlv(Buffer.from([tag, text.length, ...Buffer.from(text)]));

describe("Time", () => {
  test("is written to the second, in the form that its year wants", () => {
    const written = (iso: string) => encodeTime(new Date(iso)).toString("latin1");
    assert.equal(written("2026-11-23T03:04:05.999Z"), "\x17\x0d261123030405Z");
    assert.equal(written("2049-12-31T23:59:59Z"), "\x17\x0d491231235959Z");
    assert.equal(written("2050-01-01T00:00:00Z"), "\x18\x0f20500101000000Z");
    assert.equal(written("1950-01-01T00:00:00Z"), "\x17\x0d500101000000Z");
  });

  test("that is none is not written", () => {
    for (const at of [Number.NaN, Date.UTC(1949, 11, 31), Date.UTC(10_000, 0, 1)])
      assert.throws(() => encodeTime(new Date(at)), RangeError);
  });

  test("is read as it was written", () => {
    const range = { min: new Date("1950-01-01"), max: new Date("9999-12-31"), noInvalidDate: true };
    fc.assert(
      fc.property(fc.date(range), (date) => {
        const seconds = Math.floor(date.getTime() / 1000);
        assert.equal(readTime(decodeTlv(encodeTime(date))), seconds * 1000);
      }),
    );
  });

  const bad: Readonly<Record<string, ReturnType<typeof timeOf>>> = {
    "a day that is none": timeOf(UTC, "260230000000Z"),
    "a month that is none": timeOf(UTC, "261301000000Z"),
    "day 0": timeOf(UTC, "260100000000Z"),
    "hour 24": timeOf(UTC, "260101240000Z"),
    "minute 60": timeOf(UTC, "260101006000Z"),
    "second 60": timeOf(UTC, "260101000060Z"),
    "no seconds": timeOf(UTC, "2601010000Z"),
    "a zone": timeOf(UTC, "260101000000+0100"),
    "a fraction": timeOf(GENERALIZED, "20260101000000.5Z"),
    "another type": timeOf(0x0c, "260101000000Z"),
  };
  for (const [what, value] of Object.entries(bad))
    test(`with ${what} is not read`, () =>
      assert.throws(
        () => readTime(value),
        (error) => isProtocolError(error, "ERR_DER_SYNTAX"),
      ));
});
