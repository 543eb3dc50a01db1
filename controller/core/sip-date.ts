/**
 * The Date header's one format, RFC 1123 with GMT (RFC 3261 §20.17, §25.1). Pure.
 */
import { ProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";

const SYNTAX =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const DAY_MS = 86_400_000;

/** @throws ProtocolError `ERR_SIP_SYNTAX`. */
export function parseSipDate(text: string): Millis {
  const [, day, month = "", year, ...clock] = SYNTAX.exec(text.trim()) ?? [];
  const monthIndex = MONTHS.indexOf(month);
  const [hour = 0, minute = 0, second = 0] = clock.map(Number);
  if (monthIndex < 0 || Number(day) < 1 || Number(day) > 31 || hour > 23 || minute > 59)
    throw new ProtocolError("ERR_SIP_SYNTAX", "Date");
  const days = daysFromEpoch(Number(year), monthIndex + 1, Number(day));
  return days * DAY_MS + ((hour * 60 + minute) * 60 + Math.min(second, 59)) * 1000;
}

/** Days since 1 January 1970 of a Gregorian date: a year is taken to begin in March. */
function daysFromEpoch(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const leaps = Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400);
  return y * 365 + leaps + dayOfYear - 719_468;
}
