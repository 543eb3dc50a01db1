/**
 * Time as certificates write it: UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). Pure.
 */
import { DAY_MS, daysSinceEpoch } from "../calendar.ts";
import { encodeTlv } from "../der/encode.ts";
import type { Tlv } from "../der/tlv.ts";
import { ProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";

const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const FIRST_GENERALIZED_YEAR = 2050;
const SYNTAX =
  /^(?<year>\d{4})(?<month>\d\d)(?<day>\d\d)(?<hour>\d\d)(?<minute>\d\d)(?<second>\d\d)Z$/;
type Field = "year" | "month" | "day" | "hour" | "minute" | "second";

/** A JavaScript date, made by the caller: a core reads no clock. */
export interface CalendarTime {
  getTime(): number;
  toISOString(): string;
}

/** A Time to the second: what is finer is cut off. @throws RangeError outside 1950 to 9999. */
export function encodeTime(value: CalendarTime): Buffer {
  const iso = value.toISOString(); // throws RangeError if it is no time
  const digits = iso.slice(0, 19).replaceAll(/[-T:]/g, "");
  const year = Number(iso.slice(0, 4));
  if (!/^\d{14}$/.test(digits) || year < 1950) throw new RangeError("a year from 1950 to 9999");
  return year < FIRST_GENERALIZED_YEAR
    ? encodeTlv(UTC_TIME, Buffer.from(`${digits.slice(2)}Z`))
    : encodeTlv(GENERALIZED_TIME, Buffer.from(`${digits}Z`));
}

/** @throws ProtocolError `ERR_DER_SYNTAX`. */
export function readTime(value: Tlv | undefined): Millis {
  const { year = 0, month = 0, day = 0, hour = 24, minute = 60, second = 60 } = readFields(value);
  const days = daysSinceEpoch(year, month, day);
  const isDate =
    month >= 1 && month <= 12 && day >= 1 && days < daysSinceEpoch(...after(year, month));
  if (!isDate || hour > 23 || minute > 59 || second > 59) throw syntax();
  return days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000;
}

function readFields(value: Tlv | undefined): Partial<Record<Field, number>> {
  const text = value?.content.toString("latin1") ?? "";
  const century = Number(text.slice(0, 2)) < 50 ? "20" : "19"; // §4.1.2.5.1
  switch (value?.tag) {
    case UTC_TIME:
      return fieldsOf(century + text);
    case GENERALIZED_TIME:
      return fieldsOf(text);
    default:
      throw syntax();
  }
}

function fieldsOf(text: string): Partial<Record<Field, number>> {
  const groups = SYNTAX.exec(text)?.groups ?? {};
  return Object.fromEntries(Object.entries(groups).map(([name, digits]) => [name, Number(digits)]));
}

/** The first day of the month after. */
const after = (year: number, month: number): [number, number, number] =>
  month === 12 ? [year + 1, 1, 1] : [year, month + 1, 1];

const syntax = (): ProtocolError => new ProtocolError("ERR_DER_SYNTAX", "not a time");
