/**
 * Times as text: RFC 3339 in UTC with milliseconds, by arithmetic alone, since a core is not to
 * touch the clock's own `Date`. Pure.
 */

import type { Millis } from "../../protocol/machine.ts";

const DAY_MS = 86_400_000;
/** Days of a Gregorian era of 400 years, and from 1 March of year 0 to 1 January 1970. */
const ERA_DAYS = 146_097;
const EPOCH_DAYS = 719_468;

/** @param now From 1970 on; a fraction of a millisecond is left out. */
export function rfc3339(now: Millis): string {
  const days = Math.floor(now / DAY_MS);
  const ms = Math.floor(now - days * DAY_MS);
  const time = [ms / 3_600_000, (ms / 60_000) % 60, (ms / 1000) % 60].map((part) =>
    digits(part, 2),
  );
  return `${civilDate(days)}T${time.join(":")}.${digits(ms % 1000, 3)}Z`;
}

/** Years begin on 1 March here, so that a leap day is a year's last. */
function civilDate(daysSinceEpoch: number): string {
  const days = daysSinceEpoch + EPOCH_DAYS;
  const era = Math.floor(days / ERA_DAYS);
  const dayOfEra = days - era * ERA_DAYS;
  const leapDays =
    Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leapDays) / 365);
  const beforeYear = 365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  const dayOfYear = dayOfEra - beforeYear;
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`;
}

const digits = (value: number, count: number) => String(Math.floor(value)).padStart(count, "0");
