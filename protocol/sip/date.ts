/**
 * Date: `Fri, 20 Jun 2003 13:02:03 GMT` (RFC 3261 §20.17), without asking anybody's clock. Pure.
 */
import { DAY_MS, daysSinceEpoch } from "../calendar.ts";
import { ProtocolError } from "../errors.ts";
import type { Millis } from "../machine.ts";

const DAYS = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"] as const; // 1 January 1970 first
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const SYNTAX =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d{2}) (\w{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/;

/**
 * Parses a SIP date.
 * @throws ProtocolError `ERR_SIP_SYNTAX`, also for a zone other than GMT or a day that is none.
 */
export function parseSipDate(text: string): Millis {
  const [, weekday, day, name = "", year, hour, minute, second] = SYNTAX.exec(text) ?? [];
  const days = daysSinceEpoch(Number(year), MONTHS.indexOf(name) + 1, Number(day));
  const seconds = Number(hour) * 3600 + Number(minute) * 60 + Number(second);
  const at = days * DAY_MS + seconds * 1000;
  if (weekday === undefined || at < 0 || serializeSipDate(at) !== text)
    throw new ProtocolError("ERR_SIP_SYNTAX", "Date");
  return at;
}

/**
 * Writes a moment as a SIP date; milliseconds are cut off.
 * @throws RangeError outside the years 1970 to 9999.
 */
export function serializeSipDate(at: Millis): string {
  const days = Math.floor(at / DAY_MS);
  if (!(days >= 0 && days < daysSinceEpoch(10_000, 1, 1))) throw new RangeError("date");
  const { year, month, day } = civilDate(days);
  const seconds = Math.floor((at % DAY_MS) / 1000);
  const clock = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(twoDigits).join(":");
  const date = `${twoDigits(day)} ${MONTHS[month - 1]} ${String(year).padStart(4, "0")}`;
  return `${DAYS[days % 7]}, ${date} ${clock} GMT`;
}

const twoDigits = (value: number): string => String(Math.floor(value)).padStart(2, "0");

function civilDate(days: number): { year: number; month: number; day: number } {
  let year = 1970 + Math.floor(days / 366);
  while (daysSinceEpoch(year + 1, 1, 1) <= days) year += 1;
  let month = 1;
  while (month < 12 && daysSinceEpoch(year, month + 1, 1) <= days) month += 1;
  return { year, month, day: days - daysSinceEpoch(year, month, 1) + 1 };
}
