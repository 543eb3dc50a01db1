/**
 * The Gregorian calendar in UTC, without asking anybody's clock. Pure.
 */

export const DAY_MS = 86_400_000;

/** Days from 1 January 1970 to a date, counted in years that begin in March. */
export function daysSinceEpoch(year: number, month: number, day: number): number {
  const shifted = month > 2 ? year : year - 1;
  const monthFromMarch = (month + 9) % 12;
  const dayOfYear = Math.floor((153 * monthFromMarch + 2) / 5) + day - 1;
  const leapDays = Math.floor(shifted / 4) - Math.floor(shifted / 100) + Math.floor(shifted / 400);
  return shifted * 365 + leapDays + dayOfYear - 719_468;
}
