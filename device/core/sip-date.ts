/**
 * The Date header: RFC 1123 dates in GMT and nothing else (RFC 3261 §20.17, §25.1). Pure.
 */
import { ProtocolError } from "../../protocol/errors.ts";
import type { Millis } from "../../protocol/machine.ts";

const DAYS = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1 January 1970 was a Thursday
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const SYNTAX = /^([A-Z][a-z]{2}), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/;
const DAY_MS = 86_400_000;
const DAYS_IN_ERA = 146_097; // 400 Gregorian years
const ERA_ZERO_DAYS = 719_468; // from 1 March of the year 0 to 1 January 1970

/** Writes `Sun, 22 Nov 2026 20:16:51 GMT`; fractions of a second are cut. */
export function serializeSipDate(time: Millis): string {
  const days = Math.floor(time / DAY_MS);
  const seconds = Math.floor((time - days * DAY_MS) / 1000);
  const { year, month, day } = civilDate(days);
  const clock = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(twoDigits).join(":");
  const weekday = DAYS[((days % 7) + 7) % 7];
  return `${weekday}, ${twoDigits(day)} ${MONTHS[month - 1]} ${pad(year, 4)} ${clock} GMT`;
}

/**
 * Reads a Date value.
 * @throws ProtocolError `ERR_SIP_SYNTAX`, also for a day that never was or has another name.
 */
export function parseSipDate(text: string): Millis {
  const [, weekday, day, monthName = "", year, ...clock] = SYNTAX.exec(text) ?? [];
  const [hours = 99, minutes = 99, seconds = 99] = clock.map(Number);
  const date = { year: Number(year), month: MONTHS.indexOf(monthName) + 1, day: Number(day) };
  if (weekday === undefined || date.month === 0 || hours > 23 || minutes > 59 || seconds > 59)
    throw new ProtocolError("ERR_SIP_SYNTAX", "Date");
  const time = daysSinceEpoch(date) * DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000;
  if (serializeSipDate(time) !== text) throw new ProtocolError("ERR_SIP_SYNTAX", "Date");
  return time;
}

interface CivilDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/** Years run from March, so that the leap day ends one. */
function daysSinceEpoch({ year, month, day }: CivilDate): number {
  const marchYear = month > 2 ? year : year - 1;
  const era = Math.floor(marchYear / 400);
  const yearOfEra = marchYear - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const leapDays = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  return era * DAYS_IN_ERA + yearOfEra * 365 + leapDays + dayOfYear - ERA_ZERO_DAYS;
}

function civilDate(daysSinceEpoch: number): CivilDate {
  const days = daysSinceEpoch + ERA_ZERO_DAYS;
  const era = Math.floor(days / DAYS_IN_ERA);
  const dayOfEra = days - era * DAYS_IN_ERA;
  const leapDays =
    Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leapDays) / 365);
  const passed = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  const dayOfYear = dayOfEra - (365 * yearOfEra + passed);
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = ((marchMonth + 2) % 12) + 1;
  const day = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

const pad = (value: number, width: number): string => String(value).padStart(width, "0");
const twoDigits = (value: number): string => pad(Math.floor(value), 2);
